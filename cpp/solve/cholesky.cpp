#include "solve/cholesky.h"

#include <algorithm>
#include <cmath>

#include "base/process.h"

namespace silverprint {

Cholesky::Cholesky(std::size_t order)
    : order_(order),
      stride_(round_up(order, kBlock)),
      blocks_(stride_ / kBlock),
      factor_(stride_ * stride_),
      inverse_(stride_ * kBlock) {}

bool Cholesky::factor_diagonal(std::size_t block) {
  float* a = factor_.data() + block * kBlock * (stride_ + 1);
  float* inverse = inverse_.data() + block * kBlock * kBlock;
  double l[kBlock][kBlock] = {};
  for (std::size_t i = 0; i < kBlock; ++i) {
    // Padding behaves like the identity.
    const bool padding = block * kBlock + i >= order_;
    for (std::size_t j = 0; j <= i; ++j) {
      double sum = padding ? (i == j ? 1.0 : 0.0) : a[i * stride_ + j];
      for (std::size_t p = 0; p < j; ++p) sum -= l[i][p] * l[j][p];
      if (i == j) {
        if (!(sum > 0)) return false;
        l[i][i] = std::sqrt(sum);
      } else {
        l[i][j] = sum / l[j][j];
      }
    }
  }
  double column[kBlock];
  for (std::size_t j = 0; j < kBlock; ++j)
    for (std::size_t i = 0; i < kBlock; ++i) {
      double sum = i == j ? 1.0 : 0.0;
      for (std::size_t p = j; p < i; ++p) sum -= l[i][p] * column[p];
      column[i] = i < j ? 0.0 : sum / l[i][i];
      inverse[i * kBlock + j] = static_cast<float>(column[i]);
    }
  return true;
}

bool Cholesky::factor(int threads) {
  const Kernels& k = kernels();
  const auto stride = static_cast<std::ptrdiff_t>(stride_);
  constexpr auto block = static_cast<std::ptrdiff_t>(kBlock);
  AlignedVector<float> panel(stride_ * kBlock);
  for (std::size_t j = 0; j < blocks_; ++j) {
    if (!factor_diagonal(j)) return false;
    const float* inverse = inverse_.data() + j * kBlock * kBlock;
    float inverse_transposed[kBlock * kBlock];
    for (std::size_t r = 0; r < kBlock; ++r)
      for (std::size_t c = 0; c < kBlock; ++c) inverse_transposed[c * kBlock + r] = -inverse[r * kBlock + c];
    const std::size_t below = blocks_ - j - 1;
    // panel: L of this column, transposed, for the update of what is right of it.
    pool().run(below, threads, [&](std::size_t t) {
      const std::size_t i = j + 1 + t;
      float* a = factor_.data() + i * kBlock * stride_ + j * kBlock;
      float negative[kBlock * kBlock] = {};
      k.gemm(kBlock, kBlock, kBlock, a, stride, 1, inverse_transposed, block, negative, block);
      float* transposed = panel.data() + i * kBlock * kBlock;
      for (std::size_t r = 0; r < kBlock; ++r)
        for (std::size_t c = 0; c < kBlock; ++c) {
          a[r * stride_ + c] = negative[r * kBlock + c];
          transposed[c * kBlock + r] = -negative[r * kBlock + c];
        }
    });
    pool().run(below, threads, [&](std::size_t t) {
      const std::size_t i = blocks_ - 1 - t;  // longest rows first
      const float* a = factor_.data() + i * kBlock * stride_ + j * kBlock;
      for (std::size_t c = j + 1; c <= i; ++c)
        k.gemm(kBlock, kBlock, kBlock, a, stride, 1, panel.data() + c * kBlock * kBlock, block,
               factor_.data() + i * kBlock * stride_ + c * kBlock, stride);
    });
  }
  return true;
}

void Cholesky::solve_columns(float* b, std::size_t columns) const {
  constexpr std::size_t width = kLanes;
  constexpr auto block = static_cast<std::ptrdiff_t>(kBlock);
  const Kernels& k = kernels();
  const auto stride = static_cast<std::ptrdiff_t>(stride_);
  const auto b_row = static_cast<std::ptrdiff_t>(columns);
  float x[kBlock * width];
  // x is the running right side of one block; b beyond order() is not there, so it is copied.
  const auto rows = [&](std::size_t i) { return std::min(kBlock, order_ - i * kBlock); };
  const auto read = [&](std::size_t i) {
    std::fill(std::begin(x), std::end(x), 0.0f);
    for (std::size_t r = 0; r < rows(i); ++r)
      std::copy_n(b + (i * kBlock + r) * columns, width, x + r * width);
  };
  const auto write_scaled = [&](std::size_t i, std::ptrdiff_t row, std::ptrdiff_t column) {
    float y[kBlock * width] = {};
    k.gemm(kBlock, width, kBlock, inverse_.data() + i * kBlock * kBlock, row, column, x, width, y, width);
    for (std::size_t r = 0; r < rows(i); ++r)
      std::copy_n(y + r * width, width, b + (i * kBlock + r) * columns);
  };
  for (std::size_t i = 0; i < blocks_; ++i) {
    read(i);
    k.gemm(kBlock, width, i * kBlock, factor_.data() + i * kBlock * stride_, stride, 1, b, b_row, x, width);
    write_scaled(i, block, 1);
  }
  for (std::size_t i = blocks_; i-- > 0;) {
    read(i);
    const std::size_t after = (i + 1) * kBlock;
    if (after < order_)
      k.gemm(kBlock, width, order_ - after, factor_.data() + after * stride_ + i * kBlock, 1, stride,
             b + after * columns, b_row, x, width);
    write_scaled(i, 1, block);
  }
}

void Cholesky::solve(float* b, std::size_t columns, int threads) const {
  pool().run(columns / kLanes, threads, [&](std::size_t t) { solve_columns(b + t * kLanes, columns); });
}

}  // namespace silverprint
