#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "solve/adam.h"
#include "solve/dense_layer.h"
#include "solve/newton_cg.h"
#include "solve/perceptron_objective.h"
#include "solve/softmax_objective.h"
#include "solve/training_set.h"

namespace silverprint {

// A head under training: (weighted) mean log loss + l2/2 |W|^2 on standardised features, intercepts free. Equal bytes for any number of threads and on
// every instruction set.
class HeadSolver {
 public:
  virtual ~HeadSolver() = default;

  // One iteration; false once converged.
  virtual bool step(const CancelToken& cancel) = 0;
  virtual std::int64_t iteration() const = 0;
  virtual bool converged() const = 0;
  virtual double value() = 0;

  // Goes on with another penalty.
  virtual void set_l2(double l2) = 0;
  virtual double l2() const = 0;

  // On standardised features, first to last, with rectified linear units between them.
  virtual std::vector<DenseLayer> layers() const = 0;

  const TrainingSet& set() const noexcept { return set_; }

  // Probabilities (rows, classes) of raw features (rows, columns).
  void probabilities(std::span<const float> features, std::span<float> out) const;

 protected:
  // Copies what it needs of the problem.
  HeadSolver(const Problem& problem, int threads) : set_(problem, threads), threads_(threads) {}

 private:
  TrainingSet set_;
  int threads_;
};

// Multinomial logistic regression by truncated Newton.
class LogisticRegression final : public HeadSolver {
 public:
  LogisticRegression(const Problem& problem, double l2, double tolerance, int threads);

  bool step(const CancelToken& cancel) override { return newton_.step(cancel); }
  std::int64_t iteration() const override { return newton_.state().iteration; }
  bool converged() const override { return newton_.state().converged; }
  double value() override { return newton_.value(); }
  // Starts from the present weights.
  void set_l2(double l2) override;
  double l2() const override { return objective_.l2(); }
  std::vector<DenseLayer> layers() const override;

  const NewtonCg::State& state() const noexcept { return newton_.state(); }
  // Continues from a state of this problem, bit for bit; changes nothing where it is of another size.
  void restore(NewtonCg::State state, double l2);

 private:
  SoftmaxObjective objective_;
  NewtonCg newton_;
};

// Hidden layers of rectified linear units before the softmax, by Adam.
class MultilayerPerceptron final : public HeadSolver {
 public:
  MultilayerPerceptron(const Problem& problem, std::span<const std::size_t> layer_sizes, double l2,
                       double tolerance, std::uint64_t seed, int threads);

  bool step(const CancelToken& cancel) override { return adam_.step(cancel); }
  std::int64_t iteration() const override { return adam_.state().iteration; }
  bool converged() const override { return adam_.state().converged; }
  double value() override { return adam_.value(); }
  // Starts anew: weights that a strong penalty has brought to 0 would stay there.
  void set_l2(double l2) override;
  double l2() const override { return objective_.l2(); }
  std::vector<DenseLayer> layers() const override { return objective_.layers(adam_.state().w); }

  const Adam::State& state() const noexcept { return adam_.state(); }
  // As for logistic regression.
  void restore(Adam::State state, double l2);

 private:
  std::uint64_t seed_;
  PerceptronObjective objective_;
  Adam adam_;
};

}  // namespace silverprint
