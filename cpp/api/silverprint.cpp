#include "include/silverprint.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "api/classifier.h"
#include "api/failure.h"

struct silverprint_classifier : silverprint::api::Classifier {
  using Classifier::Classifier;
};

namespace silverprint::api {
namespace {

constexpr std::size_t kLargestPicture = 1'000'000;
static_assert(static_cast<int>(CropAndScale::center_crop) == SILVERPRINT_CENTER_CROP);
static_assert(static_cast<int>(CropAndScale::scale_fill) == SILVERPRINT_SCALE_FILL);
static_assert(static_cast<int>(CropAndScale::scale_fit) == SILVERPRINT_SCALE_FIT);

silverprint_options checked(const silverprint_options* given) {
  silverprint_options options = SILVERPRINT_OPTIONS_INIT;
  if (!given) return options;
  // A program built with another version's header may know fewer fields, or more.
  require(given->size >= sizeof(options), "options: begin with SILVERPRINT_OPTIONS_INIT");
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  for (std::size_t i = sizeof(options); i < given->size && i < 4096; ++i)
    require(bytes[i] == 0, "options: sets a field that this version of silverprint does not know; upgrade silverprint");
  std::memcpy(&options, given, sizeof(options));
  require(options.telemetry == SILVERPRINT_TELEMETRY_OFF || options.telemetry == SILVERPRINT_TELEMETRY_DEFAULT,
          "options.telemetry: expected SILVERPRINT_TELEMETRY_OFF or SILVERPRINT_TELEMETRY_DEFAULT");
  require(options.threads >= 0 && options.threads <= 1024, "options.threads: expected 0 (one) to 1024");
  return options;
}

std::vector<char> read_file(const std::string& path) {
  const auto fail_with = [&path](int code) {
    throw Failure(SILVERPRINT_CANNOT_READ, path + ": cannot be read (" + std::strerror(code) + ")");
  };
  const std::filesystem::path file(std::u8string(path.begin(), path.end()));
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  if (error) fail_with(error.default_error_condition().value());
  std::vector<char> bytes(static_cast<std::size_t>(size));
#if defined(_WIN32)
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream(_wfopen(file.c_str(), L"rb"), std::fclose);
#else
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream(std::fopen(file.c_str(), "rb"), std::fclose);
#endif
  if (!stream) fail_with(errno);
  bytes.resize(std::fread(bytes.data(), 1, bytes.size(), stream.get()));
  if (std::ferror(stream.get())) fail_with(errno);
  return bytes;
}

Pixels checked(const silverprint_pixels* given) {
  require(given, "pixels is NULL");
  require(given->data, "pixels.data is NULL");
  constexpr ChannelOrder orders[] = {ChannelOrder::rgb, ChannelOrder::bgr, ChannelOrder::rgba, ChannelOrder::bgra};
  require(given->format >= SILVERPRINT_RGB && given->format <= SILVERPRINT_BGRA,
          "pixels.format: expected SILVERPRINT_RGB, _BGR, _RGBA or _BGRA");
  const auto good_side = [](std::size_t side) { return side >= 1 && side <= kLargestPicture; };
  require(good_side(given->width) && good_side(given->height), "pixels: width and height go from 1 to 1,000,000");
  const Pixels pixels{given->data, given->width, given->height, given->row_stride, orders[given->format]};
  const auto row = static_cast<std::ptrdiff_t>(pixels.width * pixels.channels());
  if (given->row_stride < row && given->row_stride > -row)
    throw Failure(SILVERPRINT_INVALID_ARGUMENT, "pixels.row_stride is " + std::to_string(given->row_stride) +
                                                    " bytes, less than a row of " + std::to_string(row));
  return pixels;
}

void check_room(const Classifier* classifier, const float* probabilities, std::size_t count) {
  require(classifier, "classifier is NULL");
  require(probabilities, "probabilities is NULL");
  if (count < classifier->labels().size())
    throw Failure(SILVERPRINT_INVALID_ARGUMENT, "probabilities has room for " + std::to_string(count) +
                                                    " floats, the classifier gives " +
                                                    std::to_string(classifier->labels().size()));
}

// What the runtime's words about a graph mean to the one who has the file.
std::string explained(const std::string& words) {
  if (words.ends_with("rotobuf parsing failed.")) return "not an ONNX file, or cut short";
  for (const char* external : {"xternal data", "model_path must not be empty"})
    if (words.find(external) != std::string::npos) return "points at weights in other files; a model is one file";
  return words;
}

// Every message about a file begins with its name.
[[noreturn]] void rethrow_with(const std::string& path) {
  try {
    throw;
  } catch (const Failure& failure) {
    if (failure.status() != SILVERPRINT_INVALID_MODEL && failure.status() != SILVERPRINT_NEWER_FORMAT) throw;
    throw Failure(failure.status(), path + ": " + failure.what());
  } catch (const Error& error) {
    if (error.code() != ErrorCode::backbone) throw;
    throw Error(error.code(), path + ": " + explained(error.what()));
  }
}

}  // namespace
}  // namespace silverprint::api

using namespace silverprint::api;

const char* silverprint_version() { return SILVERPRINT_VERSION; }

std::int32_t silverprint_format_version() { return kFormatVersion; }

silverprint_status silverprint_load_file(const char* path, const silverprint_options* options,
                                         silverprint_classifier** classifier) {
  return guarded([&] {
    require(classifier, "classifier is NULL");
    *classifier = nullptr;
    require(path, "path is NULL");
    const silverprint_options chosen = checked(options);
    const std::vector<char> model = read_file(path);
    try {
      *classifier = new silverprint_classifier(model, chosen);
    } catch (...) {
      rethrow_with(path);
    }
  });
}

silverprint_status silverprint_load_memory(const void* data, std::size_t size, const silverprint_options* options,
                                           silverprint_classifier** classifier) {
  return guarded([&] {
    require(classifier, "classifier is NULL");
    *classifier = nullptr;
    require(data, "data is NULL");
    const std::span<const char> model(static_cast<const char*>(data), size);
    try {
      *classifier = new silverprint_classifier(model, checked(options));
    } catch (...) {
      rethrow_with("the model in memory");
    }
  });
}

void silverprint_free(silverprint_classifier* classifier) { delete classifier; }

silverprint_status silverprint_label_count(const silverprint_classifier* classifier, std::size_t* count) {
  return guarded([&] {
    require(classifier, "classifier is NULL");
    require(count, "count is NULL");
    *count = classifier->labels().size();
  });
}

silverprint_status silverprint_label(const silverprint_classifier* classifier, std::size_t index,
                                     const char** label) {
  return guarded([&] {
    require(classifier, "classifier is NULL");
    require(label, "label is NULL");
    *label = nullptr;
    if (index >= classifier->labels().size())
      throw Failure(SILVERPRINT_INVALID_ARGUMENT, "index is " + std::to_string(index) + ", the classifier has " +
                                                      std::to_string(classifier->labels().size()) + " labels");
    *label = classifier->labels()[index].c_str();
  });
}

silverprint_status silverprint_input(const silverprint_classifier* classifier, std::size_t* width,
                                     std::size_t* height, std::int32_t* crop_and_scale) {
  return guarded([&] {
    require(classifier, "classifier is NULL");
    const silverprint::PictureRule& rule = classifier->rule();
    if (width) *width = rule.width;
    if (height) *height = rule.height;
    if (crop_and_scale) *crop_and_scale = static_cast<std::int32_t>(rule.crop_and_scale);
  });
}

silverprint_status silverprint_predict(const silverprint_classifier* classifier, const silverprint_pixels* pixels,
                                       float* probabilities, std::size_t count) {
  return guarded([&] {
    check_room(classifier, probabilities, count);
    classifier->predict(checked(pixels), probabilities);
  });
}

silverprint_status silverprint_predict_tensor(const silverprint_classifier* classifier, const float* image,
                                              std::size_t image_size, float* probabilities, std::size_t count) {
  return guarded([&] {
    check_room(classifier, probabilities, count);
    require(image, "image is NULL");
    const silverprint::PictureRule& rule = classifier->rule();
    if (const std::size_t wanted = 3 * rule.height * rule.width; image_size != wanted)
      throw Failure(SILVERPRINT_INVALID_ARGUMENT, "image_size is " + std::to_string(image_size) + ", the input is " +
                                                      std::to_string(wanted) + " floats");
    classifier->predict({image, image_size}, probabilities);
  });
}
