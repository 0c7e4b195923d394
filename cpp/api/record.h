#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "image/geometry.h"

namespace silverprint::api {

// The metadata entry that holds the record, and the format of it that this library reads.
inline constexpr const char* kRecordKey = "silverprint";
inline constexpr int kFormatVersion = 1;

// What a prediction needs of a model file's record (docs/model-file.md).
struct ClassifierRecord {
  std::vector<std::string> labels;
  PictureRule rule;
};

// Throws Failure: SILVERPRINT_NEWER_FORMAT, or SILVERPRINT_INVALID_MODEL where `json` is no such record.
ClassifierRecord parse_record(std::string_view json);

}  // namespace silverprint::api
