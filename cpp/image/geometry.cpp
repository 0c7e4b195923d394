#include "image/geometry.h"

#include <algorithm>
#include <cmath>

namespace silverprint {

Placement place(const PictureRule& rule, std::size_t picture_width, std::size_t picture_height) {
  const double pw = static_cast<double>(picture_width), ph = static_cast<double>(picture_height);
  const double rw = static_cast<double>(rule.width), rh = static_cast<double>(rule.height);
  Placement p{0, 0, pw, ph, 0, 0, rule.width, rule.height};
  switch (rule.crop_and_scale) {
    case CropAndScale::center_crop: {
      const double scale = std::min(pw / rw, ph / rh);
      p.left = (pw - rw * scale) / 2;
      p.right = p.left + rw * scale;
      p.top = (ph - rh * scale) / 2;
      p.bottom = p.top + rh * scale;
      break;
    }
    case CropAndScale::scale_fit: {
      const double scale = std::max(pw / rw, ph / rh);
      const auto fitted = [](double size, std::size_t room) {
        return std::clamp<std::size_t>(static_cast<std::size_t>(std::lround(size)), 1, room);
      };
      p.width = fitted(pw / scale, rule.width);
      p.height = fitted(ph / scale, rule.height);
      p.x = (rule.width - p.width) / 2;
      p.y = (rule.height - p.height) / 2;
      break;
    }
    case CropAndScale::scale_fill:
      break;
  }
  return p;
}

Filter triangle_filter(std::size_t inputs, double begin, double end, std::size_t outputs, bool even) {
  const double scale = (end - begin) / static_cast<double>(outputs);
  const double support = std::max(scale, 1.0);
  const double last_input = static_cast<double>(inputs);
  const auto share = [&](double center, std::size_t input) {
    return std::max(0.0, 1.0 - std::abs((static_cast<double>(input) - center + 0.5) * (1.0 / support)));
  };
  const auto center_of = [&](std::size_t output) { return begin + (static_cast<double>(output) + 0.5) * scale; };

  // The inputs that an output takes a share of; the bounds are Pillow's, without shares of nothing.
  std::vector<std::size_t> low(outputs), high(outputs);
  std::size_t taps = 1;
  for (std::size_t i = 0; i < outputs; ++i) {
    const double center = center_of(i);
    low[i] = static_cast<std::size_t>(std::clamp(std::floor(center - support + 0.5), 0.0, last_input - 1));
    high[i] = static_cast<std::size_t>(
        std::clamp(std::floor(center + support + 0.5), static_cast<double>(low[i]) + 1, last_input));
    while (high[i] - low[i] > 1 && share(center, low[i]) == 0) ++low[i];
    while (high[i] - low[i] > 1 && share(center, high[i] - 1) == 0) --high[i];
    taps = std::max(taps, high[i] - low[i]);
  }
  if (even) taps += taps % 2;

  Filter filter{taps, std::vector<std::int32_t>(outputs), std::vector<std::int32_t>(outputs * taps)};
  std::vector<double> exact(taps);
  for (std::size_t i = 0; i < outputs; ++i) {
    const std::size_t used = high[i] - low[i];
    double sum = 0;
    for (std::size_t t = 0; t < used; ++t) sum += exact[t] = share(center_of(i), low[i] + t);
    filter.first[i] = static_cast<std::int32_t>(low[i]);
    for (std::size_t t = 0; t < used; ++t)
      filter.weight[i * taps + t] = static_cast<std::int32_t>(0.5 + exact[t] * (1.0 / sum) * (1 << 22));
  }
  return filter;
}

void KernelWeights::set(std::size_t index, std::int32_t weight) {
  high_[index] = static_cast<std::int16_t>(weight >> 8);
  low_[index] = static_cast<std::int16_t>(weight & 255);
}

KernelWeights KernelWeights::for_rows(const Filter& filter) {
  KernelWeights split(filter.weight.size());
  for (std::size_t i = 0; i < filter.weight.size(); ++i) split.set(i, filter.weight[i]);
  return split;
}

KernelWeights KernelWeights::for_columns(const Filter& filter) {
  const std::size_t width = filter.first.size(), taps = filter.taps;
  KernelWeights split(column_weights_size(width, taps));
  for (std::size_t x = 0; x < width; ++x)
    for (std::size_t t = 0; t < taps; ++t)
      for (std::size_t channel = 0; channel < 3; ++channel)
        split.set(column_weight(x, t, taps) + 2 * channel, filter.weight[x * taps + t]);
  return split;
}

}  // namespace silverprint
