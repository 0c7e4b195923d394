#include "runtime/library.h"

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#if defined(_WIN32)
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace silverprint {
namespace {

void disable_telemetry() {
#if defined(_WIN32)
  _putenv_s("ORT_DISABLE_TELEMETRY", "1");
#else
  setenv("ORT_DISABLE_TELEMETRY", "1", 1);
#endif
}

// Windows takes a plain std::string for text in the system's code page.
std::filesystem::path from_utf8(const std::string& path) { return std::u8string(path.begin(), path.end()); }

#if defined(_WIN32)
const ort::ApiBase* open_library(const std::string& path) {
  HMODULE handle = LoadLibraryW(from_utf8(path).c_str());
  if (!handle) throw Error(ErrorCode::runtime, path + ": cannot be loaded; reinstall onnxruntime");
  using Entry = const ort::ApiBase* (*)();
  const auto entry = reinterpret_cast<Entry>(GetProcAddress(handle, "OrtGetApiBase"));
  if (!entry) throw Error(ErrorCode::runtime, path + ": not an ONNX Runtime library; reinstall onnxruntime");
  return entry();
}
#else
const ort::ApiBase* open_library(const std::string& path) {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const char* reason = dlerror();
    throw Error(ErrorCode::runtime, std::string("the ONNX Runtime library cannot be loaded: ") +
                                        (reason ? reason : path.c_str()) + "; reinstall onnxruntime");
  }
  using Entry = const ort::ApiBase* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(handle, "OrtGetApiBase"));
  if (!entry) throw Error(ErrorCode::runtime, path + ": not an ONNX Runtime library; reinstall onnxruntime");
  return entry();
}
#endif

// Errors reach the user as exceptions; the runtime's own lines on stderr would only repeat them.
void discard_log(void*, int, const char*, const char*, const char*, const char*) {}

bool speaks(const char* version, unsigned api) {
  unsigned major = 0, minor = 0;
  return std::sscanf(version, "%u.%u", &major, &minor) == 2 && (major > 1 || minor >= api);
}

}  // namespace

std::string last_sentence(const std::string& message) {
  // "file.cc:12 void onnxruntime::f(...) Text." -> "Text."
  std::string text = message;
  if (const auto signature = text.rfind(") "); signature != std::string::npos &&
                                               text.find("onnxruntime::") < signature)
    text = text.substr(signature + 2);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.pop_back();
  return text;
}

RuntimeLibrary::RuntimeLibrary(const RuntimeSource& source)
    : path_(source.base ? "the host's OrtApiBase" : source.path) {
  if (source.telemetry_off) disable_telemetry();
  base_ = source.base ? source.base : open_library(path_);
  const std::string version = base_->get_version();
  if (!speaks(version.c_str(), ort::kApiVersion))
    throw Error(ErrorCode::runtime,
                path_ + ": ONNX Runtime " + version + " is too old; install onnxruntime 1.19 or newer");
  const ort::Table table = base_->get_api(ort::kApiVersion);
  if (!table) throw Error(ErrorCode::runtime, path_ + ": ONNX Runtime " + version + " does not offer its API 19");
  api_ = std::make_unique<ort::Api>(table);
  check(api_->create_env_with_custom_logger(discard_log, nullptr, ort::kLogError, "silverprint", &env_));
  if (source.telemetry_off) check(api_->disable_telemetry_events(env_));
}

bool RuntimeLibrary::is(const RuntimeSource& source) const {
  if (source.base) return source.base == base_;
  std::error_code ignored;
  return source.path == path_ || std::filesystem::equivalent(from_utf8(source.path), from_utf8(path_), ignored);
}

void RuntimeLibrary::check(ort::Status* status, ErrorCode code, const std::string& what) const {
  if (!status) return;
  const std::string message = last_sentence(api_->get_error_message(status));
  api_->release_status(status);
  throw Error(code, what.empty() ? message : what + ": " + message);
}

std::vector<std::string> RuntimeLibrary::providers() const {
  char** names = nullptr;
  int count = 0;
  check(api_->get_available_providers(&names, &count));
  std::vector<std::string> result(names, names + count);
  check(api_->release_available_providers(names, count));
  return result;
}

}  // namespace silverprint
