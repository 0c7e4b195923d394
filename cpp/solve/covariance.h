#pragma once
#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "base/aligned.h"
#include "solve/cholesky.h"

namespace silverprint {

// M = K + l2 with K = sum_i weight_i x_i x_i' over rows that end in a one, which l2 leaves out:
// the part of a Hessian that one layer's inputs make, and cheap to solve with. K is estimated on a
// sample of the rows. Above 8,191 features, where a factor would take too much memory and time, M is
// the diagonal alone.
class Covariance {
 public:
  // Of rows of `features` values and a one.
  explicit Covariance(std::size_t features);

  // `row(i)` gives row i, of as many as there are weights. The sample costs about two passes of the
  // data through a layer with that many outputs.
  void estimate(const std::function<const float*(std::size_t)>& row, std::span<const double> weights,
                std::size_t outputs, double l2, int threads);

  // z = M^-1 r, both (features + 1, columns) with `columns` a multiple of 16.
  void solve(std::span<const float> r, std::span<float> z, std::size_t columns, int threads) const;

 private:
  void set_diagonal(const AlignedVector<float>& sample, double l2);
  void set_factor(const AlignedVector<float>& sample, double l2, int threads);

  std::size_t features_, stride_;
  Cholesky factor_;
  std::vector<float> inverse_diagonal_;  // in place of factor_ where there are many features
};

}  // namespace silverprint
