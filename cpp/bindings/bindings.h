#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <thread>

#include "base/error.h"

namespace silverprint::bindings {

namespace py = pybind11;

template <class T>
using Array = py::array_t<T, py::array::c_style>;

// Lets other Python threads run while it lives; the arguments of a function stay alive and unchanged.
//
// A daemon thread that comes back while the interpreter shuts down would be ended by Python from
// 3.11 to 3.13, on Linux by unwinding its stack, which from a destructor ends the process. It waits
// for the end of the process instead, as in Python 3.14.
class Unlocked {
 public:
  Unlocked() : state_(PyEval_SaveThread()) {}
  ~Unlocked() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
  }
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;

 private:
  PyThreadState* state_;
};

[[noreturn]] inline void invalid(const std::string& message) {
  throw Error(ErrorCode::invalid_argument, message);
}

template <class T>
std::span<const T> view(const Array<T>& array) {
  return {array.data(), static_cast<std::size_t>(array.size())};
}

template <class T>
std::span<T> mutable_view(Array<T>& array) {
  return {array.mutable_data(), static_cast<std::size_t>(array.size())};
}

inline std::size_t extent(const py::array& array, int axis) { return static_cast<std::size_t>(array.shape(axis)); }

inline void check_threads(int threads) {
  if (threads < 0 || threads > 1024) invalid("threads must be 0, for all, to 1024");
}

// One function per room; each fills the submodule of that name.
void bind_build(py::module_& module);
void bind_detect(py::module_& module);
void bind_detect_boxes(py::module_& module);
void bind_detect_convolution(py::module_& module);
void bind_detect_trainer(py::module_& module);
void bind_image(py::module_& module);
void bind_kernels(py::module_& module);
void bind_runtime(py::module_& module);
void bind_solve(py::module_& module);

}  // namespace silverprint::bindings
