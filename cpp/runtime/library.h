#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "runtime/abi.h"

namespace silverprint {

// Which ONNX Runtime to run, and what to do about its telemetry.
struct RuntimeSource {
  std::string path;                    // the file of the shared library
  const ort::ApiBase* base = nullptr;  // or what the host already has from OrtGetApiBase()
  bool telemetry_off = true;           // before the environment exists; otherwise it is left alone
};

// One ONNX Runtime library, loaded for good, with its one environment.
class RuntimeLibrary {
 public:
  // Throws `runtime` with the remedy where the file is missing, is not ONNX Runtime, or is older
  // than 1.19.
  explicit RuntimeLibrary(const RuntimeSource& source);

  // Whether `source` is the library that this is.
  bool is(const RuntimeSource& source) const;

  // Its file, or words that say that the host gave it.
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
