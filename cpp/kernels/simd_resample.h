// The resampling kernels in 256-bit integers; both instruction sets include this file after defining
// SILVERPRINT_KERNELS, their namespace. No include guard: one copy each.

namespace silverprint::SILVERPRINT_KERNELS {
namespace {

// Two weights as one 32-bit value for the pairwise multiply-add.
inline std::int32_t weight_pair(std::int16_t first, std::int16_t second) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(static_cast<std::uint16_t>(first)) |
                                   static_cast<std::uint32_t>(static_cast<std::uint16_t>(second)) << 16);
}

void resample_rows(const std::uint8_t* rows, std::ptrdiff_t row_stride, const std::int16_t* weight,
                   std::size_t taps, std::size_t count, std::int16_t* out) {
  std::size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    __m256i low = _mm256_set1_epi32(128), high = low;
    for (std::size_t t = 0; t < taps; t += 2) {
      const bool pair = t + 1 < taps;
      const std::uint8_t* p = rows + static_cast<std::ptrdiff_t>(t) * row_stride + i;
      const __m256i a = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
      const __m256i b =
          pair ? _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + row_stride)))
               : _mm256_setzero_si256();
      const __m256i w = _mm256_set1_epi32(weight_pair(weight[t], pair ? weight[t + 1] : std::int16_t{0}));
      low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), w));
      high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), w));
    }
    const __m256i level = _mm256_packs_epi32(_mm256_srai_epi32(low, 8), _mm256_srai_epi32(high, 8));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), level);
  }
  for (; i < count; ++i) {
    std::int32_t sum = 128;
    for (std::size_t t = 0; t < taps; ++t)
      sum += weight[t] * rows[static_cast<std::ptrdiff_t>(t) * row_stride + static_cast<std::ptrdiff_t>(i)];
    out[i] = static_cast<std::int16_t>(sum >> 8);
  }
}

// Red, green and blue of two output pixels, each in the first three lanes of its half.
inline __m256 resample_pixels(const std::int16_t* left, const std::int16_t* left_weight,
                              const std::int16_t* right, const std::int16_t* right_weight, std::size_t taps) {
  // Two neighbouring pixels r g b R G B become r R g G b B.
  const __m256i pairs = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, -1, -1, -1, -1));
  __m256i sum = _mm256_set1_epi32(1 << 19);
  for (std::size_t t = 0; t < taps; t += 2) {
    const __m256i two = _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(left + 3 * t))),
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(right + 3 * t)), 1);
    const __m256i weight = _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_set1_epi32(weight_pair(left_weight[t], left_weight[t + 1]))),
        _mm_set1_epi32(weight_pair(right_weight[t], right_weight[t + 1])), 1);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_shuffle_epi8(two, pairs), weight));
  }
  sum = _mm256_srai_epi32(sum, 20);
  sum = _mm256_min_epi32(_mm256_max_epi32(sum, _mm256_setzero_si256()), _mm256_set1_epi32(255));
  return _mm256_cvtepi32_ps(sum);
}

void resample_columns(const std::int16_t* row, const std::int32_t* first, const std::int16_t* weight,
                      std::size_t taps, std::size_t width, float* red, float* green, float* blue) {
  std::size_t x = 0;
  for (; x + 4 <= width; x += 4) {
    const __m256 ab = resample_pixels(row + 3 * first[x], weight + x * taps, row + 3 * first[x + 1],
                                      weight + (x + 1) * taps, taps);
    const __m256 cd = resample_pixels(row + 3 * first[x + 2], weight + (x + 2) * taps, row + 3 * first[x + 3],
                                      weight + (x + 3) * taps, taps);
    __m128 a = _mm256_castps256_ps128(ab), b = _mm256_extractf128_ps(ab, 1);
    __m128 c = _mm256_castps256_ps128(cd), d = _mm256_extractf128_ps(cd, 1);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(red + x, a);
    _mm_storeu_ps(green + x, b);
    _mm_storeu_ps(blue + x, c);
  }
  for (; x < width; ++x) {
    alignas(32) float pixel[8];
    const std::int16_t* source = row + 3 * first[x];
    _mm256_store_ps(pixel, resample_pixels(source, weight + x * taps, source, weight + x * taps, taps));
    red[x] = pixel[0];
    green[x] = pixel[1];
    blue[x] = pixel[2];
  }
}

}  // namespace
}  // namespace silverprint::SILVERPRINT_KERNELS
