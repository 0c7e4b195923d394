#pragma once
#include <cstddef>

#include "base/aligned.h"

namespace silverprint {

// A = L L' of a symmetric positive definite float matrix, blocked over the one gemm.
class Cholesky {
 public:
  // The order of A is padded to whole blocks; rows stand `stride()` values apart.
  explicit Cholesky(std::size_t order);

  std::size_t order() const noexcept { return order_; }
  std::size_t stride() const noexcept { return stride_; }

  // The lower triangle of A goes in here, whole blocks of kBlock on the diagonal included.
  float* matrix() noexcept { return factor_.data(); }

  // Factors matrix() in place. False where A is not positive definite; its content is then lost.
  bool factor(int threads);

  // Solves A X = B in place for `columns` right sides, a multiple of 16; rows of B `columns` apart.
  void solve(float* b, std::size_t columns, int threads) const;

  static constexpr std::size_t kBlock = 64;

 private:
  bool factor_diagonal(std::size_t block);
  void solve_columns(float* b, std::size_t columns) const;

  std::size_t order_, stride_, blocks_;
  AlignedVector<float> factor_;   // below the diagonal blocks: -L
  AlignedVector<float> inverse_;  // of each diagonal block of L, row-major
};

}  // namespace silverprint
