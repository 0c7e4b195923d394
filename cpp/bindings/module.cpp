#include "bindings/bindings.h"

namespace silverprint::bindings {
namespace {

// The core's error codes as the classes of errors.py, looked up when first needed.
void translate(const Error& error) {
  const char* name = "OnnxRuntimeError";
  switch (error.code()) {
    case ErrorCode::invalid_argument:
      PyErr_SetString(PyExc_ValueError, error.what());
      return;
    case ErrorCode::backbone:
      name = "BackboneError";
      break;
    case ErrorCode::cancelled:
      name = "TrainingCancelled";
      break;
    case ErrorCode::process:
      name = "SilverprintError";
      break;
    case ErrorCode::runtime:
      break;
  }
  py::set_error(py::module_::import("silverprint.errors").attr(name), error.what());
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  module.doc() = "The native core; use it through the silverprint package.";
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const Error& error) {
      translate(error);
    }
  });
  auto build = module.def_submodule("build", "What was compiled in and what this machine offers.");
  auto detect = module.def_submodule("detect", "Object detection.");
  auto image = module.def_submodule("image", "From pixels to the image tensor.");
  auto kernels = module.def_submodule("kernels", "Each kernel on each instruction set, for tests.");
  auto runtime = module.def_submodule("runtime", "ONNX Runtime through its C ABI.");
  auto solve = module.def_submodule("solve", "Solvers.");
  bind_build(build);
  bind_image(image);
  bind_kernels(kernels);
  bind_runtime(runtime);
  bind_detect(detect);
  bind_detect_boxes(detect);
  bind_detect_convolution(detect);
  bind_detect_trainer(detect);
  bind_solve(solve);
}

}  // namespace silverprint::bindings
