#include "image/scene_view.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/random.h"

namespace silverprint {
namespace {

double between(const double (&range)[2], SplitMix64& random) {
  return range[0] + (range[1] - range[0]) * random.uniform();
}

SceneGeometry draw_geometry(SplitMix64& random) {
  SceneGeometry shown{};
  shown.flip = random.uniform() < scene::kFlipped;
  double width, height;
  if (random.uniform() < scene::kCropped) {
    const double area = between(scene::kCropArea, random);
    double aspect = 1 + (scene::kCropAspect - 1) * random.uniform();
    if (random.uniform() < 0.5) aspect = 1 / aspect;
    width = std::min(std::sqrt(area * aspect), 1.0);
    height = std::min(std::sqrt(area / aspect), 1.0);
  } else {
    width = height = between(scene::kZoom, random);
  }
  // Anywhere in the picture, or the picture anywhere in it.
  shown.left = (1 - width) * random.uniform();
  shown.top = (1 - height) * random.uniform();
  shown.right = shown.left + width;
  shown.bottom = shown.top + height;
  return shown;
}

// In 2^-8ths.
struct ColourFactors {
  float brightness, contrast, saturation;
};

ColourFactors draw_colour(SplitMix64& random) {
  const auto factor = [&] { return static_cast<float>(std::lround(between(scene::kColour, random) * 256)); };
  const float brightness = factor(), contrast = factor(), saturation = factor();
  return {brightness, contrast, saturation};
}

// One axis: the pixels of the tensor whose centre is in the picture, and the part of the picture
// that they show.
struct Span {
  std::size_t start, size;
  double begin, end;  // in pixels of the picture
};

Span inside(double from, double to, std::size_t picture, std::size_t tensor) {
  const double pixels = static_cast<double>(tensor), begin = from * static_cast<double>(picture);
  const double scale = (to - from) * static_cast<double>(picture) / pixels;
  // The first pixel whose centre is at or past a point of the picture.
  const auto first_from = [&](double point) {
    return static_cast<std::size_t>(std::clamp(std::ceil((point - begin) / scale - 0.5), 0.0, pixels));
  };
  const std::size_t first = first_from(0), last = first_from(static_cast<double>(picture));
  return {first, last - first, begin + static_cast<double>(first) * scale, begin + static_cast<double>(last) * scale};
}

// All below are whole numbers below 2^24, exact in float32 in any order of the operations.

float to_level(float shifted, int bits) {
  return static_cast<float>(std::clamp(static_cast<std::int32_t>(shifted) >> bits, 0, 255));
}

// A level brought nearer to another, or away from it where the factor is above 1.
float blend(float around, float level, float factor) {
  return to_level(around * (256 - factor) + level * factor + 128, 8);
}

// The grey level of ITU-R BT.601, as Pillow computes it.
float grey(float red, float green, float blue) {
  return to_level(19595 * red + 38470 * green + 7471 * blue + 32768, 16);
}

// Brightens a row in place; the sum of its grey levels.
std::int64_t brighten(float factor, std::size_t width, float* red, float* green, float* blue) {
  std::int32_t sum = 0;
  for (std::size_t x = 0; x < width; ++x) {
    red[x] = blend(0, red[x], factor);
    green[x] = blend(0, green[x], factor);
    blue[x] = blend(0, blue[x], factor);
    sum += static_cast<std::int32_t>(grey(red[x], green[x], blue[x]));
  }
  return sum;
}

void change_contrast_and_saturation(float mean, const ColourFactors& factors, std::size_t width, float* red,
                                    float* green, float* blue) {
  for (std::size_t x = 0; x < width; ++x) {
    const float r = blend(mean, red[x], factors.contrast);
    const float g = blend(mean, green[x], factors.contrast);
    const float b = blend(mean, blue[x], factors.contrast);
    const float l = grey(r, g, b);
    red[x] = blend(l, r, factors.saturation);
    green[x] = blend(l, g, factors.saturation);
    blue[x] = blend(l, b, factors.saturation);
  }
}

void change_colour(const ColourFactors& factors, const PictureRule& rule, const Placement& part, float* tensor) {
  const std::size_t plane = rule.height * rule.width;
  const auto row = [&](std::size_t y) { return tensor + (part.y + y) * rule.width + part.x; };
  std::int64_t sum = 0;
  for (std::size_t y = 0; y < part.height; ++y) {
    float* red = row(y);
    sum += brighten(factors.brightness, part.width, red, red + plane, red + 2 * plane);
  }
  const auto count = static_cast<std::int64_t>(part.height * part.width);
  const auto mean = static_cast<float>((2 * sum + count) / (2 * count));
  for (std::size_t y = 0; y < part.height; ++y) {
    float* red = row(y);
    change_contrast_and_saturation(mean, factors, part.width, red, red + plane, red + 2 * plane);
  }
}

}  // namespace

SceneGeometry scene_geometry(const SceneView& view) {
  if (view.number < 2) return {0, 0, 1, 1, view.number == 1};
  SplitMix64 random(view.seed);
  return draw_geometry(random);
}

void prepare_scene_view(const Pixels& picture, const PictureRule& rule, const SceneView& view,
                        const Kernels& kernels, const float* prepared, float* tensor) {
  if (rule.crop_and_scale != CropAndScale::scale_fill)
    throw Error(ErrorCode::invalid_argument, "a scene view shows parts of whole pictures: it needs scale_fill");
  const std::size_t size = 3 * rule.height * rule.width;
  bool flip = view.number == 1;
  if (view.number < 2) {
    std::copy_n(prepared, size, tensor);
  } else {
    SplitMix64 random(view.seed);
    const SceneGeometry shown = draw_geometry(random);
    const ColourFactors factors = draw_colour(random);
    const Span across = inside(shown.left, shown.right, picture.width, rule.width);
    const Span down = inside(shown.top, shown.bottom, picture.height, rule.height);
    const Placement part{across.begin, down.begin, across.end,  down.end,
                         across.start, down.start, across.size, down.size};
    if (part.width < rule.width || part.height < rule.height) std::fill_n(tensor, size, scene::kBeyond);
    if (part.width > 0 && part.height > 0) {
      resample(picture, part, rule, kernels, tensor);
      change_colour(factors, rule, part, tensor);
    }
    flip = shown.flip;
  }
  if (flip)
    for (float* row = tensor; row != tensor + size; row += rule.width) std::reverse(row, row + rule.width);
}

}  // namespace silverprint
