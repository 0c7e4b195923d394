#pragma once
#include "base/random.h"
#include "detect/layer.h"

namespace silverprint {

// The last layer, a 1x1 convolution for all levels, and what its numbers mean: a logit for each class,
// and the distances in pixels from a cell's centre to the four edges of a box, stride * exp(output +
// a constant of the level), the exponent held between -4 and 4.5.
class Predictor {
 public:
  static constexpr float kLowest = -4.0f, kHighest = 4.5f;

  // Parameters predictor.kernel (channels, classes + 4), .bias, and .scale, the levels' constants.
  Predictor(std::vector<Grid> grids, std::vector<float> strides, std::size_t channels, std::size_t classes,
            std::size_t pictures, ParameterList& parameters);

  std::size_t cells() const noexcept { return cells_; }
  std::size_t kernel_size() const noexcept { return channels_ * outputs(); }

  // logits (pictures, cells, classes), distances (pictures, cells, 4): left, top, right, bottom.
  void forward(const Pass& pass, std::span<const FeatureMap> in, std::span<float> logits,
               std::span<float> distances);
  // After forward with the same arguments: d becomes the derivative by `in`.
  void backward(const Pass& pass, std::span<const FeatureMap> in, std::span<const float> distances,
                std::span<const float> by_logits, std::span<const float> by_distances, PartialGradients& partials,
                std::span<FeatureMap> d);

  // Small random weights, logits near -4 (a score of 0.018), distances near 2 strides.
  void initialise(std::span<float> parameters, SplitMix64& random) const;

 private:
  std::size_t outputs() const noexcept { return classes_ + 4; }
  void predict(const Pass& pass, std::size_t level, const Band& band, float* logits, float* distances);
  // Fills a band of raw_ with the derivative by its values, and adds up its cells.
  void collect_back(const Pass& pass, std::size_t level, const Band& band, const float* distances,
                    const float* by_logits, const float* by_distances, float* sums);

  std::vector<float> strides_;
  std::size_t channels_, classes_, cells_ = 0;
  std::size_t kernel_, bias_, scale_;    // offsets
  std::vector<FeatureMap> raw_, by_raw_;
  std::vector<std::size_t> first_;       // cell of each level
  AlignedVector<float> sums_, transposed_;
};

}  // namespace silverprint
