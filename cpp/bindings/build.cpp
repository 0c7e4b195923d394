#include "base/process.h"
#include "bindings/bindings.h"

namespace silverprint::bindings {
namespace {

std::string compiler() {
#if defined(__clang__)
  return "Clang " __clang_version__;
#elif defined(__GNUC__)
  return "GCC " __VERSION__;
#else
  return "MSVC " + std::to_string(_MSC_VER);
#endif
}

}  // namespace

void bind_build(py::module_& module) {
  module.attr("version") = SILVERPRINT_VERSION;
  module.attr("compiler") = compiler();
  module.def(
      "available_isas",
      [] {
        std::vector<std::string> names;
        for (const Isa isa : available_isas()) names.emplace_back(name(isa));
        return names;
      },
      "Instruction sets compiled in that this machine can run, weakest first.");
  module.def("active_isa", [] { return std::string(name(active_isa())); },
             "The instruction set in use: the strongest, or the one SILVERPRINT_ISA names.");
  module.def("threads", [] { return pool().threads(); },
             "Threads of the core's pool: SILVERPRINT_THREADS, or as many as this process may run.");
}

}  // namespace silverprint::bindings
