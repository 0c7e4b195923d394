#include "detect/suppression.h"

#include <algorithm>

namespace silverprint {

std::vector<FoundBox> suppress(std::span<const Box> boxes, std::span<const float> scores, std::size_t classes,
                               const SuppressionRule& rule) {
  std::vector<FoundBox> waiting;
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    const float* own = scores.data() + i * classes;
    FoundBox box{static_cast<std::int32_t>(i), -1, 0};
    for (std::size_t c = 0; c < classes; ++c)
      if (static_cast<double>(own[c]) >= rule.score && (box.label < 0 || own[c] > box.score)) {
        box.label = static_cast<std::int32_t>(c);
        box.score = own[c];
      }
    if (box.label >= 0) waiting.push_back(box);
  }
  const auto better = [](const FoundBox& a, const FoundBox& b) {
    return a.score != b.score ? a.score > b.score : a.index < b.index;
  };
  const auto last = waiting.begin() + static_cast<std::ptrdiff_t>(std::min(rule.top, waiting.size()));
  std::partial_sort(waiting.begin(), last, waiting.end(), better);
  waiting.erase(last, waiting.end());

  std::vector<FoundBox> kept;
  for (const FoundBox& box : waiting) {
    if (kept.size() >= rule.limit) break;
    const bool suppressed = std::any_of(kept.begin(), kept.end(), [&](const FoundBox& other) {
      return other.label == box.label &&
             iou(boxes[static_cast<std::size_t>(other.index)], boxes[static_cast<std::size_t>(box.index)]) > rule.iou;
    });
    if (!suppressed) kept.push_back(box);
  }
  return kept;
}

}  // namespace silverprint
