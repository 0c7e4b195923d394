#include "api/record.h"

#include <cstdint>
#include <memory>
#include <unordered_set>

#include "api/failure.h"

// Compiled as part of this file: no symbol of it is left to meet another copy in the program.
#define YYJSON_DISABLE_WRITER 1
#define YYJSON_DISABLE_UTILS 1
#define yyjson_api [[maybe_unused]] static
#include <yyjson.c>

namespace silverprint::api {
namespace {

constexpr std::int64_t kLargestSide = 16384;

struct Free {
  void operator()(yyjson_doc* document) const { yyjson_doc_free(document); }
};

[[noreturn]] void damaged(const std::string& what) {
  throw Failure(SILVERPRINT_INVALID_MODEL, what + "; the file is damaged");
}

yyjson_val* member(yyjson_val* object, const char* key) {
  yyjson_val* value = yyjson_obj_get(object, key);
  if (!value) damaged("its record lacks '" + std::string(key) + "'");
  return value;
}

std::string text(yyjson_val* value, const char* what) {
  if (!yyjson_is_str(value)) damaged(std::string(what) + " is not a text");
  return {yyjson_get_str(value), yyjson_get_len(value)};
}

std::int64_t whole_number(yyjson_val* value, const char* what) {
  if (!yyjson_is_int(value)) damaged(std::string(what) + " is not a whole number");
  return yyjson_get_sint(value);
}

void check_version(yyjson_val* value, const char* name, std::uint64_t known, const std::string& what) {
  const std::int64_t version = whole_number(value, name);
  // What is not negative fills 64 bits.
  const bool negative = yyjson_is_sint(value);
  if (!negative && yyjson_get_uint(value) > known)
    throw Failure(SILVERPRINT_NEWER_FORMAT, what + " " + std::to_string(yyjson_get_uint(value)) +
                                                ", this silverprint reads " + std::to_string(known) +
                                                ": upgrade silverprint");
  if (version < 1) damaged(what + " " + std::to_string(version) + ", which there is not");
}

std::vector<std::string> parse_labels(yyjson_val* list) {
  std::vector<std::string> labels;
  std::unordered_set<std::string> seen;
  std::size_t index, count;
  yyjson_val* label;
  yyjson_arr_foreach(list, index, count, label) {
    labels.push_back(text(label, "one of its labels"));
    if (labels.back().find('\0') != std::string::npos)
      throw Failure(SILVERPRINT_INVALID_MODEL, "one of its labels holds a zero character, which a C text cannot");
    if (!seen.insert(labels.back()).second) damaged("its label '" + labels.back() + "' stands there twice");
  }
  if (labels.empty()) damaged("it has no list of labels");
  return labels;
}

PictureRule parse_rule(yyjson_val* rule) {
  check_version(member(rule, "version"), "picture_rule.version", 1, "made for picture rule version");
  const auto side = [rule](const char* name) {
    const std::int64_t pixels = whole_number(member(rule, name), name);
    if (pixels < 1 || pixels > kLargestSide) damaged("its input is not between 1 and 16384 pixels wide and high");
    return static_cast<std::size_t>(pixels);
  };
  PictureRule parsed{side("height"), side("width"), CropAndScale::center_crop};
  const std::string mode = text(member(rule, "crop_and_scale"), "crop_and_scale");
  if (mode == "scale_fill")
    parsed.crop_and_scale = CropAndScale::scale_fill;
  else if (mode == "scale_fit")
    parsed.crop_and_scale = CropAndScale::scale_fit;
  else if (mode != "center_crop")
    damaged("crop_and_scale is '" + mode + "'");
  return parsed;
}

}  // namespace

ClassifierRecord parse_record(std::string_view json) {
  // Python writes NaN and Infinity where a figure has no value.
  const std::unique_ptr<yyjson_doc, Free> document(
      yyjson_read(json.data(), json.size(), YYJSON_READ_ALLOW_INF_AND_NAN));
  yyjson_val* root = yyjson_doc_get_root(document.get());
  if (!yyjson_is_obj(root)) damaged("its record is not a JSON object");
  check_version(member(root, "format_version"), "format_version", kFormatVersion, "written in format");
  if (const std::string kind = text(member(root, "kind"), "kind"); kind != "classifier")
    throw Failure(SILVERPRINT_INVALID_MODEL, "holds a " + kind + ", not a classifier");
  return {parse_labels(member(root, "labels")), parse_rule(member(root, "picture_rule"))};
}

}  // namespace silverprint::api
