#pragma once
#include "include/silverprint.h"
#include "runtime/library.h"

namespace silverprint::api {

// The runtime that `options` choose, loaded; the order stands at silverprint_options.
RuntimeLibrary& find_runtime(const silverprint_options& options);

}  // namespace silverprint::api
