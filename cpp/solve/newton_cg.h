#pragma once
#include <cstdint>
#include <vector>

#include "base/cancel.h"
#include "solve/objective.h"

namespace silverprint {

// Truncated Newton with preconditioned conjugate gradients and backtracking (Nocedal and Wright,
// Numerical Optimization, 2nd edition, algorithm 7.1). The preconditioner is rebuilt only when
// the last inner solve took long.
class NewtonCg {
 public:
  // All that the next step depends on, beside the objective.
  struct State {
    std::vector<float> w;
    std::vector<float> anchor;  // where the preconditioner was built; empty: not yet
    std::int64_t iteration = 0;
    std::int64_t inner_iterations = 0;  // of the last step
    std::int64_t idle_iterations = 0;   // in a row that lowered the value by no more than rounding
    bool converged = false;
  };

  // Converged: the Newton model promises less than tolerance * |value| from a full step, or the
  // value no longer falls beyond rounding.
  NewtonCg(Objective& objective, double tolerance);

  // One outer iteration; false once converged. Throws `cancelled` and keeps the last whole step.
  bool step(const CancelToken& cancel);

  // A new start from the present w, for an objective that has changed.
  void restart();

  const State& state() const noexcept { return state_; }
  void restore(State state);

  // The objective at w; needs no further pass over the data after a step.
  double value();

 private:
  void evaluate();
  void solve_newton_system(const CancelToken& cancel);

  Objective& objective_;
  double tolerance_;
  State state_;
  bool evaluated_ = false;  // value_ and gradient_ are those of w
  bool preconditioned_ = false;
  double value_ = 0;
  std::vector<float> gradient_, direction_, residual_, search_, product_, trial_, trial_gradient_;
};

}  // namespace silverprint
