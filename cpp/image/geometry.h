#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/kernels.h"

namespace silverprint {

enum class CropAndScale { center_crop, scale_fill, scale_fit };

// The part of the picture rule that the core carries out.
struct PictureRule {
  std::size_t height, width;
  CropAndScale crop_and_scale;
};

// Which part of a picture goes where in the result.
struct Placement {
  double left, top, right, bottom;     // of the picture, in pixels
  std::size_t x, y, width, height;     // of the result; the rest stays black
};

Placement place(const PictureRule& rule, std::size_t picture_width, std::size_t picture_height);

// A triangle filter along one axis, widened where it shrinks so that it does not alias: the taps of
// Pillow's antialiased bilinear, each rounded to 2^-22 as there.
struct Filter {
  std::size_t taps;                     // per output, the same for all
  std::vector<std::int32_t> first;      // input index of the first tap, per output
  std::vector<std::int32_t> weight;     // (outputs, taps) in 2^-22ths; 0 past the input
};

// Maps the interval [begin, end) of `inputs` pixels to `outputs` pixels; `even` rounds taps up to pairs.
Filter triangle_filter(std::size_t inputs, double begin, double end, std::size_t outputs, bool even);

// The weights of a filter as the kernels take them.
class KernelWeights {
 public:
  static KernelWeights for_rows(const Filter& filter);     // (outputs, taps), row-major
  static KernelWeights for_columns(const Filter& filter);  // at column_weight(output, tap, taps)

  SplitWeights from(std::size_t index) const noexcept { return {high_.data() + index, low_.data() + index}; }

 private:
  explicit KernelWeights(std::size_t size) : high_(size), low_(size) {}
  void set(std::size_t index, std::int32_t weight);

  std::vector<std::int16_t> high_, low_;
};

}  // namespace silverprint
