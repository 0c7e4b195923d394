#pragma once
#include <string>

#include "base/cpu.h"
#include "base/pool.h"
#include "kernels/kernels.h"

namespace silverprint {

class RuntimeLibrary;
struct RuntimeSource;

// All that is shared by the whole process stands behind these functions, and nowhere else.

// Whether this is a child of a fork whose parent had used the core.
bool was_forked() noexcept;

// Throws `process` in a child of a fork whose parent had used the core: threads do not survive one.
void check_process();

// The threads that our own numeric code runs on. Made at first use, with SILVERPRINT_THREADS
// threads, or as many as this process may run at once. Never destroyed: at exit a thread may
// still hold it.
Pool& pool();

// The strongest instruction set available, or the one that SILVERPRINT_ISA names; throws
// invalid_argument where that one is unknown or not available.
Isa active_isa();
const Kernels& kernels();

// The table for one instruction set; throws invalid_argument where it is not available.
const Kernels& kernels(Isa isa);

// The ONNX Runtime library that `source` names, loaded at the first call; a later call with another
// one throws, since one process runs one runtime. Never unloaded.
RuntimeLibrary& runtime_library(const RuntimeSource& source);
RuntimeLibrary& runtime_library(const std::string& path);

// The library loaded before, or nullptr. Throws as check_process() does.
RuntimeLibrary* loaded_runtime_library();

}  // namespace silverprint
