#pragma once
// Every hot loop, as one table of functions per instruction set. This header and what includes it
// for an instruction set use no templates of the standard library: the linker could pick a copy
// compiled for newer processors.
#include <cstddef>
#include <cstdint>

namespace silverprint {

// Weights of a filter in 2^-22ths, 0 to 2^22, as 256 * high + low: parts that 16-bit multiplications take.
struct SplitWeights {
  const std::int16_t *high, *low;
};

// All tables compute the same bytes; plain.cpp, written without intrinsics, says which.
struct Kernels {
  // C += A B with A (m, k) at a[i * a_row + p * a_column], B (k, n) row-major, C (m, n) row-major.
  // Each c is one chain of fused multiply-adds, in order of k, that starts from its old value.
  void (*gemm)(std::size_t m, std::size_t n, std::size_t k, const float* a, std::ptrdiff_t a_row,
               std::ptrdiff_t a_column, const float* b, std::ptrdiff_t b_row, float* c,
               std::ptrdiff_t c_row);

  // Softmax of `rows` rows of `classes` scores, in place; `stride` values between rows.
  // Also gives each row's largest score and its sum of exp(score - largest).
  void (*softmax)(std::size_t rows, std::size_t classes, std::size_t stride, float* scores,
                  float* largest, float* sum);

  // u = weight * p * (u - sum(p u)), row by row: the softmax's Jacobian applied to u.
  void (*softmax_jacobian)(std::size_t rows, std::size_t classes, std::size_t stride, const float* p,
                           const float* weight, float* u);

  // One step of Adam, element by element, with the decays 0.9 and 0.999:
  //   first = 0.9 first + 0.1 g,  second = 0.999 second + 0.001 g g,
  //   w -= length * (first / (sqrt(second * scale) + 1e-8)).
  void (*adam)(std::size_t n, const float* gradient, float length, float scale, float* w, float* first,
               float* second);

  // Feature maps lie in memory position by position, `channels` values each, a multiple of kLanes.
  // Sums run over the positions, one chain for each channel.

  //   sum += x - origin,  squares += (x - origin)^2.
  void (*map_moments)(std::size_t positions, std::size_t channels, const float* x, const float* origin, float* sum,
                      float* squares);

  // out = max(z * scale + shift, 0), added to `residual` where that is not null. `out` may be `residual`.
  void (*map_rectify)(std::size_t positions, std::size_t channels, const float* z, const float* scale,
                      const float* shift, const float* residual, float* out);

  // With g = d where z * scale + shift > 0, else 0: what map_rectify lets through of a signal d,
  //   sum += g,  products += g (z - mean).
  void (*map_rectify_sums)(std::size_t positions, std::size_t channels, const float* z, const float* scale,
                           const float* shift, const float* mean, const float* d, float* sum, float* products);

  // With the same g: out = by_signal * g + (by_z * z + constant).
  void (*map_rectify_back)(std::size_t positions, std::size_t channels, const float* z, const float* scale,
                           const float* shift, const float* d, const float* by_signal, const float* by_z,
                           const float* constant, float* out);

  // Half precision (IEEE binary16) to x * scale + shift, `rows` rows of `width` values, `out_row` apart in `out`.
  void (*widen)(std::size_t rows, std::size_t width, const std::uint16_t* half, float scale, float shift, float* out,
                std::size_t out_row);

  // Along x: one row of RGB pixels to `width` levels in each of three planes, pixel x being
  // (sum_t weight_xt * row[first[x] + t] + 2^21) >> 22, clamped to 0..255, with weight_xt at
  // column_weight(x, t, taps). `taps` is even; `row` is readable for 8 bytes past the last pixel used.
  void (*resample_columns)(const std::uint8_t* row, const std::int32_t* first, SplitWeights weight,
                           std::size_t taps, std::size_t width, std::uint8_t* red, std::uint8_t* green,
                           std::uint8_t* blue);

  // Along y: out[i] = (sum_t weight[t] * row_t[i] + 2^21) >> 22, clamped to 0..255, with
  // row_t = rows + t * row_stride.
  void (*resample_rows)(const std::uint8_t* rows, std::ptrdiff_t row_stride, SplitWeights weight,
                        std::size_t taps, std::size_t count, float* out);

  // `count` RGB pixels to three planes, where no size changes.
  void (*split_pixels)(const std::uint8_t* pixels, std::size_t count, float* red, float* green, float* blue);
};

// The order of weights along x: two pixels and two taps stand together as the sixteen numbers that
// the pairwise multiply-add takes, w0 w1 for red, green and blue and two unused, first for the left pixel.
constexpr std::size_t column_weight(std::size_t x, std::size_t tap, std::size_t taps) {
  return ((x / 2) * (taps / 2) + tap / 2) * 16 + (x % 2) * 8 + tap % 2;
}
constexpr std::size_t column_weights_size(std::size_t width, std::size_t taps) { return (width + 1) / 2 * taps * 8; }

extern const Kernels kPlainKernels;
#if defined(SILVERPRINT_X86_KERNELS)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
#endif

// Sums over classes and columns run in this many lanes, lane l over l, l + 16, ..., and end in a tree.
inline constexpr std::size_t kLanes = 16;

}  // namespace silverprint
