#pragma once
// Every hot loop, as one table of functions per instruction set. This header and what includes it
// for an instruction set use no templates of the standard library: the linker could pick a copy
// compiled for newer processors.
#include <cstddef>
#include <cstdint>

namespace silverprint {

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

  // out[i] = (sum_t weight[t] * row_t[i] + 128) >> 8 with row_t = rows + t * row_stride.
  // Weights are 1/16384ths that add up to 16384; results are 1/64ths of a level, 0..16320.
  void (*resample_rows)(const std::uint8_t* rows, std::ptrdiff_t row_stride, const std::int16_t* weight,
                        std::size_t taps, std::size_t count, std::int16_t* out);

  // One row of RGB pixels in 1/64ths to `width` levels 0..255 in each of three planes:
  // pixel x is (sum_t weight[x * taps + t] * row[first[x] + t] + 2^19) >> 20, clamped.
  // `taps` is even; `row` is readable for 8 values past the last pixel used.
  void (*resample_columns)(const std::int16_t* row, const std::int32_t* first, const std::int16_t* weight,
                           std::size_t taps, std::size_t width, float* red, float* green, float* blue);
};

extern const Kernels kPlainKernels;
#if defined(SILVERPRINT_X86_KERNELS)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
#endif

// Sums over classes and columns run in this many lanes, lane l over l, l + 16, ..., and end in a tree.
inline constexpr std::size_t kLanes = 16;

}  // namespace silverprint
