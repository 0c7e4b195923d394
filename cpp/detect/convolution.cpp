#include "detect/convolution.h"

#include <algorithm>

#include "base/process.h"

namespace silverprint {
namespace {

std::ptrdiff_t step(std::size_t n) { return static_cast<std::ptrdiff_t>(n); }

// The left neighbour, in row dy - 1 of the kernel's three, of a band's first cell.
const float* neighbours(const FeatureMap& map, const Band& band, std::size_t dy) {
  return map.at(band.picture, band.first) + (step(dy) - 1) * step(map.grid.row() * map.channels) - map.channels;
}

}  // namespace

void convolve(const FeatureMap& in, const Band& band, const float* kernel, FeatureMap& out) {
  for (std::size_t dy = 0; dy < 3; ++dy)
    kernels().gemm(band.positions(in.grid), out.channels, 3 * in.channels, neighbours(in, band, dy),
                   step(in.channels), 1, kernel + dy * 3 * in.channels * out.channels, step(out.channels),
                   out.at(band.picture, band.first), step(out.channels));
}

void convolve_by_kernel(const FeatureMap& in, const FeatureMap& by_output, const Band& band, float* gradient) {
  for (std::size_t dy = 0; dy < 3; ++dy)
    kernels().gemm(3 * in.channels, by_output.channels, band.positions(in.grid), neighbours(in, band, dy), 1,
                   step(in.channels), by_output.at(band.picture, band.first), step(by_output.channels),
                   gradient + dy * 3 * in.channels * by_output.channels, step(by_output.channels));
}

void transpose(const float* from, std::size_t rows, std::size_t columns, float* to) {
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < columns; ++j) to[j * rows + i] = from[i * columns + j];
}

void mirror_kernel(const float* kernel, std::size_t inputs, std::size_t outputs, float* mirrored) {
  const std::size_t tap = inputs * outputs;
  for (std::size_t t = 0; t < 9; ++t) transpose(kernel + t * tap, inputs, outputs, mirrored + (8 - t) * tap);
}

void project(const PlanarMap& in, const Band& band, const float* kernel, FeatureMap& out) {
  kernels().gemm(band.positions(in.grid), out.channels, in.channels,
                 in.at(band.picture) + band.first * in.grid.row(), 1, step(in.plane()), kernel, step(out.channels),
                 out.at(band.picture, band.first), step(out.channels));
}

void project_by_kernel(const PlanarMap& in, const FeatureMap& by_output, const Band& band, float* gradient) {
  kernels().gemm(in.channels, by_output.channels, band.positions(in.grid),
                 in.at(band.picture) + band.first * in.grid.row(), step(in.plane()), 1,
                 by_output.at(band.picture, band.first), step(by_output.channels), gradient,
                 step(by_output.channels));
}

void project(const FeatureMap& in, const Band& band, const float* kernel, FeatureMap& out) {
  kernels().gemm(band.positions(in.grid), out.channels, in.channels, in.at(band.picture, band.first),
                 step(in.channels), 1, kernel, step(out.channels), out.at(band.picture, band.first),
                 step(out.channels));
}

void project_by_kernel(const FeatureMap& in, const FeatureMap& by_output, const Band& band, float* gradient) {
  kernels().gemm(in.channels, by_output.channels, band.positions(in.grid), in.at(band.picture, band.first), 1,
                 step(in.channels), by_output.at(band.picture, band.first), step(by_output.channels), gradient,
                 step(by_output.channels));
}

StridedConvolution::StridedConvolution(const Grid& in, std::size_t inputs, std::size_t pictures)
    : grid_{(in.height + 1) / 2, (in.width + 1) / 2},
      inputs_(inputs),
      size_(grid_.height * grid_.row() * 9 * inputs),
      columns_(pictures * size_) {}

void StridedConvolution::convolve(const FeatureMap& in, const Band& band, const float* kernel, FeatureMap& out) {
  float* to = columns(band);
  for (std::size_t y = band.first; y < band.last; ++y, to += 9 * inputs_)  // past the column of padding
    for (std::size_t x = 0; x < grid_.width; ++x)
      for (std::size_t dy = 0; dy < 3; ++dy, to += 3 * inputs_)
        std::copy_n(neighbours(in, {band.picture, 2 * y, in.grid.height}, dy) + 2 * x * inputs_, 3 * inputs_, to);
  kernels().gemm(band.positions(grid_), out.channels, 9 * inputs_, columns(band), step(9 * inputs_), 1, kernel,
                 step(out.channels), out.at(band.picture, band.first), step(out.channels));
}

void StridedConvolution::convolve_by_kernel(const FeatureMap& by_output, const Band& band, float* gradient) {
  kernels().gemm(9 * inputs_, by_output.channels, band.positions(grid_), columns(band), 1, step(9 * inputs_),
                 by_output.at(band.picture, band.first), step(by_output.channels), gradient,
                 step(by_output.channels));
}

void StridedConvolution::convolve_by_input(const FeatureMap& by_output, const Band& band, const float* transposed,
                                           FeatureMap& by_input) {
  const std::size_t outputs = by_output.channels;
  float* from = columns(band);
  std::fill_n(from, band.rows() * grid_.row() * 9 * inputs_, 0.0f);
  kernels().gemm(band.positions(grid_), 9 * inputs_, outputs, by_output.at(band.picture, band.first), step(outputs), 1,
                 transposed, step(9 * inputs_), from, step(9 * inputs_));
  for (std::size_t y = band.first; y < band.last; ++y, from += 9 * inputs_)
    for (std::size_t x = 0; x < grid_.width; ++x)
      for (std::size_t tap = 0; tap < 9; ++tap, from += inputs_) {
        // Another task may be writing next to this picture: padding is left out, not only unused.
        const std::size_t to_y = 2 * y + tap / 3, to_x = 2 * x + tap % 3;
        if (to_y < 1 || to_y > by_input.grid.height || to_x < 1 || to_x > by_input.grid.width) continue;
        float* to = by_input.at(band.picture, to_y - 1) + (to_x - 1) * inputs_;
        for (std::size_t i = 0; i < inputs_; ++i) to[i] += from[i];
      }
}

}  // namespace silverprint
