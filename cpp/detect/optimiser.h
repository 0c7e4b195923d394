#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace silverprint {

// AdamW (Loshchilov and Hutter, ICLR 2019) with the decays 0.9 and 0.999, on gradients whose norm is
// cut. Step t (from 0) of `steps` has the length
//   rate * min(1, (t + 1) / warm_up) * (least + (1 - least) * (1 + cos(pi t / steps)) / 2).
// Equal inputs give equal bytes for any number of threads.
class Optimiser {
 public:
  struct Settings {
    double rate = 2e-3;
    double decay = 0.05;             // of the weights that decay, times the length of the step
    double largest_gradient = 10;    // norm that longer gradients are cut to
    std::int64_t warm_up = 50;
    double least = 0.02;
    std::int64_t steps = 600;
  };

  // All that the next step depends on, beside the parameters and the settings.
  struct State {
    std::vector<float> first, second;  // moments of the gradient
    std::int64_t steps = 0;            // done
  };

  // `decays` says of each parameter whether it decays (1) or not (0).
  Optimiser(std::vector<std::uint8_t> decays, const Settings& settings, int threads);

  // One step on `w`; `gradient` is cut in place. Throws invalid_argument where the gradient is not
  // finite, and changes nothing then. Steps beyond the last have the length of the last.
  void step(std::span<float> w, std::span<float> gradient);

  // The length of the next step.
  double rate() const noexcept;

  const State& state() const noexcept { return state_; }
  void restore(State state);

 private:
  double norm(std::span<const float> gradient);

  std::vector<std::uint8_t> decays_;
  Settings settings_;
  int threads_;
  State state_;
  std::vector<double> squares_;  // of each chunk of the gradient
};

// Exponential moving average of numbers that change step by step, with the decay
// min(0.998, (1 + t) / (10 + t)) at update t (from 1): an early average forgets its beginning.
class MovingAverage {
 public:
  struct State {
    std::vector<float> values;
    std::int64_t updates = 0;
  };
  static constexpr double kDecay = 0.998;

  explicit MovingAverage(std::span<const float> start) : state_{{start.begin(), start.end()}, 0} {}

  void update(std::span<const float> values);

  std::span<const float> values() const noexcept { return state_.values; }
  const State& state() const noexcept { return state_; }
  void restore(State state);

 private:
  State state_;
};

}  // namespace silverprint
