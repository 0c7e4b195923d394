#include "detect/predictor.h"

#include <algorithm>
#include <cmath>

#include "base/process.h"
#include "base/random.h"
#include "detect/convolution.h"

namespace silverprint {
namespace {

constexpr float kLogit = -4.0f, kEdge = 0.7f;  // first biases
constexpr double kInitial = 0.01;              // standard deviation of first weights

}  // namespace

Predictor::Predictor(std::vector<Grid> grids, std::vector<float> strides, std::size_t channels, std::size_t classes,
                     std::size_t pictures, ParameterList& parameters)
    : strides_(std::move(strides)), channels_(channels), classes_(classes) {
  for (const Grid& grid : grids) {
    raw_.emplace_back(grid, outputs(), pictures);
    by_raw_.emplace_back(grid, outputs(), pictures);
    first_.push_back(cells_);
    cells_ += grid.cells();
  }
  kernel_ = parameters.add("predictor.kernel", {channels, outputs()}, true);
  bias_ = parameters.add("predictor.bias", {outputs()});
  scale_ = parameters.add("predictor.scale", {grids.size()});
  sums_.resize(pictures * (outputs() + grids.size()));
  transposed_.resize(kernel_size());
}

void Predictor::initialise(std::span<float> parameters, SplitMix64& random) const {
  const double bound = kInitial * std::sqrt(3.0);
  for (float& w : parameters.subspan(kernel_, kernel_size()))
    w = static_cast<float>(bound * (2 * random.uniform() - 1));
  const auto bias = parameters.subspan(bias_, outputs());
  std::fill_n(bias.begin(), classes_, kLogit);
  std::fill_n(bias.begin() + static_cast<std::ptrdiff_t>(classes_), 4, kEdge);
  std::fill_n(parameters.begin() + static_cast<std::ptrdiff_t>(scale_), strides_.size(), 0.0f);
}

void Predictor::predict(const Pass& pass, std::size_t level, const Band& band, float* logits, float* distances) {
  const FeatureMap& raw = raw_[level];
  const float constant = pass.parameters[scale_ + level];
  for (std::size_t y = band.first; y < band.last; ++y) {
    const float* from = raw.at(band.picture, y);
    for (std::size_t x = 0; x < raw.grid.width; ++x, from += outputs()) {
      logits = std::copy_n(from, classes_, logits);
      for (std::size_t edge = 0; edge < 4; ++edge)
        *distances++ = strides_[level] * std::exp(std::clamp(from[classes_ + edge] + constant, kLowest, kHighest));
    }
  }
}

void Predictor::forward(const Pass& pass, std::span<const FeatureMap> in, std::span<float> logits,
                        std::span<float> distances) {
  const float *kernel = pass.parameters.data() + kernel_, *bias = pass.parameters.data() + bias_;
  pool().run(pass.pictures, pass.threads, [&](std::size_t picture) {
    for (std::size_t level = 0; level < in.size(); ++level) {
      FeatureMap& raw = raw_[level];
      const Band all{picture, 0, raw.grid.height};
      float* to = raw.at(picture, 0);
      for (std::size_t i = 0; i < all.positions(raw.grid); ++i) to = std::copy_n(bias, outputs(), to);
      project(in[level], all, kernel, raw);
      const std::size_t cell = picture * cells_ + first_[level];
      predict(pass, level, all, logits.data() + cell * classes_, distances.data() + cell * 4);
    }
  });
}

void Predictor::collect_back(const Pass& pass, std::size_t level, const Band& band, const float* distances,
                             const float* by_logits, const float* by_distances, float* sums) {
  const float constant = pass.parameters[scale_ + level];
  FeatureMap& by_raw = by_raw_[level];
  for (std::size_t y = band.first; y < band.last; ++y) {
    const float* raw = raw_[level].at(band.picture, y);
    float* to = by_raw.at(band.picture, y);
    for (std::size_t x = 0; x < by_raw.grid.width; ++x) {
      for (std::size_t c = 0; c < classes_; ++c) to[c] = *by_logits++;
      for (std::size_t c = classes_; c < outputs(); ++c, ++distances, ++by_distances) {
        const float exponent = raw[c] + constant;
        to[c] = exponent > kLowest && exponent < kHighest ? *by_distances * *distances : 0.0f;
        sums[outputs() + level] += to[c];
      }
      for (std::size_t c = 0; c < outputs(); ++c) sums[c] += to[c];
      raw += outputs();
      to += outputs();
    }
  }
}

void Predictor::backward(const Pass& pass, std::span<const FeatureMap> in, std::span<const float> distances,
                         std::span<const float> by_logits, std::span<const float> by_distances,
                         PartialGradients& partials, std::span<FeatureMap> d) {
  transpose(pass.parameters.data() + kernel_, channels_, outputs(), transposed_.data());
  const std::size_t summed = outputs() + in.size();
  std::fill(sums_.begin(), sums_.end(), 0.0f);
  const auto task = [&](std::size_t picture, float* partial) {
    for (std::size_t level = 0; level < in.size(); ++level) {
      const Band all{picture, 0, in[level].grid.height};
      const std::size_t cell = picture * cells_ + first_[level];
      collect_back(pass, level, all, distances.data() + cell * 4, by_logits.data() + cell * classes_,
                   by_distances.data() + cell * 4, sums_.data() + picture * summed);
      project_by_kernel(in[level], by_raw_[level], all, partial);
      std::fill_n(d[level].at(picture, 0), all.positions(d[level].grid) * channels_, 0.0f);
      project(by_raw_[level], all, transposed_.data(), d[level]);
    }
  };
  float* gradient = pass.gradient.data();
  partials.run(pass, kernel_size(), task, gradient + kernel_);
  for (std::size_t picture = 0; picture < pass.pictures; ++picture) {
    const float* sums = sums_.data() + picture * summed;
    for (std::size_t c = 0; c < outputs(); ++c) gradient[bias_ + c] += sums[c];
    for (std::size_t level = 0; level < in.size(); ++level) gradient[scale_ + level] += sums[outputs() + level];
  }
}

}  // namespace silverprint
