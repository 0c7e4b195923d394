#pragma once
#include <span>
#include <vector>

#include "base/aligned.h"
#include "solve/dense_layer.h"
#include "solve/objective.h"
#include "solve/training_set.h"

namespace silverprint {

// A multilayer perceptron: hidden layers of rectified linear units, then a softmax;
//   mean log loss + l2/2 |W|^2, intercepts free.
// w holds each layer after the other, (inputs + 1, outputs padded to whole vectors) with the
// intercepts last. Padding stays 0.
class PerceptronObjective final : public BatchObjective {
 public:
  // The set must outlive the objective.
  PerceptronObjective(const TrainingSet& set, std::span<const std::size_t> layer_sizes, double l2, int threads);

  void set_l2(double l2) noexcept { l2_ = l2; }
  double l2() const noexcept { return l2_; }

  std::size_t dimension() const override { return dimension_; }
  std::size_t rows() const override { return set_.rows(); }
  double value_gradient(std::span<const float> w, std::span<const std::uint32_t> batch,
                        std::span<float> gradient) override;

  // Weights drawn uniformly as by Glorot and Bengio (AISTATS 2010) but smaller, intercepts 0.
  std::vector<float> initial(std::uint64_t seed) const;
  std::vector<DenseLayer> layers(std::span<const float> w) const;

 private:
  struct Layer {
    std::size_t inputs, outputs, padded, stride, offset;  // stride: of its inputs; offset: of its part of w
    AlignedVector<float> active;             // (kLargestBatch, stride) its inputs, and a one after them
    AlignedVector<float> signal;             // (kLargestBatch, padded) derivatives by its outputs
    AlignedVector<float> signal_transposed;  // (padded, kLargestBatch)
    AlignedVector<float> back;               // (inputs, kLargestBatch) derivatives by its inputs
  };

  void gather(std::span<const std::uint32_t> batch);
  // One layer's outputs for the batch, before the rectification.
  void forward(const Layer& layer, std::span<const float> w, std::size_t count, float* out, std::size_t out_row);
  // The softmax and its derivatives; returns the weighted loss.
  double softmax(std::span<const std::uint32_t> batch);
  void propagate_back(std::size_t layer, std::span<const float> w, std::size_t count);
  // gradient = inputs x signals + l2 w; returns |w|^2 without intercepts.
  double accumulate(std::span<const float> w, std::size_t count, std::span<float> gradient);

  struct Tile {
    std::size_t layer, begin, end;  // rows of a layer's part of w
  };

  const TrainingSet& set_;
  double l2_;
  int threads_;
  std::size_t dimension_ = 0;
  std::vector<Layer> layers_;
  std::vector<Tile> tiles_;
  std::vector<double> squares_;  // of each tile's weights
};

}  // namespace silverprint
