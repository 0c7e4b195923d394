#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "runtime/abi.h"

namespace silverprint {

// One ONNX Runtime library, loaded for good, with its one environment.
class RuntimeLibrary {
 public:
  // Telemetry is switched off before the environment is made. Throws `runtime` with the remedy
  // where the file is missing, is not ONNX Runtime, or is older than 1.19.
  explicit RuntimeLibrary(const std::string& path);

  const std::string& path() const noexcept { return path_; }
  std::string version() const { return base_->get_version(); }
  std::string build_info() const { return api_->get_build_info(); }
  // Compiled into the library, which does not say that they load.
  std::vector<std::string> providers() const;

  const ort::Api& api() const noexcept { return *api_; }
  const ort::Env* env() const noexcept { return env_; }

  // Throws what a status says, with the code given, and releases it.
  void check(ort::Status* status, ErrorCode code = ErrorCode::runtime, const std::string& what = "") const;

 private:
  std::string path_;
  const ort::ApiBase* base_ = nullptr;
  std::unique_ptr<ort::Api> api_;
  ort::Env* env_ = nullptr;
};

// The runtime's own words without the build paths and C++ signatures around them.
std::string last_sentence(const std::string& message);

}  // namespace silverprint
