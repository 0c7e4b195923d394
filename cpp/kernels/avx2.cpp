// Built with -mavx2 -mfma -mf16c: reached through its table alone, on processors that have them.
#include <immintrin.h>

#include "kernels/exp_constants.h"
#include "kernels/kernels.h"

namespace silverprint::avx2 {
namespace {

// Sixteen floats in two registers.
struct V16 {
  __m256 low, high;
};

inline __m256i lane_mask(std::size_t n) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lanes);
}
inline V16 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline V16 broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline V16 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, V16 v) {
  _mm256_storeu_ps(p, v.low);
  _mm256_storeu_ps(p + 8, v.high);
}
// The first n <= 16 values; the others are 0.
inline V16 load_first(const float* p, std::size_t n) {
  return {_mm256_maskload_ps(p, lane_mask(n)),
          n > 8 ? _mm256_maskload_ps(p + 8, lane_mask(n - 8)) : _mm256_setzero_ps()};
}
inline void store_first(float* p, V16 v, std::size_t n) {
  _mm256_maskstore_ps(p, lane_mask(n), v.low);
  if (n > 8) _mm256_maskstore_ps(p + 8, lane_mask(n - 8), v.high);
}
// v in the first n lanes, `other` in the rest.
inline V16 first_or(V16 v, std::size_t n, V16 other) {
  return {_mm256_blendv_ps(other.low, v.low, _mm256_castsi256_ps(lane_mask(n))),
          _mm256_blendv_ps(other.high, v.high, _mm256_castsi256_ps(lane_mask(n > 8 ? n - 8 : 0)))};
}
inline V16 add(V16 a, V16 b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
inline V16 subtract(V16 a, V16 b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
inline V16 multiply(V16 a, V16 b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
inline V16 divide(V16 a, V16 b) { return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
inline V16 root(V16 v) { return {_mm256_sqrt_ps(v.low), _mm256_sqrt_ps(v.high)}; }
inline V16 larger(V16 a, V16 b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
inline V16 fma(V16 a, V16 b, V16 c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
// v where y is positive, else 0.
inline V16 where_positive(V16 y, V16 v) {
  return {_mm256_and_ps(_mm256_cmp_ps(y.low, _mm256_setzero_ps(), _CMP_GT_OQ), v.low),
          _mm256_and_ps(_mm256_cmp_ps(y.high, _mm256_setzero_ps(), _CMP_GT_OQ), v.high)};
}
inline __m256 load_eight_halves(const std::uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline V16 load_half(const std::uint16_t* p) { return {load_eight_halves(p), load_eight_halves(p + 8)}; }
inline V16 load_half_first(const std::uint16_t* p, std::size_t n) {
  std::uint16_t first[16] = {};
  __builtin_memcpy(first, p, n * sizeof *p);
  return load_half(first);
}
inline V16 round(V16 v) {
  constexpr int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(v.low, nearest), _mm256_round_ps(v.high, nearest)};
}
inline __m256 power_of_two(__m256 n) {
  const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
}
inline V16 power_of_two(V16 n) { return {power_of_two(n.low), power_of_two(n.high)}; }

inline __m128 halves(V16 v, bool take_larger) {
  const __m256 eight = take_larger ? _mm256_max_ps(v.low, v.high) : _mm256_add_ps(v.low, v.high);
  const __m128 low = _mm256_castps256_ps128(eight), high = _mm256_extractf128_ps(eight, 1);
  return take_larger ? _mm_max_ps(low, high) : _mm_add_ps(low, high);
}
inline float tree_sum(V16 v) {
  __m128 four = halves(v, false);
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_shuffle_ps(four, four, 1)));
}
inline float largest_of(V16 v) {
  __m128 four = halves(v, true);
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(four, _mm_shuffle_ps(four, four, 1)));
}

// Rows and vectors of a gemm tile: 16 registers hold 12 sums, 2 of B and 1 of A.
constexpr std::size_t kWidestTile = 1;
constexpr std::size_t tile_rows(std::size_t) { return 6; }

}  // namespace
}  // namespace silverprint::avx2

#define SILVERPRINT_KERNELS avx2
#include "kernels/simd_floats.h"
#include "kernels/simd_maps.h"
#include "kernels/simd_resample.h"

namespace silverprint {
const Kernels kAvx2Kernels{avx2::gemm, avx2::softmax, avx2::softmax_jacobian, avx2::adam, avx2::map_moments,
                           avx2::map_rectify, avx2::map_rectify_sums, avx2::map_rectify_back, avx2::widen,
                           avx2::resample_columns, avx2::resample_rows, avx2::split_pixels};
}
