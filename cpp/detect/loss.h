#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "detect/assignment.h"

namespace silverprint {

// Boxes of several pictures, in pixels of the tensor; those of picture i are first[i] to first[i + 1].
struct BoxBatch {
  std::span<const std::size_t> first;
  std::span<const Box> boxes;
  std::span<const std::int32_t> labels;
};

// The loss of a batch of pictures: classification + 2 * boxes, each over the sum of the targets, or
// over 1 where that is less. Targets are constants: nothing is derived through the assignment.
//
//   classification: varifocal (Zhang et al., VarifocalNet, CVPR 2021): a cell with target t costs
//     t * BCE(p, t) for its label; all else costs -0.75 p^2 log(1 - p).
//   boxes: t * (1 - GIoU) for a cell with target t.
//
// Equal inputs give equal bytes for any number of threads.
class DetectionLoss {
 public:
  struct Value {
    double classification = 0, boxes = 0;
    double targets = 0;  // their sum
    double total() const noexcept { return classification + kBoxWeight * boxes; }
  };
  static constexpr double kBoxWeight = 2;
  static constexpr float kNegativeWeight = 0.75f;

  DetectionLoss(std::vector<GridLevel> levels, std::size_t classes, int threads);

  std::span<const GridLevel> levels() const noexcept { return levels_; }
  std::size_t cells() const noexcept { return cells_; }
  std::size_t classes() const noexcept { return classes_; }

  // logits (n, cells, classes), distances (n, cells, 4) as in Assigner::assign; `by_logits` and
  // `by_distances`, of the same shapes, become the derivatives of total(). Not a number where the
  // logits are not.
  Value evaluate(std::span<const float> logits, std::span<const float> distances, const BoxBatch& batch,
                 std::span<float> by_logits, std::span<float> by_distances);

  // Of the last evaluate(), (n, cells): the number of each cell's box in its picture, or
  // Assigner::kNone, and its target.
  std::span<const std::int32_t> owners() const noexcept { return owners_; }
  std::span<const float> targets() const noexcept { return targets_; }

 private:
  double add_negatives(std::span<const float> logits, float scale, std::span<float> by_logits) const;
  Value add_positives(std::size_t picture, const float* logits, const float* distances, const BoxBatch& batch,
                      double scale, float* by_logits, float* by_distances) const;

  std::vector<GridLevel> levels_;
  std::size_t cells_, classes_;
  int threads_;
  std::vector<Assigner> assigners_;  // one for each picture of a batch
  std::vector<std::int32_t> owners_;
  std::vector<float> targets_;
  std::vector<Value> values_;
};

}  // namespace silverprint
