#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned.h"

namespace silverprint {

// What a head is trained on, as it is given.
struct Problem {
  std::span<const float> features;  // (all rows, columns), row-major
  std::size_t columns;
  std::span<const std::int64_t> rows;    // the rows to train on
  std::span<const std::int32_t> labels;  // one per training row, 0..classes-1
  std::size_t classes;
  std::span<const float> weights;        // one per training row, or empty: all count the same
};

// A problem as solvers work on it: a copy of its rows, standardised and followed by a column of ones.
class TrainingSet {
 public:
  TrainingSet(const Problem& problem, int threads);

  std::size_t rows() const noexcept { return labels_.size(); }
  std::size_t columns() const noexcept { return columns_; }
  std::size_t classes() const noexcept { return classes_; }
  std::size_t stride() const noexcept { return stride_; }
  const float* row(std::size_t i) const noexcept { return x_.data() + i * stride_; }
  std::span<const std::int32_t> labels() const noexcept { return labels_; }
  std::span<const float> weights() const noexcept { return weights_; }  // of rows; they add up to 1

  // The standardisation: x' = (x - mean) / deviation. A feature whose deviation is under 1e-4 of
  // the median deviation is constant for this purpose: x' is 0.
  std::span<const double> mean() const noexcept { return mean_; }
  std::span<const double> deviation() const noexcept { return deviation_; }
  bool constant(std::size_t column) const noexcept { return scale_[column] == 0.0f; }
  std::size_t constant_features() const noexcept { return constant_features_; }

  // One row of raw features, standardised, and a 1 after it.
  void standardise(const float* from, float* to) const noexcept;

 private:
  void measure(const Problem& problem, int threads);

  std::size_t columns_, classes_, stride_;
  std::vector<double> mean_, deviation_;
  std::vector<float> scale_;  // 1 / deviation, 0 for constant features
  std::size_t constant_features_ = 0;
  AlignedVector<float> x_;
  std::vector<std::int32_t> labels_;
  std::vector<float> weights_;
};

}  // namespace silverprint
