#pragma once
#include <cstddef>
#include <span>

namespace silverprint {

// In double and in sixteen lanes, so that compilers can vectorise it and every build gives the same bytes.
inline double dot(std::span<const float> a, std::span<const float> b) {
  constexpr std::size_t lanes = 16;
  double sum[lanes] = {};
  std::size_t i = 0;
  for (; i + lanes <= a.size(); i += lanes)
    for (std::size_t l = 0; l < lanes; ++l) sum[l] += static_cast<double>(a[i + l]) * b[i + l];
  for (; i < a.size(); ++i) sum[i % lanes] += static_cast<double>(a[i]) * b[i];
  for (std::size_t step = lanes / 2; step > 0; step /= 2)
    for (std::size_t l = 0; l < step; ++l) sum[l] += sum[l + step];
  return sum[0];
}

inline void add_scaled(std::span<float> y, float a, std::span<const float> x) {
  for (std::size_t i = 0; i < y.size(); ++i) y[i] += a * x[i];
}

}  // namespace silverprint
