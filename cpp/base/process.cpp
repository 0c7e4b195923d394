#include "base/process.h"

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <string>

#include "base/error.h"
#include "runtime/library.h"

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace silverprint {
namespace {

std::string environment(const char* variable) {
  const char* value = std::getenv(variable);
  return value ? value : "";
}

int wanted_threads() {
  const std::string value = environment("SILVERPRINT_THREADS");
  if (value.empty()) return available_threads();
  char* end = nullptr;
  const long threads = std::strtol(value.c_str(), &end, 10);
  if (*end != '\0' || threads < 1 || threads > 1024)
    throw Error(ErrorCode::invalid_argument,
                "SILVERPRINT_THREADS=" + value + ": expected a number of threads from 1 to 1024");
  return static_cast<int>(threads);
}

Isa wanted_isa() {
  const auto isas = available_isas();
  const std::string value = environment("SILVERPRINT_ISA");
  if (value.empty()) return isas.back();
  std::string names;
  for (const Isa isa : isas) {
    if (value == name(isa)) return isa;
    names += (names.empty() ? "" : ", ") + std::string(name(isa));
  }
  throw Error(ErrorCode::invalid_argument, "SILVERPRINT_ISA=" + value + ": expected one of " + names);
}

std::atomic<bool> forked{false};

// From now on a fork leaves the child without threads that the core counts on.
void forbid_fork() {
#if !defined(_WIN32)
  static const int registered = pthread_atfork(nullptr, nullptr, [] { forked.store(true); });
  static_cast<void>(registered);
#endif
}

std::mutex runtime_mutex;
RuntimeLibrary* runtime = nullptr;

}  // namespace

bool was_forked() noexcept { return forked.load(std::memory_order_relaxed); }

void check_process() {
  if (was_forked())
    throw Error(ErrorCode::process,
                "this process was forked from one that had used silverprint, whose threads did not come along; "
                "start a new program instead (in Python: multiprocessing's \"spawn\" or \"forkserver\")");
}

Pool& pool() {
  check_process();
  static Pool* const shared = [] {
    forbid_fork();
    return new Pool(wanted_threads());
  }();
  return *shared;
}

Isa active_isa() {
  static const Isa isa = wanted_isa();
  return isa;
}

const Kernels& kernels(Isa isa) {
  for (const Isa available : available_isas()) {
    if (available != isa) continue;
#if defined(SILVERPRINT_X86_KERNELS)
    if (isa == Isa::avx2) return kAvx2Kernels;
    if (isa == Isa::avx512) return kAvx512Kernels;
#endif
    return kPlainKernels;
  }
  throw Error(ErrorCode::invalid_argument, std::string(name(isa)) + ": not available on this machine");
}

const Kernels& kernels() {
  static const Kernels& active = kernels(active_isa());
  return active;
}

RuntimeLibrary& runtime_library(const RuntimeSource& source) {
  // First of all: in a forked child the mutex may stay locked for ever.
  check_process();
  std::lock_guard lock(runtime_mutex);
  if (runtime == nullptr) {
    forbid_fork();
    runtime = new RuntimeLibrary(source);
  }
  if (!runtime->is(source))
    throw Error(ErrorCode::runtime, (source.base ? "the host's OrtApiBase" : source.path) +
                                        ": this process already runs ONNX Runtime from " + runtime->path());
  return *runtime;
}

RuntimeLibrary& runtime_library(const std::string& path) { return runtime_library(RuntimeSource{path}); }

RuntimeLibrary* loaded_runtime_library() {
  check_process();
  std::lock_guard lock(runtime_mutex);
  return runtime;
}

}  // namespace silverprint
