#include "image/prepare.h"

#include <algorithm>
#include <vector>

namespace silverprint {
namespace {

// What resample_columns may read past the last pixel.
constexpr std::size_t kReadable = 8;

void to_rgb(const std::int16_t* from, ChannelOrder order, std::size_t pixels, std::int16_t* to) {
  const std::size_t channels = order == ChannelOrder::rgba ? 4 : 3;
  const std::size_t red = order == ChannelOrder::bgr ? 2 : 0;
  for (std::size_t i = 0; i < pixels; ++i, from += channels, to += 3) {
    to[0] = from[red];
    to[1] = from[1];
    to[2] = from[2 - red];
  }
}

}  // namespace

void prepare(const Pixels& picture, const PictureRule& rule, const Kernels& kernels, float* tensor) {
  const Placement p = place(rule, picture.width, picture.height);
  const Filter rows = triangle_filter(picture.height, p.top, p.bottom, p.height, false);
  Filter columns = triangle_filter(picture.width, p.left, p.right, p.width, true);

  // Only the columns that some output needs are resampled at all.
  const std::size_t from = static_cast<std::size_t>(columns.first.front());
  const std::size_t to = std::min(static_cast<std::size_t>(columns.first.back()) + columns.taps, picture.width);
  for (auto& first : columns.first) first -= static_cast<std::int32_t>(from);
  const std::size_t width = to - from, channels = picture.channels();

  const std::size_t plane = rule.height * rule.width;
  if (p.width != rule.width || p.height != rule.height) std::fill_n(tensor, 3 * plane, 0.0f);

  const std::size_t padding = 3 * columns.taps + kReadable;
  std::vector<std::int16_t> row(width * channels + padding);
  std::vector<std::int16_t> rgb(picture.order == ChannelOrder::rgb ? 0 : width * 3 + padding);
  for (std::size_t y = 0; y < p.height; ++y) {
    const std::size_t first = static_cast<std::size_t>(rows.first[y]);
    const std::size_t taps = std::min(rows.taps, picture.height - first);
    kernels.resample_rows(picture.data + static_cast<std::ptrdiff_t>(first) * picture.row_stride + from * channels,
                          picture.row_stride, rows.weight.data() + y * rows.taps, taps, width * channels,
                          row.data());
    const std::int16_t* source = row.data();
    if (picture.order != ChannelOrder::rgb) {
      to_rgb(row.data(), picture.order, width, rgb.data());
      source = rgb.data();
    }
    float* out = tensor + (p.y + y) * rule.width + p.x;
    kernels.resample_columns(source, columns.first.data(), columns.weight.data(), columns.taps, p.width, out,
                             out + plane, out + 2 * plane);
  }
}

}  // namespace silverprint
