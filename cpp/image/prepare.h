#pragma once
#include <cstddef>
#include <cstdint>

#include "image/geometry.h"
#include "kernels/kernels.h"

namespace silverprint {

// Bytes that resample_columns may read past the last pixel of a row.
inline constexpr std::size_t kReadablePastRow = 8;

enum class ChannelOrder { rgb, bgr, rgba, bgra };

// A picture in somebody else's memory.
struct Pixels {
  const std::uint8_t* data;
  std::size_t width, height;
  std::ptrdiff_t row_stride;  // bytes
  ChannelOrder order;

  std::size_t channels() const noexcept {
    return order == ChannelOrder::rgba || order == ChannelOrder::bgra ? 4 : 3;
  }
  std::size_t red() const noexcept { return order == ChannelOrder::bgr || order == ChannelOrder::bgra ? 2 : 0; }
};

// The image tensor: (3, height, width) float32, RGB, whole levels 0..255, by the picture rule.
// Alpha is ignored. Integer arithmetic throughout: the same bytes on every instruction set. As in
// Pillow's antialiased bilinear the width is resampled first and rounded to whole levels.
void prepare(const Pixels& picture, const PictureRule& rule, const Kernels& kernels, float* tensor);

// The part of that which a placement names: what is beyond its place in `tensor` stays as it is.
void resample(const Pixels& picture, const Placement& placement, const PictureRule& rule, const Kernels& kernels,
              float* tensor);

}  // namespace silverprint
