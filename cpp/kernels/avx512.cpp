// Built with -mavx512{f,bw,dq,vl}: reached through its table alone, on processors that have them.
#include <immintrin.h>

#include "kernels/exp_constants.h"
#include "kernels/kernels.h"

namespace silverprint::avx512 {
namespace {

struct V16 {
  __m512 v;
};

inline __mmask16 lane_mask(std::size_t n) { return static_cast<__mmask16>((1u << n) - 1); }
inline V16 zero() { return {_mm512_setzero_ps()}; }
inline V16 broadcast(float x) { return {_mm512_set1_ps(x)}; }
inline V16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, V16 v) { _mm512_storeu_ps(p, v.v); }
// The first n <= 16 values; the others are 0.
inline V16 load_first(const float* p, std::size_t n) { return {_mm512_maskz_loadu_ps(lane_mask(n), p)}; }
inline void store_first(float* p, V16 v, std::size_t n) { _mm512_mask_storeu_ps(p, lane_mask(n), v.v); }
// v in the first n lanes, `other` in the rest.
inline V16 first_or(V16 v, std::size_t n, V16 other) {
  return {_mm512_mask_blend_ps(lane_mask(n), other.v, v.v)};
}
inline V16 add(V16 a, V16 b) { return {_mm512_add_ps(a.v, b.v)}; }
inline V16 subtract(V16 a, V16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline V16 multiply(V16 a, V16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline V16 divide(V16 a, V16 b) { return {_mm512_div_ps(a.v, b.v)}; }
inline V16 root(V16 v) { return {_mm512_sqrt_ps(v.v)}; }
inline V16 larger(V16 a, V16 b) { return {_mm512_max_ps(a.v, b.v)}; }
inline V16 fma(V16 a, V16 b, V16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// v where y is positive, else 0.
inline V16 where_positive(V16 y, V16 v) {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(y.v, _mm512_setzero_ps(), _CMP_GT_OQ), v.v)};
}
inline V16 load_half(const std::uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline V16 load_half_first(const std::uint16_t* p, std::size_t n) {
  return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lane_mask(n), p))};
}
inline V16 round(V16 v) {
  return {_mm512_roundscale_ps(v.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline V16 power_of_two(V16 n) {
  const __m512i biased = _mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(biased, 23))};
}

inline __m128 halves(V16 v, bool take_larger) {
  const __m256 a = _mm512_castps512_ps256(v.v), b = _mm512_extractf32x8_ps(v.v, 1);
  const __m256 eight = take_larger ? _mm256_max_ps(a, b) : _mm256_add_ps(a, b);
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

// Rows and vectors of a gemm tile: 24 to 28 of the 32 registers hold sums.
constexpr std::size_t kWidestTile = 4;
constexpr std::size_t tile_rows(std::size_t vectors) {
  return vectors == 1 ? 24 : vectors == 2 ? 12 : vectors == 3 ? 8 : 6;
}

}  // namespace
}  // namespace silverprint::avx512

#define SILVERPRINT_KERNELS avx512
#include "kernels/simd_floats.h"
#include "kernels/simd_maps.h"
#include "kernels/simd_resample.h"

namespace silverprint {
const Kernels kAvx512Kernels{avx512::gemm, avx512::softmax, avx512::softmax_jacobian, avx512::adam,
                             avx512::map_moments, avx512::map_rectify, avx512::map_rectify_sums,
                             avx512::map_rectify_back, avx512::widen, avx512::resample_columns, avx512::resample_rows,
                             avx512::split_pixels};
}
