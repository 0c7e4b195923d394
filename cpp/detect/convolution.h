#pragma once
#include "detect/feature_map.h"

namespace silverprint {

// Convolutions over one band of one picture, as gemms on the one gemm kernel. Kernels of 3x3 are
// (3, 3, inputs, outputs), those of 1x1 (inputs, outputs), row-major. Everything adds to what stands
// in the result. Results may be written between the rows of a band, where padding is; padding of maps
// that are read must be 0.
//
// The positions of a map and their neighbours to the left and right are consecutive in memory, so one
// gemm with 3 * inputs terms does a row of a 3x3 kernel, for all positions of the band at once.

// out += 3x3 convolution of `in`.
void convolve(const FeatureMap& in, const Band& band, const float* kernel, FeatureMap& out);

// gradient += the derivative by the kernel, given the derivative by the outputs. The derivative by the
// inputs is a convolution of `by_output` with the mirrored kernel.
void convolve_by_kernel(const FeatureMap& in, const FeatureMap& by_output, const Band& band, float* gradient);

// (3, 3, outputs, inputs), transposed and turned by half a turn.
void mirror_kernel(const float* kernel, std::size_t inputs, std::size_t outputs, float* mirrored);

// A map as a backbone gives it: channel by channel, rows of cells with one column of padding.
struct PlanarMap {
  PlanarMap(const Grid& its_grid, std::size_t its_channels, std::size_t pictures)
      : grid(its_grid), channels(its_channels), values(pictures * its_channels * plane()) {}

  std::size_t plane() const noexcept { return grid.height * grid.row(); }
  float* at(std::size_t picture) noexcept { return values.data() + picture * channels * plane(); }
  const float* at(std::size_t picture) const noexcept { return values.data() + picture * channels * plane(); }

  Grid grid;
  std::size_t channels;
  AlignedVector<float> values;
};

// out += 1x1 convolution of `in`.
void project(const PlanarMap& in, const Band& band, const float* kernel, FeatureMap& out);
void project_by_kernel(const PlanarMap& in, const FeatureMap& by_output, const Band& band, float* gradient);

void project(const FeatureMap& in, const Band& band, const float* kernel, FeatureMap& out);
void project_by_kernel(const FeatureMap& in, const FeatureMap& by_output, const Band& band, float* gradient);

// A 3x3 convolution that moves by two cells. Inputs are copied, nine neighbours to each position of
// the output, (positions, 9 * inputs); the copy serves both directions.
class StridedConvolution {
 public:
  StridedConvolution(const Grid& in, std::size_t inputs, std::size_t pictures);

  // The grid of the outputs: half the cells, rounded up.
  const Grid& grid() const noexcept { return grid_; }

  // Bands are of the output. by_kernel needs what convolve copied for the band, by_input uses it up.
  void convolve(const FeatureMap& in, const Band& band, const float* kernel, FeatureMap& out);
  void convolve_by_kernel(const FeatureMap& by_output, const Band& band, float* gradient);
  // by_input += the derivative by the inputs; the kernel is given transposed, (outputs, 9 * inputs).
  void convolve_by_input(const FeatureMap& by_output, const Band& band, const float* transposed,
                         FeatureMap& by_input);

 private:
  float* columns(const Band& band) noexcept {
    return columns_.data() + band.picture * size_ + band.first * grid_.row() * 9 * inputs_;
  }

  Grid grid_;
  std::size_t inputs_, size_;
  AlignedVector<float> columns_;
};

void transpose(const float* from, std::size_t rows, std::size_t columns, float* to);

}  // namespace silverprint
