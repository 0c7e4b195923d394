#pragma once
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/error.h"
#include "include/silverprint.h"

namespace silverprint::api {

// A status and its message, on the way to the boundary.
class Failure : public std::runtime_error {
 public:
  Failure(silverprint_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
  silverprint_status status() const noexcept { return status_; }

 private:
  silverprint_status status_;
};

// Keeps `message` for silverprint_last_error on this thread and hands `status` on.
silverprint_status fail(silverprint_status status, const char* message) noexcept;

silverprint_status status_of(ErrorCode code) noexcept;

// Runs `body`; whatever it throws becomes a status. Every function of the boundary goes through here.
template <class Body>
silverprint_status guarded(Body&& body) noexcept {
  try {
    std::forward<Body>(body)();
    return SILVERPRINT_OK;
  } catch (const Failure& failure) {
    return fail(failure.status(), failure.what());
  } catch (const Error& error) {
    return fail(status_of(error.code()), error.what());
  } catch (const std::bad_alloc&) {
    return fail(SILVERPRINT_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& error) {
    return fail(SILVERPRINT_INTERNAL, error.what());
  } catch (...) {
    return fail(SILVERPRINT_INTERNAL, "unknown exception");
  }
}

// Throws SILVERPRINT_INVALID_ARGUMENT unless `valid`.
void require(bool valid, const char* message);

}  // namespace silverprint::api
