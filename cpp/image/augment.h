#pragma once
#include <cstdint>

#include "image/prepare.h"

namespace silverprint {

enum class Augmentation { crop, rotation, blur, exposure, noise, flip, scene };

// One altered version of a picture. The alteration follows from these three values alone.
struct View {
  Augmentation augmentation;
  int number;          // from 1; of flip 1: left to right, 2: upside down, 3: both; of scene from 0, see SceneView
  std::uint64_t seed;  // of SplitMix64, which draws the strength and then the rest
};

// How strong each augmentation is, between two ends. Each of the four views of a picture draws from a
// quarter of its own, so that together they cover the range.
namespace strength {
inline constexpr double kCropArea[] = {0.6, 1};     // share of the area that the rule keeps
inline constexpr double kCropAspect = 1.15;         // most that the crop is wider or higher in proportion
inline constexpr double kRotation[] = {-20, 20};    // degrees counter-clockwise
inline constexpr double kBlur[] = {0.5, 1.5};       // standard deviation, in pixels where the shorter side is 224
inline constexpr double kExposure[] = {-1, 1};      // stops: light times 2^stops
inline constexpr double kNoise[] = {2, 10};         // standard deviation, in levels
}  // namespace strength

// The image tensor of a view of `picture`; `prepared` is that of the picture itself, and apart from
// `tensor`. A crop is a part of what the rule keeps of the picture, resampled from there; the others alter the prepared tensor; beyond its
// edges stands its mirror image. What is computed in floating point are parameters of a view, which
// are rounded to fixed point before they meet pixels: the same bytes on every instruction set.
void prepare_view(const Pixels& picture, const PictureRule& rule, const View& view, const Kernels& kernels,
                  const float* prepared, float* tensor);

}  // namespace silverprint
