#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "detect/boxes.h"

namespace silverprint {

// Boxes that a detector found in several pictures; those of picture i are first[i] to first[i + 1].
struct FoundBatch {
  std::span<const std::size_t> first;
  std::span<const ExactBox> boxes;
  std::span<const std::int32_t> labels;
  std::span<const double> scores;
};

// The boxes that the pictures have. A crowd (1) is a region of many objects: what is found in it,
// by its share of the found box instead of IoU, counts neither for nor against the detector.
struct TruthBatch {
  std::span<const std::size_t> first;
  std::span<const ExactBox> boxes;
  std::span<const std::int32_t> labels;
  std::span<const std::uint8_t> crowd;
};

// COCO's average precision (Lin et al., ECCV 2014) for boxes of all areas, number for number as
// pycocotools has it: at most 100 boxes per picture and class, a found box takes the free true box
// of highest IoU (the last of equals), found boxes of equal score count in the order of pictures.
struct AveragePrecision {
  static constexpr std::size_t kThresholds = 10;   // of IoU: 0.50, 0.55, ..., 0.95
  static constexpr std::size_t kRecalls = 101;     // 0, 0.01, ..., 1
  static constexpr std::size_t kMostFound = 100;   // per picture and class
  static constexpr std::int64_t kFalse = -1, kIgnored = -2;

  // Of each class. Not a number where there is no true box (pycocotools: -1).
  std::vector<double> average;  // (classes, kThresholds)
  std::vector<double> recall;   // (classes, kThresholds), the highest reached
  // At IoU 0.50 for each recall: the best precision at that recall or a higher one, 0 where it is
  // not reached; and the score from which boxes have to be taken, there not a number.
  std::vector<double> precision, scores;  // (classes, kRecalls)
  std::vector<std::int64_t> counts;       // (classes) true boxes without crowds
  // Of each found box at IoU 0.50: its true box (among all), or kFalse, or kIgnored for one in a
  // crowd or beyond the 100.
  std::vector<std::int64_t> matches;
};

AveragePrecision average_precision(const FoundBatch& found, const TruthBatch& truth, std::size_t classes, int threads);

}  // namespace silverprint
