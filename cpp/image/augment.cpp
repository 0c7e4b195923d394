#include "image/augment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "base/random.h"
#include "image/scene_view.h"

namespace silverprint {
namespace {

// From the quarter of the range that belongs to the view.
double draw(const double (&range)[2], const View& view, SplitMix64& random) {
  return range[0] + (range[1] - range[0]) * ((view.number - 1 + random.uniform()) / 4);
}

// Where index i of n lies, counted on past either end into the mirror image: 2 1 0 | 0 1 2 | 2 1 0.
std::size_t mirrored(std::int64_t i, std::size_t size) {
  const auto n = static_cast<std::int64_t>(size);
  if (i < 0) i = -1 - i;
  if (i >= 2 * n) i %= 2 * n;
  return static_cast<std::size_t>(i < n ? i : 2 * n - 1 - i);
}

// What a rule that crops keeps of a picture, in whole pixels.
Pixels kept(const Pixels& picture, const PictureRule& rule) {
  const Placement p = place(rule, picture.width, picture.height);
  const auto whole = [](double v) { return static_cast<std::size_t>(std::lround(v)); };
  const std::size_t left = std::min(whole(p.left), picture.width - 1), top = std::min(whole(p.top), picture.height - 1);
  Pixels part = picture;
  part.width = std::max<std::size_t>(whole(p.right), left + 1) - left;
  part.height = std::max<std::size_t>(whole(p.bottom), top + 1) - top;
  part.data += static_cast<std::ptrdiff_t>(top) * picture.row_stride + left * picture.channels();
  return part;
}

Pixels crop(const Pixels& picture, const View& view) {
  SplitMix64 random(view.seed);
  const double area = draw(strength::kCropArea, view, random);
  double aspect = 1 + (strength::kCropAspect - 1) * random.uniform();
  if (random.uniform() < 0.5) aspect = 1 / aspect;
  const auto side = [](std::size_t whole, double share) {
    return std::clamp<std::size_t>(static_cast<std::size_t>(static_cast<double>(whole) * share + 0.5), 1, whole);
  };
  const auto start = [&](std::size_t room) {
    return std::min(static_cast<std::size_t>(random.uniform() * static_cast<double>(room + 1)), room);
  };
  Pixels part = picture;
  part.width = side(picture.width, std::sqrt(area * aspect));
  part.height = side(picture.height, std::sqrt(area / aspect));
  const std::size_t left = start(picture.width - part.width);
  const std::size_t top = start(picture.height - part.height);
  part.data += static_cast<std::ptrdiff_t>(top) * picture.row_stride + left * picture.channels();
  return part;
}

// Bilinear, about the centre.
void rotate(const PictureRule& rule, const View& view, const float* prepared, float* tensor) {
  SplitMix64 random(view.seed);
  constexpr int kBits = 24;  // of a position's fraction, which the weights round to 8
  constexpr std::int64_t kRounding = 1 << (kBits - 9);
  const double angle = draw(strength::kRotation, view, random) * (std::numbers::pi / 180);
  const auto fixed = [](double v) { return static_cast<std::int64_t>(std::lround(v * (1 << kBits))); };
  const std::int64_t cosine = fixed(std::cos(angle)), sine = fixed(std::sin(angle));
  const auto width = static_cast<std::int64_t>(rule.width), height = static_cast<std::int64_t>(rule.height);
  const std::size_t plane = rule.width * rule.height;

  // Red, green, blue and nothing: four values side by side, which compilers make one vector of.
  using Pixel = std::array<float, 4>;
  std::vector<Pixel> pixels(plane), row(rule.width);
  for (std::size_t i = 0; i < plane; ++i)
    pixels[i] = {prepared[i], prepared[plane + i], prepared[2 * plane + i], 0};

  std::array<Pixel, 257> share;  // in 2^-8ths
  for (std::size_t i = 0; i < share.size(); ++i) share[i].fill(static_cast<float>(i));

  for (std::int64_t y = 0; y < height; ++y) {
    // From the centre to the row's first pixel, doubled to be whole.
    const std::int64_t right = 1 - width, down = 2 * y + 1 - height;
    std::int64_t sx = (cosine * right - sine * down + ((width - 1) << kBits)) / 2 + kRounding;
    std::int64_t sy = (sine * right + cosine * down + ((height - 1) << kBits)) / 2 + kRounding;
    for (std::int64_t x = 0; x < width; ++x, sx += cosine, sy += sine) {
      const std::int64_t x0 = sx >> kBits, y0 = sy >> kBits;
      const Pixel *a, *b, *c, *d;
      if (x0 >= 0 && y0 >= 0 && x0 + 1 < width && y0 + 1 < height) {
        a = pixels.data() + y0 * width + x0;
        b = a + 1;
        c = a + width;
        d = c + 1;
      } else {
        const Pixel* upper = pixels.data() + mirrored(y0, rule.height) * rule.width;
        const Pixel* lower = pixels.data() + mirrored(y0 + 1, rule.height) * rule.width;
        a = upper + mirrored(x0, rule.width);
        b = upper + mirrored(x0 + 1, rule.width);
        c = lower + mirrored(x0, rule.width);
        d = lower + mirrored(x0 + 1, rule.width);
      }
      // Whole numbers below 2^24 throughout: exact in float32.
      const auto fx = static_cast<std::size_t>(sx >> (kBits - 8) & 255);
      const auto fy = static_cast<std::size_t>(sy >> (kBits - 8) & 255);
      const Pixel &right_share = share[fx], &left_share = share[256 - fx];
      const Pixel &lower_share = share[fy], &upper_share = share[256 - fy];
      Pixel& to = row[static_cast<std::size_t>(x)];
      for (std::size_t i = 0; i < 4; ++i) {
        const float above = (*a)[i] * left_share[i] + (*b)[i] * right_share[i];
        const float below = (*c)[i] * left_share[i] + (*d)[i] * right_share[i];
        to[i] = static_cast<float>(static_cast<int>(above * upper_share[i] + below * lower_share[i] + 32768) >> 16);
      }
    }
    float* out = tensor + static_cast<std::size_t>(y) * rule.width;
    for (std::size_t x = 0; x < rule.width; ++x)
      for (std::size_t i = 0; i < 3; ++i) out[i * plane + x] = row[x][i];
  }
}

// A Gaussian of `sigma` pixels, cut off at three of them.
Filter gaussian_filter(double sigma) {
  const auto radius = static_cast<std::size_t>(std::ceil(3 * sigma));
  Filter filter{2 * radius + 1, {0}, std::vector<std::int32_t>(2 * radius + 1)};
  std::vector<double> half(radius + 1);
  double sum = 0;
  for (std::size_t d = 0; d <= radius; ++d) {
    const double away = static_cast<double>(d) / sigma;
    sum += (d == 0 ? 1 : 2) * (half[d] = std::exp(-away * away / 2));
  }
  for (std::size_t d = 0; d <= radius; ++d)
    filter.weight[radius - d] = filter.weight[radius + d] = static_cast<std::int32_t>(half[d] / sum * (1 << 22) + 0.5);
  return filter;
}

// Along y, to whole levels, then along x.
void blur(const PictureRule& rule, const View& view, const Kernels& kernels, const float* prepared, float* tensor) {
  SplitMix64 random(view.seed);
  const std::size_t width = rule.width, height = rule.height;
  const double sigma = draw(strength::kBlur, view, random) * static_cast<double>(std::min(width, height)) / 224;
  const Filter filter = gaussian_filter(sigma);
  const KernelWeights weights = KernelWeights::for_rows(filter);
  const std::size_t radius = filter.taps / 2;
  std::vector<std::uint8_t> plane((height + 2 * radius) * width), row(width + 2 * radius);
  std::vector<float> blurred(width);
  const auto to_bytes = [&](const float* from, std::uint8_t* to) {
    for (std::size_t x = 0; x < width; ++x) to[x] = static_cast<std::uint8_t>(static_cast<int>(from[x]));
  };
  const auto inside = [&](std::size_t padded, std::size_t size) {
    return mirrored(static_cast<std::int64_t>(padded) - static_cast<std::int64_t>(radius), size);
  };
  for (std::size_t channel = 0; channel < 3; ++channel) {
    const float* from = prepared + channel * height * width;
    float* to = tensor + channel * height * width;
    for (std::size_t y = 0; y < height + 2 * radius; ++y)
      to_bytes(from + inside(y, height) * width, plane.data() + y * width);
    for (std::size_t y = 0; y < height; ++y) {
      kernels.resample_rows(plane.data() + y * width, static_cast<std::ptrdiff_t>(width), weights.from(0), filter.taps,
                            width, blurred.data());
      to_bytes(blurred.data(), row.data() + radius);
      for (std::size_t x = 0; x < radius; ++x) {
        row[x] = row[radius + inside(x, width)];
        row[radius + width + x] = row[radius + inside(radius + width + x, width)];
      }
      // A row and its shifts by one, two, ... pixels are resampled as rows are.
      kernels.resample_rows(row.data(), 1, weights.from(0), filter.taps, width, to + y * width);
    }
  }
}

// sRGB (IEC 61966-2-1) in light of 2^-24ths.
struct Light {
  std::array<std::uint32_t, 256> of_level;   // what a level stands for
  std::array<std::uint32_t, 256> least_for;  // the least that is nearer to a level than to the one below

  Light() {
    const auto light = [](double level) {
      const double v = level / 255;
      const double linear = v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4);
      return static_cast<std::uint32_t>(std::lround(linear * (1 << 24)));
    };
    for (std::size_t i = 0; i < 256; ++i) {
      of_level[i] = light(static_cast<double>(i));
      least_for[i] = i == 0 ? 0 : light(static_cast<double>(i) - 0.5);
    }
  }
};

void expose(const PictureRule& rule, const View& view, const float* prepared, float* tensor) {
  SplitMix64 random(view.seed);
  static const Light light;
  const auto gain =
      static_cast<std::uint64_t>(std::lround(std::exp2(draw(strength::kExposure, view, random)) * (1 << 16)));
  std::array<float, 256> exposed;
  std::size_t level = 0;
  for (std::size_t i = 0; i < 256; ++i) {
    const std::uint64_t seen = light.of_level[i] * gain >> 16;
    while (level < 255 && seen >= light.least_for[level + 1]) ++level;
    exposed[i] = static_cast<float>(level);
  }
  const std::size_t count = 3 * rule.width * rule.height;
  for (std::size_t i = 0; i < count; ++i) tensor[i] = exposed[static_cast<std::size_t>(static_cast<int>(prepared[i]))];
}

// Gaussian by the central limit: the sum of four random 4-bit numbers (an Irwin-Hall distribution),
// four from each 64 random bits.
void add_noise(const PictureRule& rule, const View& view, const float* prepared, float* tensor) {
  SplitMix64 random(view.seed);
  constexpr double kDeviation = 9.219544457292887;  // of the sum: sqrt(4 * (16^2 - 1) / 12)
  constexpr int kMean = 30;
  // 2^-8ths of levels for a difference of 1; all below is less than 2^15.
  const auto step = static_cast<std::int16_t>(std::lround(draw(strength::kNoise, view, random) / kDeviation * 256));
  constexpr std::size_t kBlock = 256;
  std::array<std::int16_t, kBlock> sums;
  const std::size_t count = 3 * rule.width * rule.height;
  for (std::size_t start = 0; start < count; start += kBlock) {
    for (std::size_t i = 0; i < kBlock; i += 4) {
      const std::uint64_t bits = random.next();
      const std::uint64_t bytes = (bits & 0x0f0f0f0f0f0f0f0f) + (bits >> 4 & 0x0f0f0f0f0f0f0f0f);
      const std::uint64_t words = (bytes & 0x00ff00ff00ff00ff) + (bytes >> 8 & 0x00ff00ff00ff00ff);
      for (std::size_t k = 0; k < 4; ++k) sums[i + k] = static_cast<std::int16_t>(words >> 16 * k);
    }
    const std::size_t size = std::min(kBlock, count - start);
    for (std::size_t i = 0; i < size; ++i) {
      const auto noise = static_cast<std::int16_t>(static_cast<std::int16_t>((sums[i] - kMean) * step + 128) >> 8);
      const int level = static_cast<int>(prepared[start + i]) + noise;
      tensor[start + i] = static_cast<float>(std::min(std::max(level, 0), 255));
    }
  }
}

void flip(const PictureRule& rule, int number, const float* prepared, float* tensor) {
  for (std::size_t row = 0; row < 3 * rule.height; ++row) {
    const std::size_t y = row % rule.height;
    const float* from = prepared + (number == 1 ? row : row - y + (rule.height - 1 - y)) * rule.width;
    float* to = tensor + row * rule.width;
    if (number == 2)
      std::copy_n(from, rule.width, to);
    else
      std::reverse_copy(from, from + rule.width, to);
  }
}

}  // namespace

void prepare_view(const Pixels& picture, const PictureRule& rule, const View& view, const Kernels& kernels,
                  const float* prepared, float* tensor) {
  switch (view.augmentation) {
    case Augmentation::crop: {
      // A part of the square, not the square of a part, which would be smaller still.
      const bool centre = rule.crop_and_scale == CropAndScale::center_crop;
      PictureRule whole = rule;
      if (centre) whole.crop_and_scale = CropAndScale::scale_fill;
      return prepare(crop(centre ? kept(picture, rule) : picture, view), whole, kernels, tensor);
    }
    case Augmentation::rotation:
      return rotate(rule, view, prepared, tensor);
    case Augmentation::blur:
      return blur(rule, view, kernels, prepared, tensor);
    case Augmentation::exposure:
      return expose(rule, view, prepared, tensor);
    case Augmentation::noise:
      return add_noise(rule, view, prepared, tensor);
    case Augmentation::flip:
      return flip(rule, view.number, prepared, tensor);
    case Augmentation::scene:
      return prepare_scene_view(picture, rule, {view.number, view.seed}, kernels, prepared, tensor);
  }
}

}  // namespace silverprint
