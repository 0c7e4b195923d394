#pragma once
#include <stdexcept>
#include <string>

namespace silverprint {

// What went wrong, in the terms of the Python family in errors.py; the bindings map one to the other.
enum class ErrorCode {
  invalid_argument,  // a value the caller passed
  backbone,          // the ONNX file
  runtime,           // the ONNX Runtime library
  cancelled,         // a CancelToken was cancelled
  process,           // the process cannot run the core
};

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace silverprint
