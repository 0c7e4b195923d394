#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/cancel.h"
#include "detect/loss.h"
#include "detect/network.h"
#include "detect/optimiser.h"

namespace silverprint {

// What a detection head is trained on. Whoever makes a trainer keeps it in memory meanwhile.
struct DetectionProblem {
  // (pictures, views, row), in half precision: a backbone's maps for each view of each picture.
  const std::uint16_t* rows;
  std::size_t pictures, views;
  std::span<const float> geometry;        // (pictures, views, 5): left, top, right, bottom, mirrored (1) or not (0)
  std::span<const std::int64_t> chosen;   // the pictures to train on
  std::span<const std::size_t> first;     // (pictures + 1): boxes of picture i are first[i] to first[i + 1]
  std::span<const Box> boxes;             // of whole pictures, from 0 to 1 in both directions
  std::span<const std::int32_t> labels;
};

// A box of the whole picture as a view with this geometry (5) shows it, from 0 to 1; false where less
// than 0.4 of its area is left, or nothing.
bool seen_in_view(const Box& box, const float* geometry, Box& seen);

// Trains a head step by step: a step takes the next pictures of a shuffled order, of each one view by
// chance. Order and views follow from the seed and the number of the step.
class DetectionTrainer {
 public:
  // All that the next step depends on, beside the problem, the options and the seed.
  struct State {
    std::vector<float> parameters, statistics;
    Optimiser::State optimiser;
    MovingAverage::State average;
  };

  DetectionTrainer(const NetworkOptions& options, std::span<const float> mean, std::span<const float> deviation,
                   const DetectionProblem& problem, const Optimiser::Settings& settings, std::uint64_t seed,
                   int threads);

  // One batch; false after the last. Throws `cancelled` before it begins, and invalid_argument where
  // the loss is no longer finite.
  bool step(const CancelToken& cancel);

  std::int64_t steps() const noexcept { return optimiser_.state().steps; }
  // Of the last step; zeros before the first.
  const DetectionLoss::Value& loss() const noexcept { return loss_value_; }
  // The averaged parameters, and after them the averaged statistics: what predicts.
  std::span<const float> average() const noexcept { return average_.values(); }
  std::size_t statistics_size() const noexcept { return flat_.size() - gradient_.size(); }
  const Network& network() const noexcept { return network_; }

  State state() const;
  void restore(State state);

 private:
  void choose(std::size_t draw);
  void gather(std::size_t picture, std::size_t view);
  void collect();

  DetectionProblem problem_;
  Optimiser::Settings settings_;
  std::uint64_t seed_;
  Network network_;
  DetectionLoss loss_;
  Optimiser optimiser_;
  std::vector<float> flat_;  // parameters and statistics
  MovingAverage average_;
  DetectionLoss::Value loss_value_;

  std::vector<std::int64_t> order_;
  std::size_t epoch_;  // of order_
  std::vector<const std::uint16_t*> rows_;
  std::vector<std::size_t> first_;
  std::vector<Box> boxes_;
  std::vector<std::int32_t> labels_;
  std::vector<float> by_logits_, by_distances_, gradient_;
};

}  // namespace silverprint
