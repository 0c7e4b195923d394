// The resampling kernels in 256-bit integers; both instruction sets include this file after defining
// SILVERPRINT_KERNELS, their namespace. No include guard: one copy each.

namespace silverprint::SILVERPRINT_KERNELS {
namespace {

// Two neighbouring 16-bit weights, for the pairwise multiply-add.
inline std::int32_t pair_at(const std::int16_t* weight) {
  std::int32_t pair;
  __builtin_memcpy(&pair, weight, sizeof pair);
  return pair;
}

// 256 * high + low, rounded from 2^-22ths to whole levels.
inline __m256i to_levels(__m256i high, __m256i low) {
  const __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(high, 8), low);
  const __m256i level = _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(1 << 21)), 22);
  return _mm256_min_epi32(_mm256_max_epi32(level, _mm256_setzero_si256()), _mm256_set1_epi32(255));
}

inline __m256i load_weights(const std::int16_t* weight) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weight));
}

// Red, green and blue of two output pixels, each in the first three lanes of its half.
inline __m256i resample_pixels(const std::uint8_t* left, const std::uint8_t* right, const std::int16_t* w_high,
                               const std::int16_t* w_low, std::size_t taps) {
  // Two neighbouring pixels r g b R G B become r R g G b B, in 16 bits each.
  const __m256i pairs = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
  __m256i high = _mm256_setzero_si256(), low = high;
  for (std::size_t t = 0; t < taps; t += 2) {
    const __m256i bytes = _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(left + 3 * t))),
        _mm_loadl_epi64(reinterpret_cast<const __m128i*>(right + 3 * t)), 1);
    const __m256i two = _mm256_shuffle_epi8(bytes, pairs);
    high = _mm256_add_epi32(high, _mm256_madd_epi16(two, load_weights(w_high + 8 * t)));
    low = _mm256_add_epi32(low, _mm256_madd_epi16(two, load_weights(w_low + 8 * t)));
  }
  return to_levels(high, low);
}

inline void store_four(std::uint8_t* p, int levels) { __builtin_memcpy(p, &levels, 4); }

void resample_columns(const std::uint8_t* row, const std::int32_t* first, SplitWeights weight, std::size_t taps,
                      std::size_t width, std::uint8_t* red, std::uint8_t* green, std::uint8_t* blue) {
  // Four pixels as bytes a0 a1 a2 . c0 c1 c2 . and b0 b1 b2 . d0 d1 d2 . become planes of four.
  const __m128i planes = _mm_setr_epi8(0, 8, 4, 12, 1, 9, 5, 13, 2, 10, 6, 14, -1, -1, -1, -1);
  const auto two = [&](std::size_t a, std::size_t b) {
    const std::size_t at = a / 2 * taps * 8;
    return resample_pixels(row + 3 * first[a], row + 3 * first[b], weight.high + at, weight.low + at, taps);
  };
  std::size_t x = 0;
  for (; x + 4 <= width; x += 4) {
    const __m256i words = _mm256_packus_epi32(two(x, x + 1), two(x + 2, x + 3));
    const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    const __m128i levels = _mm_shuffle_epi8(bytes, planes);
    store_four(red + x, _mm_cvtsi128_si32(levels));
    store_four(green + x, _mm_extract_epi32(levels, 1));
    store_four(blue + x, _mm_extract_epi32(levels, 2));
  }
  for (; x < width; x += 2) {
    const bool pair = x + 1 < width;
    alignas(32) std::int32_t pixel[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(pixel), two(x, pair ? x + 1 : x));
    for (std::size_t side = 0; side <= std::size_t{pair}; ++side) {
      red[x + side] = static_cast<std::uint8_t>(pixel[4 * side]);
      green[x + side] = static_cast<std::uint8_t>(pixel[4 * side + 1]);
      blue[x + side] = static_cast<std::uint8_t>(pixel[4 * side + 2]);
    }
  }
}

// Sixteen values of one output row; `second` false leaves the second row of the last pair out.
inline void add_rows(const std::uint8_t* p, std::ptrdiff_t row_stride, bool second, std::int32_t high_pair,
                     std::int32_t low_pair, __m256i high[2], __m256i low[2]) {
  const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m128i b = second ? _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + row_stride)) : _mm_setzero_si128();
  const __m256i w_high = _mm256_set1_epi32(high_pair), w_low = _mm256_set1_epi32(low_pair);
  const __m256i first = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b));
  const __m256i last = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b));
  high[0] = _mm256_add_epi32(high[0], _mm256_madd_epi16(first, w_high));
  high[1] = _mm256_add_epi32(high[1], _mm256_madd_epi16(last, w_high));
  low[0] = _mm256_add_epi32(low[0], _mm256_madd_epi16(first, w_low));
  low[1] = _mm256_add_epi32(low[1], _mm256_madd_epi16(last, w_low));
}

void resample_rows(const std::uint8_t* rows, std::ptrdiff_t row_stride, SplitWeights weight, std::size_t taps,
                   std::size_t count, float* out) {
  const std::size_t paired = taps / 2 * 2;
  std::size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    __m256i high[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()}, low[2] = {high[0], high[0]};
    for (std::size_t t = 0; t < paired; t += 2)
      add_rows(rows + static_cast<std::ptrdiff_t>(t) * row_stride + i, row_stride, true, pair_at(weight.high + t),
               pair_at(weight.low + t), high, low);
    if (paired < taps)
      add_rows(rows + static_cast<std::ptrdiff_t>(paired) * row_stride + i, row_stride, false, weight.high[paired],
               weight.low[paired], high, low);
    _mm256_storeu_ps(out + i, _mm256_cvtepi32_ps(to_levels(high[0], low[0])));
    _mm256_storeu_ps(out + i + 8, _mm256_cvtepi32_ps(to_levels(high[1], low[1])));
  }
  for (; i < count; ++i) {
    std::int32_t sum = 1 << 21;
    for (std::size_t t = 0; t < taps; ++t)
      sum += (256 * weight.high[t] + weight.low[t]) *
             rows[static_cast<std::ptrdiff_t>(t) * row_stride + static_cast<std::ptrdiff_t>(i)];
    const std::int32_t level = sum >> 22;
    out[i] = static_cast<float>(level < 0 ? 0 : level > 255 ? 255 : level);
  }
}

// The compiler finds the shuffles.
void split_pixels(const std::uint8_t* pixels, std::size_t count, float* red, float* green, float* blue) {
  for (std::size_t i = 0; i < count; ++i) {
    red[i] = pixels[3 * i];
    green[i] = pixels[3 * i + 1];
    blue[i] = pixels[3 * i + 2];
  }
}

}  // namespace
}  // namespace silverprint::SILVERPRINT_KERNELS
