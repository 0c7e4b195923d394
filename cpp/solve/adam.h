#pragma once
#include <cstdint>
#include <vector>

#include "base/cancel.h"
#include "solve/objective.h"

namespace silverprint {

// Adam (Kingma and Ba, ICLR 2015) over shuffled batches; an iteration is one pass over the rows, or
// several where they are few. The step length falls as 1 / (1 + iteration / 5), so that no total
// need be known beforehand.
class Adam {
 public:
  // All that the next iteration depends on, beside the objective and the seed.
  struct State {
    std::vector<float> w;
    std::vector<float> first, second;  // moments of the gradient
    std::int64_t iteration = 0;
    std::int64_t steps = 0;
    std::vector<double> values;  // of the last iterations, newest last
    bool converged = false;
  };

  // Starts at w with steps of `rate`. Converged: over kPatience iterations the value fell by less than
  // tolerance * |value|.
  Adam(BatchObjective& objective, std::vector<float> w, double rate, double tolerance, std::uint64_t seed,
       int threads);

  // One iteration; false once converged. Throws `cancelled` and keeps the last whole iteration.
  bool step(const CancelToken& cancel);

  // A new start at w, for an objective that has changed.
  void restart(std::vector<float> w);

  const State& state() const noexcept { return state_; }
  void restore(State state);

  // The objective, averaged over the last iteration; infinite before the first.
  double value() const;

  static constexpr std::size_t kPatience = 5;

 private:
  void shuffle();
  void update(double rate);

  BatchObjective& objective_;
  double rate_, tolerance_;
  std::uint64_t seed_;
  int threads_;
  State state_, next_;
  std::vector<std::uint32_t> order_;
  std::vector<float> gradient_;
};

}  // namespace silverprint
