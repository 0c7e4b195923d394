// The specification: what every other table must compute, bit for bit.
#include <cmath>
#include <cstring>

#include "kernels/exp_constants.h"
#include "kernels/kernels.h"

namespace silverprint {
namespace {

void gemm(std::size_t m, std::size_t n, std::size_t k, const float* a, std::ptrdiff_t a_row,
          std::ptrdiff_t a_column, const float* b, std::ptrdiff_t b_row, float* c, std::ptrdiff_t c_row) {
  for (std::size_t i = 0; i < m; ++i)
    for (std::size_t p = 0; p < k; ++p) {
      const float factor = a[static_cast<std::ptrdiff_t>(i) * a_row + static_cast<std::ptrdiff_t>(p) * a_column];
      const float* b_p = b + static_cast<std::ptrdiff_t>(p) * b_row;
      float* c_i = c + static_cast<std::ptrdiff_t>(i) * c_row;
      for (std::size_t j = 0; j < n; ++j) c_i[j] = std::fma(factor, b_p[j], c_i[j]);
    }
}

float exp_nonpositive(float x) {
  x = x > kExpCut ? x : kExpCut;
  const float n = std::nearbyint(x * kLog2E);
  float r = std::fma(n, -kLn2High, x);
  r = std::fma(n, -kLn2Low, r);
  float y = kExpTaylor[0];
  for (int i = 1; i < 8; ++i) y = std::fma(y, r, kExpTaylor[i]);
  const std::int32_t bits = (static_cast<std::int32_t>(n) + 127) << 23;
  float scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return y * scale;
}

float tree_sum(float lanes[kLanes]) {
  for (std::size_t step = kLanes / 2; step > 0; step /= 2)
    for (std::size_t l = 0; l < step; ++l) lanes[l] += lanes[l + step];
  return lanes[0];
}

void softmax(std::size_t rows, std::size_t classes, std::size_t stride, float* scores, float* largest,
             float* sum) {
  for (std::size_t i = 0; i < rows; ++i) {
    float* s = scores + i * stride;
    float top = s[0];
    for (std::size_t j = 1; j < classes; ++j) top = s[j] > top ? s[j] : top;
    float lanes[kLanes] = {};
    for (std::size_t j = 0; j < classes; ++j) {
      s[j] = exp_nonpositive(s[j] - top);
      lanes[j % kLanes] += s[j];
    }
    largest[i] = top + 0.0f;  // -0 is 0: which zero was found first depends on the order
    sum[i] = tree_sum(lanes);
    const float inverse = 1.0f / sum[i];
    for (std::size_t j = 0; j < classes; ++j) s[j] *= inverse;
  }
}

void softmax_jacobian(std::size_t rows, std::size_t classes, std::size_t stride, const float* p,
                      const float* weight, float* u) {
  for (std::size_t i = 0; i < rows; ++i) {
    const float* p_i = p + i * stride;
    float* u_i = u + i * stride;
    float lanes[kLanes] = {};
    for (std::size_t j = 0; j < classes; ++j)
      lanes[j % kLanes] = std::fma(p_i[j], u_i[j], lanes[j % kLanes]);
    const float mean = tree_sum(lanes);
    for (std::size_t j = 0; j < classes; ++j) u_i[j] = weight[i] * (p_i[j] * (u_i[j] - mean));
  }
}

void adam(std::size_t n, const float* gradient, float length, float scale, float* w, float* first, float* second) {
  for (std::size_t i = 0; i < n; ++i) {
    first[i] = std::fma(0.9f, first[i], 0.1f * gradient[i]);
    second[i] = std::fma(0.999f, second[i], 0.001f * gradient[i] * gradient[i]);
    w[i] = std::fma(-length, first[i] / (std::sqrt(second[i] * scale) + 1e-8f), w[i]);
  }
}

void map_moments(std::size_t positions, std::size_t channels, const float* x, const float* origin, float* sum,
                 float* squares) {
  for (std::size_t i = 0; i < positions; ++i)
    for (std::size_t j = 0; j < channels; ++j) {
      const float d = x[i * channels + j] - origin[j];
      sum[j] += d;
      squares[j] = std::fma(d, d, squares[j]);
    }
}

void map_rectify(std::size_t positions, std::size_t channels, const float* z, const float* scale, const float* shift,
                 const float* residual, float* out) {
  for (std::size_t i = 0; i < positions * channels; ++i) {
    const float y = std::fma(z[i], scale[i % channels], shift[i % channels]);
    const float rectified = y > 0 ? y : 0.0f;
    out[i] = residual == nullptr ? rectified : residual[i] + rectified;
  }
}

float let_through(float z, float scale, float shift, float d) { return std::fma(z, scale, shift) > 0 ? d : 0.0f; }

void map_rectify_sums(std::size_t positions, std::size_t channels, const float* z, const float* scale,
                      const float* shift, const float* mean, const float* d, float* sum, float* products) {
  for (std::size_t i = 0; i < positions; ++i)
    for (std::size_t j = 0; j < channels; ++j) {
      const float z_ij = z[i * channels + j], g = let_through(z_ij, scale[j], shift[j], d[i * channels + j]);
      sum[j] += g;
      products[j] = std::fma(g, z_ij - mean[j], products[j]);
    }
}

void map_rectify_back(std::size_t positions, std::size_t channels, const float* z, const float* scale,
                      const float* shift, const float* d, const float* by_signal, const float* by_z,
                      const float* constant, float* out) {
  for (std::size_t i = 0; i < positions * channels; ++i) {
    const std::size_t j = i % channels;
    const float g = let_through(z[i], scale[j], shift[j], d[i]);
    out[i] = std::fma(by_signal[j], g, std::fma(by_z[j], z[i], constant[j]));
  }
}

// Exponent and mantissa move to their places in a float whose exponent then counts from another
// zero, which 2^112 corrects; subnormal numbers come out right, too.
float widened(std::uint16_t half) {
  std::uint32_t bits = static_cast<std::uint32_t>(half & 0x7fff) << 13;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  value *= 0x1p112f;
  std::memcpy(&bits, &value, sizeof bits);
  if ((half & 0x7c00) == 0x7c00) bits |= 0x7f800000u;
  bits |= static_cast<std::uint32_t>(half & 0x8000) << 16;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

void widen(std::size_t rows, std::size_t width, const std::uint16_t* half, float scale, float shift, float* out,
           std::size_t out_row) {
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < width; ++j) out[i * out_row + j] = std::fma(widened(half[i * width + j]), scale, shift);
}

std::int32_t weight_of(SplitWeights weight, std::size_t i) { return 256 * weight.high[i] + weight.low[i]; }

std::int32_t level_of(std::int32_t sum) {
  const std::int32_t level = (sum + (1 << 21)) >> 22;
  return level < 0 ? 0 : level > 255 ? 255 : level;
}

void resample_columns(const std::uint8_t* row, const std::int32_t* first, SplitWeights weight, std::size_t taps,
                      std::size_t width, std::uint8_t* red, std::uint8_t* green, std::uint8_t* blue) {
  std::uint8_t* planes[3] = {red, green, blue};
  for (std::size_t x = 0; x < width; ++x)
    for (std::size_t channel = 0; channel < 3; ++channel) {
      const std::uint8_t* source = row + static_cast<std::size_t>(first[x]) * 3 + channel;
      std::int32_t sum = 0;
      for (std::size_t t = 0; t < taps; ++t) sum += weight_of(weight, column_weight(x, t, taps)) * source[3 * t];
      planes[channel][x] = static_cast<std::uint8_t>(level_of(sum));
    }
}

void resample_rows(const std::uint8_t* rows, std::ptrdiff_t row_stride, SplitWeights weight, std::size_t taps,
                   std::size_t count, float* out) {
  for (std::size_t i = 0; i < count; ++i) {
    std::int32_t sum = 0;
    for (std::size_t t = 0; t < taps; ++t)
      sum += weight_of(weight, t) * rows[static_cast<std::ptrdiff_t>(t) * row_stride + static_cast<std::ptrdiff_t>(i)];
    out[i] = static_cast<float>(level_of(sum));
  }
}

void split_pixels(const std::uint8_t* pixels, std::size_t count, float* red, float* green, float* blue) {
  for (std::size_t i = 0; i < count; ++i) {
    red[i] = pixels[3 * i];
    green[i] = pixels[3 * i + 1];
    blue[i] = pixels[3 * i + 2];
  }
}

}  // namespace

const Kernels kPlainKernels{gemm,          softmax,         softmax_jacobian, adam,
                            map_moments,   map_rectify,     map_rectify_sums, map_rectify_back,
                            widen,         resample_columns, resample_rows,   split_pixels};

}  // namespace silverprint
