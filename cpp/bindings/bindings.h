#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include <span>
#include <string>

#include "base/error.h"

namespace silverprint::bindings {

namespace py = pybind11;

template <class T>
using Array = py::array_t<T, py::array::c_style>;

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

// One function per room; each fills the submodule of that name.
void bind_build(py::module_& module);
void bind_image(py::module_& module);
void bind_kernels(py::module_& module);
void bind_runtime(py::module_& module);
void bind_solve(py::module_& module);

}  // namespace silverprint::bindings
