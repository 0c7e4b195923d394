#pragma once
#include <cstdint>

#include "image/prepare.h"

namespace silverprint {

// One version of a picture for object detection: 0 is the picture itself, 1 is mirrored left to
// right, those from 2 are random. It follows from these two values alone.
struct SceneView {
  int number;
  std::uint64_t seed;  // of SplitMix64
};

// Which rectangle of the picture the tensor shows, with the picture from 0 to 1 in both directions
// (below 0 and above 1 where more than the picture is shown), and whether it is then mirrored left
// to right. A point (x, y) of the picture is at ((x - left) / (right - left), (y - top) / (bottom - top))
// of the tensor, or mirrored, exactly: it is not rounded to whole pixels.
struct SceneGeometry {
  double left, top, right, bottom;
  bool flip;
};

// How strong a random view is, between two ends.
namespace scene {
inline constexpr double kFlipped = 0.5;            // share of views
inline constexpr double kCropped = 0.7;            // share of views; the others are zoomed out
inline constexpr double kCropArea[] = {0.35, 1};   // share of the picture's area
inline constexpr double kCropAspect = 4.0 / 3.0;   // most that a crop is wider or higher in proportion
inline constexpr double kZoom[] = {1, 1.6};        // sides of what is shown, in sides of the picture
inline constexpr double kColour[] = {0.7, 1.3};    // factors of brightness, contrast and saturation
inline constexpr float kBeyond = 114;              // level of what is beyond the picture
}  // namespace scene

// Needs no picture: it is the same for every size.
SceneGeometry scene_geometry(const SceneView& view);

// The image tensor of a view of `picture`; `prepared` is that of the picture itself, and apart from
// `tensor`. A rectangle is resampled from the picture, not from `prepared`. Brightness, contrast and
// saturation, in this order, change what is shown of the picture as Pillow's ImageEnhance does,
// rounded to whole levels at each step; contrast is about the mean grey level of that part. Parameters
// are rounded to fixed point before they meet pixels: the same bytes on every instruction set.
// Throws `invalid_argument` for a rule other than scale_fill, whose tensor is not the whole picture.
void prepare_scene_view(const Pixels& picture, const PictureRule& rule, const SceneView& view,
                        const Kernels& kernels, const float* prepared, float* tensor);

}  // namespace silverprint
