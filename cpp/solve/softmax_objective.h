#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned.h"
#include "solve/cholesky.h"
#include "solve/objective.h"

namespace silverprint {

// Multinomial logistic regression:
//   f(W) = sum_i weight_i (log sum_c exp s_ic - s_i,label(i)) + l2/2 |W|^2,  s = [X 1] W,
// where the last row of W, the intercepts, is not penalised.
//
// X is (rows, stride) with `features` columns and a column of ones after them; W is
// (features + 1, padded_classes), row-major. Its padding stays 0.
class SoftmaxObjective final : public Objective {
 public:
  // The spans must outlive the objective. `weights` add up to 1.
  SoftmaxObjective(std::span<const float> x, std::size_t stride, std::size_t features,
                   std::span<const std::int32_t> labels, std::span<const float> weights, std::size_t classes,
                   double l2, int threads);

  void set_l2(double l2) noexcept { l2_ = l2; }
  double l2() const noexcept { return l2_; }
  std::size_t padded_classes() const noexcept { return padded_; }

  std::size_t dimension() const override { return (features_ + 1) * padded_; }
  double value_gradient(std::span<const float> w, std::span<float> gradient) override;
  void hessian_vector(std::span<const float> v, std::span<float> product) override;

  // M = I x (K + l2) with K the covariance of the features, each row weighted by its mean p (1 - p),
  // estimated on a sample of the rows drawn in proportion to that weight. Above 8,191 features, where
  // a factor would take too much memory and time, the diagonal of K alone.
  void refresh_preconditioner() override;
  void precondition(std::span<const float> r, std::span<float> z) override;

 private:
  struct Sample {
    std::size_t row;
    float factor;
  };

  std::size_t rows() const noexcept { return labels_.size(); }
  const float* x_row(std::size_t i) const noexcept { return x_.data() + i * stride_; }
  AlignedVector<float> sampled_rows() const;
  void set_diagonal(const AlignedVector<float>& sampled);
  void set_factor(const AlignedVector<float>& sampled);
  // product = (sum of the groups' partial products) + l2 * w; returns |w|^2 without intercepts.
  double reduce_groups(std::span<const float> w, std::span<float> product);

  std::span<const float> x_;
  std::size_t stride_, features_;
  std::span<const std::int32_t> labels_;
  std::span<const float> weights_;
  std::size_t classes_, padded_;
  double l2_;
  int threads_;
  std::size_t groups_, group_rows_;
  AlignedVector<float> probabilities_;  // (rows, padded)
  AlignedVector<float> partial_;        // (groups, dimension)
  AlignedVector<float> workspace_;      // (groups, kBlockRows, padded)
  Cholesky factor_;
  std::vector<float> inverse_diagonal_;  // in place of factor_ where there are many features
};

}  // namespace silverprint
