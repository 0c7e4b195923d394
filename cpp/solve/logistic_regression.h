#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/aligned.h"
#include "solve/newton_cg.h"
#include "solve/softmax_objective.h"

namespace silverprint {

// Multinomial logistic regression on standardised features, one Newton iteration at a time:
//   mean loss + l2/2 |W|^2, intercepts free,
// the mean weighted by class where class weights are given. Equal bytes for any number of threads
// and on every instruction set.
class LogisticRegression {
 public:
  struct Problem {
    std::span<const float> features;  // (all rows, columns), row-major
    std::size_t columns;
    std::span<const std::int64_t> rows;  // the rows to train on
    std::span<const std::int32_t> labels;  // one per training row, 0..classes-1
    std::size_t classes;
    std::span<const float> class_weights;  // (classes) or empty
  };

  // Copies what it needs of the problem.
  LogisticRegression(const Problem& problem, double l2, double tolerance, int threads);

  bool step(const CancelToken& cancel) { return newton_->step(cancel); }

  // Continues from the present weights with another penalty.
  void set_l2(double l2);
  double l2() const noexcept { return objective_->l2(); }

  std::size_t classes() const noexcept { return classes_; }
  double value() { return newton_->value(); }
  const NewtonCg::State& state() const noexcept { return newton_->state(); }
  // Continues from a state of this problem, bit for bit; changes nothing where it is of another size.
  void restore(NewtonCg::State state, double l2) {
    newton_->restore(std::move(state));
    objective_->set_l2(l2);
  }

  // The standardisation: x' = (x - mean) / deviation. A feature whose deviation is under 1e-4 of
  // the median deviation is constant for this purpose: its weights are fixed at 0.
  std::span<const double> mean() const noexcept { return mean_; }
  std::span<const double> deviation() const noexcept { return deviation_; }
  std::size_t constant_features() const noexcept { return constant_features_; }

  // Weights on standardised features (columns, classes) and intercepts (classes), written to row-major spans.
  // Intercepts are given with mean 0: a common shift changes no probability.
  void weights(std::span<float> weights, std::span<float> intercepts) const;

  // Probabilities (rows, classes) of raw features (rows, columns).
  void probabilities(std::span<const float> features, std::span<float> out) const;

 private:
  void standardise(const Problem& problem);
  void copy_standardised(const float* from, float* to) const noexcept;

  std::size_t columns_, classes_, stride_;
  int threads_;
  std::vector<double> mean_, deviation_;
  std::vector<float> scale_;  // 1 / deviation, 0 for constant features
  std::size_t constant_features_ = 0;
  AlignedVector<float> x_;
  std::vector<std::int32_t> labels_;
  std::vector<float> row_weights_;
  std::unique_ptr<SoftmaxObjective> objective_;
  std::unique_ptr<NewtonCg> newton_;
};

}  // namespace silverprint
