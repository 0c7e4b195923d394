#include "api/failure.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace silverprint::api {
namespace {

// A fixed buffer: a thread that ends after the library was unloaded must have nothing to destroy.
thread_local char last_error[2048] = "";

}  // namespace

silverprint_status fail(silverprint_status status, const char* message) noexcept {
  std::size_t size = std::min(std::strlen(message), sizeof(last_error) - 1);
  if (message[size] != '\0')
    while (size > 0 && (message[size] & 0xC0) == 0x80) --size;  // cut between characters of UTF-8
  std::memcpy(last_error, message, size);
  last_error[size] = '\0';
  return status;
}

silverprint_status status_of(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument:
      return SILVERPRINT_INVALID_ARGUMENT;
    case ErrorCode::backbone:
      return SILVERPRINT_INVALID_MODEL;
    case ErrorCode::runtime:
      return SILVERPRINT_RUNTIME;
    case ErrorCode::process:
      return SILVERPRINT_FORKED;
    default:
      return SILVERPRINT_INTERNAL;
  }
}

void require(bool valid, const char* message) {
  if (!valid) throw Failure(SILVERPRINT_INVALID_ARGUMENT, message);
}

}  // namespace silverprint::api

const char* silverprint_last_error() { return silverprint::api::last_error; }
