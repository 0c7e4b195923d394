#pragma once
#include <cstddef>

#include "base/aligned.h"

namespace silverprint {

// How the cells of a batch of pictures lie in memory: picture after picture, row after row, with one
// column and one row of padding after each picture, and a margin before the first. A picture's padding
// is the next one's, too: a neighbour of any cell, up to a diagonal step away, lies a fixed number of
// positions off, and is padding where the picture ends.
struct Grid {
  std::size_t height, width;

  std::size_t row() const noexcept { return width + 1; }
  std::size_t picture() const noexcept { return (height + 1) * row(); }
  std::size_t margin() const noexcept { return row() + 1; }
  std::size_t cells() const noexcept { return height * width; }
  std::size_t positions(std::size_t pictures) const noexcept { return margin() + pictures * picture(); }
  std::size_t position(std::size_t index, std::size_t y) const noexcept {
    return margin() + index * picture() + y * row();
  }
  bool operator==(const Grid&) const = default;
};

// Values of a batch on a grid, `channels` at each position. All start at 0.
struct FeatureMap {
  FeatureMap(const Grid& its_grid, std::size_t its_channels, std::size_t pictures)
      : grid(its_grid), channels(its_channels), values(its_grid.positions(pictures) * its_channels) {}

  float* at(std::size_t picture, std::size_t y) noexcept {
    return values.data() + grid.position(picture, y) * channels;
  }
  const float* at(std::size_t picture, std::size_t y) const noexcept {
    return values.data() + grid.position(picture, y) * channels;
  }

  Grid grid;
  std::size_t channels;
  AlignedVector<float> values;
};

// Rows [first, last) of one picture: what one task takes. Its positions run to the last row's last cell.
struct Band {
  std::size_t picture, first, last;

  std::size_t rows() const noexcept { return last - first; }
  std::size_t positions(const Grid& grid) const noexcept { return rows() * grid.row() - 1; }
};

}  // namespace silverprint
