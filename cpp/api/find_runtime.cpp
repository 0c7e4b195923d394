#include "api/find_runtime.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "api/failure.h"
#include "base/process.h"

#if defined(_WIN32)
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace silverprint::api {
namespace {

namespace fs = std::filesystem;

// The folder of the shared library, or of the program, that this code was linked into.
fs::path own_folder() {
#if defined(_WIN32)
  HMODULE module = nullptr;
  wchar_t path[4096];
  const DWORD flags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
  if (!GetModuleHandleExW(flags, reinterpret_cast<LPCWSTR>(&own_folder), &module)) return {};
  const DWORD size = GetModuleFileNameW(module, path, 4096);
  return size == 0 || size == 4096 ? fs::path() : fs::path(path).parent_path();
#else
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&own_folder), &info) == 0 || !info.dli_fname) return {};
  std::error_code ignored;
  const fs::path file = fs::canonical(info.dli_fname, ignored);
  return ignored ? fs::path() : file.parent_path();
#endif
}

bool is_runtime(const std::string& name) {
#if defined(_WIN32)
  return name == "onnxruntime.dll";
#elif defined(__APPLE__)
  return name.starts_with("libonnxruntime.") && name.ends_with(".dylib");
#else
  return name.starts_with("libonnxruntime.so");
#endif
}

std::string utf8(const fs::path& path) {
  const std::u8string text = path.u8string();
  return {text.begin(), text.end()};
}

std::string beside() {
  const fs::path folder = own_folder();
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (is_runtime(utf8(entry->path().filename()))) found.push_back(utf8(entry->path()));
  if (found.empty())
    throw Failure(SILVERPRINT_RUNTIME,
                  "no ONNX Runtime library: options.runtime_api, options.runtime_path and SILVERPRINT_RUNTIME are "
                  "not set, and there is none in " +
                      utf8(folder) + "; install onnxruntime 1.19 or newer and give its path");
  return *std::max_element(found.begin(), found.end());
}

RuntimeLibrary& at(const std::string& path, const char* given_by, bool telemetry_off) {
  std::error_code error;
  if (!fs::is_regular_file(fs::path(std::u8string(path.begin(), path.end())), error))
    throw Failure(SILVERPRINT_RUNTIME, std::string(given_by) + "=" + path +
                                           ": no such file; give the path of the ONNX Runtime library");
  return runtime_library(RuntimeSource{path, nullptr, telemetry_off});
}

}  // namespace

RuntimeLibrary& find_runtime(const silverprint_options& options) {
  require(!options.runtime_api || !options.runtime_path, "options: set runtime_api or runtime_path, not both");
  const bool telemetry_off = options.telemetry == SILVERPRINT_TELEMETRY_OFF;
  if (options.runtime_api)
    return runtime_library(
        RuntimeSource{{}, reinterpret_cast<const ort::ApiBase*>(options.runtime_api), telemetry_off});
  if (options.runtime_path) return at(options.runtime_path, "options.runtime_path", telemetry_off);
  if (RuntimeLibrary* loaded = loaded_runtime_library()) return *loaded;
  if (const char* path = std::getenv("SILVERPRINT_RUNTIME"); path && *path)
    return at(path, "SILVERPRINT_RUNTIME", telemetry_off);
  return runtime_library(RuntimeSource{beside(), nullptr, telemetry_off});
}

}  // namespace silverprint::api
