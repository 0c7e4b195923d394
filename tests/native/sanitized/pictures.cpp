// The picture rule and the views, on pictures that end where their last pixel ends.
#include <cmath>

#include "base/process.h"
#include "check.h"
#include "image/augment.h"

namespace silverprint::sanitized {
namespace {

constexpr Augmentation kAugmentations[] = {Augmentation::crop,     Augmentation::rotation, Augmentation::blur,
                                           Augmentation::exposure, Augmentation::noise,    Augmentation::flip};

// Ordinary sizes, and now and then one that strains the geometry.
std::size_t side(SplitMix64& random, std::size_t most) {
  return random.next() % 4 == 0 ? (random.next() % 2 ? 1 : most * 40) : between(random, 1, most);
}

void check_levels(const std::vector<float>& tensor) {
  for (const float level : tensor) CHECK(level >= 0 && level <= 255 && level == std::floor(level));
}

void check_picture(SplitMix64& random) {
  constexpr ChannelOrder orders[] = {ChannelOrder::rgb, ChannelOrder::bgr, ChannelOrder::rgba, ChannelOrder::bgra};
  std::size_t width = side(random, 60), height = side(random, 60);
  if (width * height > 100'000) height = 1;
  Pixels picture{nullptr, width, height, 0, orders[random.next() % 4]};
  const std::size_t row = width * picture.channels(), stride = row + between(random, 0, 5);
  const auto levels = random_levels(random, (height - 1) * stride + row);
  const bool upside_down = random.next() % 2;
  picture.row_stride = static_cast<std::ptrdiff_t>(stride) * (upside_down ? -1 : 1);
  picture.data = levels.data() + (upside_down ? (height - 1) * stride : 0);

  const PictureRule rule{between(random, 1, 50), between(random, 1, 50), static_cast<CropAndScale>(random.next() % 3)};
  std::vector<float> prepared(3 * rule.height * rule.width), same(prepared.size());
  prepare(picture, rule, kPlainKernels, prepared.data());
  check_levels(prepared);
  const auto augmentation = kAugmentations[random.next() % 6];
  const View view{augmentation, static_cast<int>(between(random, 1, 3)), random.next()};
  std::vector<float> altered(prepared.size()), same_altered(prepared.size());
  prepare_view(picture, rule, view, kPlainKernels, prepared.data(), altered.data());
  check_levels(altered);
  for (const Isa isa : available_isas()) {
    prepare(picture, rule, kernels(isa), same.data());
    CHECK(same_bytes(prepared, same));
    prepare_view(picture, rule, view, kernels(isa), prepared.data(), same_altered.data());
    CHECK(same_bytes(altered, same_altered));
  }
}

}  // namespace
}  // namespace silverprint::sanitized

int main() {
  silverprint::SplitMix64 random(2);
  for (int round = 0; round < 600; ++round) silverprint::sanitized::check_picture(random);
  std::puts("pictures: well");
}
