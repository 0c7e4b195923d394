#include "base/cpu.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(SILVERPRINT_X86_KERNELS)
#include <cpuid.h>
#endif

namespace silverprint {
namespace {

#if defined(__linux__)
// CPUs granted by the cgroup (v2, then v1), or 0 where nothing limits them.
double cgroup_cpus() {
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (v2 >> quota >> period) return quota == "max" || period <= 0 ? 0 : std::stod(quota) / period;
  std::ifstream v1_quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream v1_period("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double us = 0;
  if (v1_quota >> us && v1_period >> period && us > 0 && period > 0) return us / period;
  return 0;
}
#endif

#if defined(SILVERPRINT_X86_KERNELS)
// Not every compiler's __builtin_cpu_supports knows the name of this feature.
bool has_half_precision() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

}  // namespace

const char* name(Isa isa) {
  switch (isa) {
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::plain:
      break;
  }
  return "plain";
}

std::vector<Isa> available_isas() {
  std::vector<Isa> isas{Isa::plain};
#if defined(SILVERPRINT_X86_KERNELS)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_half_precision()) {
    isas.push_back(Isa::avx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
      isas.push_back(Isa::avx512);
  }
#endif
  return isas;
}

int available_threads() {
  int threads = static_cast<int>(std::thread::hardware_concurrency());
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) threads = CPU_COUNT(&set);
  if (const double cpus = cgroup_cpus(); cpus > 0)
    threads = std::min(threads, static_cast<int>(std::ceil(cpus)));
#endif
  return std::max(threads, 1);
}

}  // namespace silverprint
