#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "detect/boxes.h"

namespace silverprint {

struct SuppressionRule {
  double score = 0.25;      // least score, itself included
  double iou = 0.45;        // boxes of one label that overlap by more than this suppress each other
  std::size_t top = 600;    // boxes considered, best first
  std::size_t limit = 100;  // boxes kept
};

struct FoundBox {
  std::int32_t index;  // among the boxes given
  std::int32_t label;
  float score;
};

// Non-maximum suppression per class for one picture, as Core ML has it: a box (n) has the label of
// its highest score (n, classes), the first of equals. Kept boxes in the order of falling score,
// the first of equals first. Scores that are not numbers do not count.
std::vector<FoundBox> suppress(std::span<const Box> boxes, std::span<const float> scores, std::size_t classes,
                               const SuppressionRule& rule);

}  // namespace silverprint
