#pragma once
#include <span>
#include <vector>

#include "detect/feature_map.h"

namespace silverprint {

// Batch normalisation (Ioffe and Szegedy, ICML 2015) and rectification of a layer's outputs,
//   max(gamma (z - mean) / sqrt(variance + 1e-5) + beta, 0),
// with the statistics of the batch over all positions of all bands, or with running ones, which move
// a tenth of the way to each batch's (its variance unbiased). All for `channels`, a multiple of kLanes.
//
// Sums over a band are its own task's; the bands' sums are added in their order.
class BatchNorm {
 public:
  static constexpr float kEpsilon = 1e-5f, kMomentum = 0.1f;

  BatchNorm(std::size_t channels, std::size_t bands);

  // Statistics of one band of z.
  void collect(std::size_t index, const FeatureMap& z, const Band& band);
  // After `bands` of them: what apply() needs. `running` is mean, then variance.
  void use_batch(std::size_t bands, const float* gamma, const float* beta, std::span<float> running);
  void use_running(const float* gamma, const float* beta, std::span<const float> running);
  // out = `residual`, unless null, + the rectified.
  void apply(const FeatureMap& z, const Band& band, const FeatureMap* residual, FeatureMap& out) const;

  // Given `d`, the derivative by the rectified, likewise: sums of one band ...
  void collect_back(std::size_t index, const FeatureMap& z, const FeatureMap& d, const Band& band);
  // ... the derivatives by gamma and beta, added to what is there ...
  void finish_back(std::size_t bands, const float* gamma, float* by_gamma, float* by_beta);
  // ... and the derivative by z. Padding stays as it is.
  void apply_back(const FeatureMap& z, const FeatureMap& d, const Band& band, FeatureMap& by_z) const;

 private:
  struct Part {
    std::size_t count = 0;
    AlignedVector<float> origin, first, second;
  };
  using Channels = AlignedVector<float>;

  void set_affine(const float* gamma, const float* beta, std::size_t channel, double mean, double variance);

  std::size_t channels_;
  double count_ = 0;  // cells of the batch
  std::vector<Part> parts_;
  Channels mean_, inverse_, scale_, shift_, by_signal_, by_z_, constant_;
  std::vector<double> sums_, squares_;
};

}  // namespace silverprint
