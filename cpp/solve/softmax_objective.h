#pragma once
#include <span>

#include "base/aligned.h"
#include "solve/covariance.h"
#include "solve/objective.h"
#include "solve/training_set.h"

namespace silverprint {

// Multinomial logistic regression: s = [X 1] W, where the last row of W holds the intercepts.
// W is (features + 1, padded classes), row-major. Its padding stays 0.
class SoftmaxObjective final : public Objective {
 public:
  // The set must outlive the objective.
  SoftmaxObjective(const TrainingSet& set, double l2, int threads);

  void set_l2(double l2) noexcept { l2_ = l2; }
  double l2() const noexcept { return l2_; }

  std::size_t dimension() const override { return (set_.columns() + 1) * padded_; }
  double value_gradient(std::span<const float> w, std::span<float> gradient) override;
  void hessian_vector(std::span<const float> v, std::span<float> product) override;

  // M = I x (K + l2) with K the covariance of the features, each row weighted by its mean p (1 - p).
  void refresh_preconditioner() override;
  void precondition(std::span<const float> r, std::span<float> z) override;

 private:
  // product = (sum of the groups' partial products) + l2 * w; returns |w|^2 without intercepts.
  double reduce_groups(std::span<const float> w, std::span<float> product);

  const TrainingSet& set_;
  std::size_t padded_;
  double l2_;
  int threads_;
  std::size_t groups_, group_rows_;
  AlignedVector<float> probabilities_;  // (rows, padded)
  AlignedVector<float> partial_;        // (groups, dimension)
  AlignedVector<float> workspace_;      // (groups, kBlockRows, padded)
  Covariance covariance_;
};

}  // namespace silverprint
