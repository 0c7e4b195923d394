// silverprint's C API for C++17: owns its classifiers, speaks std::string and throws.
//
// Header-only: nothing but the C functions crosses into the library, whatever compiler built it.
// Classifiers are immutable; every const member may be called from many threads at once.
#ifndef SILVERPRINT_HPP
#define SILVERPRINT_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "silverprint.h"

namespace silverprint {
// The inline namespace keeps these names apart from those inside a static library.
inline namespace v1 {

// What every function below throws: the library's message, and its status for programs to act on.
class Error : public std::runtime_error {
 public:
  Error(silverprint_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
  silverprint_status status() const noexcept { return status_; }

 private:
  silverprint_status status_;
};

// Throws Error unless `status` is SILVERPRINT_OK.
inline void check(silverprint_status status) {
  if (status != SILVERPRINT_OK) throw Error(status, silverprint_last_error());
}

// See silverprint_options in silverprint.h.
struct Options {
  const OrtApiBase* runtime_api = nullptr;
  std::string runtime_path;
  std::int32_t telemetry = SILVERPRINT_TELEMETRY_OFF;
  std::int32_t threads = 1;
};

enum class Format : std::int32_t {
  rgb = SILVERPRINT_RGB,
  bgr = SILVERPRINT_BGR,
  rgba = SILVERPRINT_RGBA,
  bgra = SILVERPRINT_BGRA,
};

// A picture in the caller's memory whose rows follow each other without a gap.
inline silverprint_pixels packed(const std::uint8_t* data, std::size_t width, std::size_t height,
                                 Format format = Format::rgb) {
  const std::size_t bytes = format == Format::rgb || format == Format::bgr ? 3 : 4;
  return {data, width, height, static_cast<std::ptrdiff_t>(width * bytes), static_cast<std::int32_t>(format)};
}

class Classifier {
 public:
  explicit Classifier(const std::string& path, const Options& options = {}) {
    const silverprint_options c_options = in_c(options);
    silverprint_classifier* made = nullptr;
    check(silverprint_load_file(path.c_str(), &c_options, &made));
    adopt(made);
  }

  // From the bytes of a model file, which are not needed afterwards.
  Classifier(const void* data, std::size_t size, const Options& options = {}) {
    const silverprint_options c_options = in_c(options);
    silverprint_classifier* made = nullptr;
    check(silverprint_load_memory(data, size, &c_options, &made));
    adopt(made);
  }

  // In the order of the probabilities.
  const std::vector<std::string>& labels() const noexcept { return labels_; }
  std::size_t width() const noexcept { return width_; }
  std::size_t height() const noexcept { return height_; }

  // The probability of each label.
  std::vector<float> probabilities(const silverprint_pixels& pixels) const {
    std::vector<float> row(labels_.size());
    probabilities(pixels, row.data(), row.size());
    return row;
  }

  // The same into room for `count` floats, without allocating the result.
  void probabilities(const silverprint_pixels& pixels, float* row, std::size_t count) const {
    check(silverprint_predict(handle_.get(), &pixels, row, count));
  }

  // The same from a ready tensor: 3 x height x width floats, planes of red, green and blue, 0 to 255.
  std::vector<float> probabilities(const std::vector<float>& image) const {
    std::vector<float> row(labels_.size());
    check(silverprint_predict_tensor(handle_.get(), image.data(), image.size(), row.data(), row.size()));
    return row;
  }

  // The most probable label.
  const std::string& prediction(const silverprint_pixels& pixels) const {
    const std::vector<float> row = probabilities(pixels);
    return labels_[static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin())];
  }

  // For calls to the C API; lives as long as this object.
  const silverprint_classifier* handle() const noexcept { return handle_.get(); }

 private:
  static silverprint_options in_c(const Options& options) {
    silverprint_options c_options = SILVERPRINT_OPTIONS_INIT;
    c_options.runtime_api = options.runtime_api;
    c_options.runtime_path = options.runtime_path.empty() ? nullptr : options.runtime_path.c_str();
    c_options.telemetry = options.telemetry;
    c_options.threads = options.threads;
    return c_options;
  }

  void adopt(silverprint_classifier* made) {
    handle_.reset(made);
    std::size_t count = 0;
    check(silverprint_label_count(made, &count));
    for (std::size_t i = 0; i < count; ++i) {
      const char* label = nullptr;
      check(silverprint_label(made, i, &label));
      labels_.emplace_back(label);
    }
    check(silverprint_input(made, &width_, &height_, nullptr));
  }

  struct Free {
    void operator()(silverprint_classifier* classifier) const noexcept { silverprint_free(classifier); }
  };

  std::unique_ptr<silverprint_classifier, Free> handle_;
  std::vector<std::string> labels_;
  std::size_t width_ = 0, height_ = 0;
};

}  // namespace v1
}  // namespace silverprint

#endif
