#pragma once
#include <string>
#include <vector>

namespace silverprint {

// Instruction sets a kernel may be built for, weakest first. `plain` is portable C++ and always there.
enum class Isa { plain, avx2, avx512 };

const char* name(Isa isa);

// Those compiled in that this processor and operating system can run, weakest first.
std::vector<Isa> available_isas();

// Threads this process may run at once: its affinity mask and its cgroup quota, at least 1.
int available_threads();

}  // namespace silverprint
