#include "image/prepare.h"

#include <algorithm>
#include <vector>

namespace silverprint {
namespace {

void to_rgb(const std::uint8_t* from, const Pixels& picture, std::size_t pixels, std::uint8_t* to) {
  if (picture.order == ChannelOrder::rgb) {
    std::copy_n(from, 3 * pixels, to);
    return;
  }
  const std::size_t channels = picture.channels(), red = picture.red();
  for (std::size_t i = 0; i < pixels; ++i, from += channels, to += 3) {
    to[0] = from[red];
    to[1] = from[1];
    to[2] = from[2 - red];
  }
}

// A picture that has the rule's size already; whatever the rule's crop and scale, it stays as it is.
void copy(const Pixels& picture, const Kernels& kernels, float* tensor) {
  const std::size_t plane = picture.height * picture.width;
  std::vector<std::uint8_t> converted(picture.order == ChannelOrder::rgb ? 0 : 3 * picture.width);
  for (std::size_t y = 0; y < picture.height; ++y, tensor += picture.width) {
    const std::uint8_t* row = picture.data + static_cast<std::ptrdiff_t>(y) * picture.row_stride;
    if (!converted.empty()) {
      to_rgb(row, picture, picture.width, converted.data());
      row = converted.data();
    }
    kernels.split_pixels(row, picture.width, tensor, tensor + plane, tensor + 2 * plane);
  }
}

}  // namespace

void prepare(const Pixels& picture, const PictureRule& rule, const Kernels& kernels, float* tensor) {
  if (picture.width == rule.width && picture.height == rule.height) return copy(picture, kernels, tensor);
  const Placement p = place(rule, picture.width, picture.height);
  if (p.width != rule.width || p.height != rule.height) std::fill_n(tensor, 3 * rule.height * rule.width, 0.0f);
  resample(picture, p, rule, kernels, tensor);
}

void resample(const Pixels& picture, const Placement& p, const PictureRule& rule, const Kernels& kernels,
              float* tensor) {
  const Filter rows = triangle_filter(picture.height, p.top, p.bottom, p.height, false);
  Filter columns = triangle_filter(picture.width, p.left, p.right, p.width, true);
  const KernelWeights row_weights = KernelWeights::for_rows(rows);
  const KernelWeights column_weights = KernelWeights::for_columns(columns);

  // Only the columns and rows that some output needs are touched at all.
  const std::size_t left = static_cast<std::size_t>(columns.first.front());
  const std::size_t right = std::min(static_cast<std::size_t>(columns.first.back()) + columns.taps, picture.width);
  for (auto& first : columns.first) first -= static_cast<std::int32_t>(left);
  const std::size_t top = static_cast<std::size_t>(rows.first.front());
  const std::size_t bottom = std::min(static_cast<std::size_t>(rows.first.back()) + rows.taps, picture.height);

  const std::size_t narrow = (bottom - top) * p.width;  // one plane after the first pass
  std::vector<std::uint8_t> row((right - left + columns.taps) * 3 + kReadablePastRow), planes(3 * narrow);
  for (std::size_t y = top; y < bottom; ++y) {
    const std::uint8_t* source =
        picture.data + static_cast<std::ptrdiff_t>(y) * picture.row_stride + left * picture.channels();
    to_rgb(source, picture, right - left, row.data());
    std::uint8_t* out = planes.data() + (y - top) * p.width;
    kernels.resample_columns(row.data(), columns.first.data(), column_weights.from(0), columns.taps, p.width, out,
                             out + narrow, out + 2 * narrow);
  }

  const std::size_t plane = rule.height * rule.width;
  for (std::size_t channel = 0; channel < 3; ++channel)
    for (std::size_t y = 0; y < p.height; ++y) {
      const std::size_t first = static_cast<std::size_t>(rows.first[y]);
      const std::size_t taps = std::min(rows.taps, picture.height - first);
      kernels.resample_rows(planes.data() + channel * narrow + (first - top) * p.width,
                            static_cast<std::ptrdiff_t>(p.width), row_weights.from(y * rows.taps), taps, p.width,
                            tensor + channel * plane + (p.y + y) * rule.width + p.x);
    }
}

}  // namespace silverprint
