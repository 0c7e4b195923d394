#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "detect/boxes.h"

namespace silverprint {

// One level of the cells: row-major, cell (i, j) centred on ((i + 0.5) stride, (j + 0.5) stride) pixels.
struct GridLevel {
  std::size_t width, height;
  float stride;
};

// Cells of all levels, one level after the other.
std::size_t count_cells(std::span<const GridLevel> levels);

// Decides which cells of a picture answer for which of its boxes: task-aligned assignment (Feng et
// al., TOOD, ICCV 2021).
//
// A cell's value for a box is its score for the box's label times the sixth power of the IoU of the
// box it predicts. Of the cells whose centre lies inside the box, or at most one cell from its
// centre in x and in y, the ten of highest value are taken, the first of equals; a cell wanted by
// several boxes goes to the one with the highest value, the first of equals. The target of a cell
// is its value, scaled so that the highest of the box's cells becomes their highest IoU.
class Assigner {
 public:
  static constexpr std::size_t kMostCells = 10;
  static constexpr std::int32_t kNone = -1;

  // For one picture: logits (cells, classes) and distances (cells, 4), the edges of the predicted
  // box from the cell's centre in pixels, left, top, right, bottom. Gives each cell its box, or
  // kNone with target 0; no cell has a box with target 0. Cost grows with the cells inside boxes.
  void assign(std::span<const GridLevel> levels, std::size_t classes, const float* logits, const float* distances,
              std::span<const Box> boxes, std::span<const std::int32_t> labels, std::span<std::int32_t> owners,
              std::span<float> targets);

 private:
  struct Candidate {
    std::size_t cell;
    double value, overlap;
  };
  struct Shortlist {
    Candidate best[kMostCells];
    std::size_t count = 0;
    // Whether a candidate of this value would be taken.
    bool wants(double value) const { return value > (count < kMostCells ? 0.0 : best[count - 1].value); }
    void add(const Candidate& candidate);
  };

  void visit(std::span<const GridLevel> levels, std::size_t classes, const float* logits, const float* distances,
             const Box& box, std::int32_t label, Shortlist& list) const;

  std::vector<Shortlist> lists_;  // of each box
  std::vector<double> values_;    // of each cell for its box
};

// The box that `distances` (4) give around a centre.
inline Box box_around(float x, float y, const float* distances) {
  return {x - distances[0], y - distances[1], x + distances[2], y + distances[3]};
}

}  // namespace silverprint
