#include "detect/batch_norm.h"

#include <algorithm>
#include <cmath>

#include "base/process.h"

namespace silverprint {

BatchNorm::BatchNorm(std::size_t channels, std::size_t bands)
    : channels_(channels),
      parts_(bands, Part{0, Channels(channels), Channels(channels), Channels(channels)}),
      mean_(channels),
      inverse_(channels),
      scale_(channels),
      shift_(channels),
      by_signal_(channels),
      by_z_(channels),
      constant_(channels),
      sums_(channels),
      squares_(channels) {}

void BatchNorm::collect(std::size_t index, const FeatureMap& z, const Band& band) {
  Part& part = parts_[index];
  part.count = band.rows() * z.grid.width;
  // Sums of differences from a value that occurs lose little where the mean is far from 0.
  std::copy_n(z.at(band.picture, band.first), channels_, part.origin.data());
  std::fill(part.first.begin(), part.first.end(), 0.0f);
  std::fill(part.second.begin(), part.second.end(), 0.0f);
  for (std::size_t y = band.first; y < band.last; ++y)
    kernels().map_moments(z.grid.width, channels_, z.at(band.picture, y), part.origin.data(), part.first.data(),
                          part.second.data());
}

void BatchNorm::set_affine(const float* gamma, const float* beta, std::size_t c, double mean, double variance) {
  mean_[c] = static_cast<float>(mean);
  inverse_[c] = static_cast<float>(1 / std::sqrt(variance + static_cast<double>(kEpsilon)));
  scale_[c] = gamma[c] * inverse_[c];
  shift_[c] = beta[c] - mean_[c] * scale_[c];
}

void BatchNorm::use_batch(std::size_t bands, const float* gamma, const float* beta, std::span<float> running) {
  count_ = 0;
  std::fill(sums_.begin(), sums_.end(), 0.0);
  std::fill(squares_.begin(), squares_.end(), 0.0);
  for (std::size_t i = 0; i < bands; ++i) {
    const Part& part = parts_[i];
    const double n = static_cast<double>(part.count);
    count_ += n;
    for (std::size_t c = 0; c < channels_; ++c) sums_[c] += n * part.origin[c] + part.first[c];
  }
  for (std::size_t i = 0; i < bands; ++i) {
    const Part& part = parts_[i];
    const double n = static_cast<double>(part.count);
    for (std::size_t c = 0; c < channels_; ++c) {
      const double sum = part.first[c], off = part.origin[c] + sum / n - sums_[c] / count_;
      squares_[c] += part.second[c] - sum * sum / n + n * off * off;
    }
  }
  for (std::size_t c = 0; c < channels_; ++c) {
    const double mean = sums_[c] / count_, squares = std::max(squares_[c], 0.0);
    set_affine(gamma, beta, c, mean, squares / count_);
    const double unbiased = squares / std::max(count_ - 1, 1.0);
    running[c] += kMomentum * (static_cast<float>(mean) - running[c]);
    running[channels_ + c] += kMomentum * (static_cast<float>(unbiased) - running[channels_ + c]);
  }
}

void BatchNorm::use_running(const float* gamma, const float* beta, std::span<const float> running) {
  for (std::size_t c = 0; c < channels_; ++c)
    set_affine(gamma, beta, c, static_cast<double>(running[c]), static_cast<double>(running[channels_ + c]));
}

void BatchNorm::apply(const FeatureMap& z, const Band& band, const FeatureMap* residual, FeatureMap& out) const {
  for (std::size_t y = band.first; y < band.last; ++y)
    kernels().map_rectify(z.grid.width, channels_, z.at(band.picture, y), scale_.data(), shift_.data(),
                          residual == nullptr ? nullptr : residual->at(band.picture, y), out.at(band.picture, y));
}

void BatchNorm::collect_back(std::size_t index, const FeatureMap& z, const FeatureMap& d, const Band& band) {
  Part& part = parts_[index];
  std::fill(part.first.begin(), part.first.end(), 0.0f);
  std::fill(part.second.begin(), part.second.end(), 0.0f);
  for (std::size_t y = band.first; y < band.last; ++y)
    kernels().map_rectify_sums(z.grid.width, channels_, z.at(band.picture, y), scale_.data(), shift_.data(),
                               mean_.data(), d.at(band.picture, y), part.first.data(), part.second.data());
}

void BatchNorm::finish_back(std::size_t bands, const float* gamma, float* by_gamma, float* by_beta) {
  std::fill(sums_.begin(), sums_.end(), 0.0);
  std::fill(squares_.begin(), squares_.end(), 0.0);
  for (std::size_t i = 0; i < bands; ++i)
    for (std::size_t c = 0; c < channels_; ++c) {
      sums_[c] += parts_[i].first[c];
      squares_[c] += parts_[i].second[c];
    }
  for (std::size_t c = 0; c < channels_; ++c) {
    const double sum = sums_[c], products = squares_[c];
    const double inverse = inverse_[c], each = gamma[c] * inverse;
    by_beta[c] += static_cast<float>(sum);
    by_gamma[c] += static_cast<float>(products * inverse);
    // by z: each * (g - mean of g - normalised z * mean of g's products with it).
    const double slope = -each * inverse * inverse * products / count_;
    by_signal_[c] = static_cast<float>(each);
    by_z_[c] = static_cast<float>(slope);
    constant_[c] = static_cast<float>(-each * sum / count_ - slope * mean_[c]);
  }
}

void BatchNorm::apply_back(const FeatureMap& z, const FeatureMap& d, const Band& band, FeatureMap& by_z) const {
  for (std::size_t y = band.first; y < band.last; ++y)
    kernels().map_rectify_back(z.grid.width, channels_, z.at(band.picture, y), scale_.data(), shift_.data(),
                               d.at(band.picture, y), by_signal_.data(), by_z_.data(), constant_.data(),
                               by_z.at(band.picture, y));
}

}  // namespace silverprint
