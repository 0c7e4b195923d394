#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

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
// Pillow's antialiased bilinear, in 1/16384ths that add up to 16384 exactly.
struct Filter {
  std::size_t taps;                   // per output, the same for all
  std::vector<std::int32_t> first;    // input index of the first tap, per output
  std::vector<std::int16_t> weight;   // (outputs, taps); 0 past the input
};

// Maps the interval [begin, end) of `inputs` pixels to `outputs` pixels; `even` rounds taps up to pairs.
Filter triangle_filter(std::size_t inputs, double begin, double end, std::size_t outputs, bool even);

}  // namespace silverprint
