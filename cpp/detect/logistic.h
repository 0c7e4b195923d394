#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/exp_constants.h"

namespace silverprint {

// The logistic function and its logarithm in float, of multiplications and additions alone: compilers
// can vectorise loops over them, and every build gives the same bytes.
struct Logistic {
  float p;         // 1 / (1 + exp(-x))
  float softplus;  // -log(1 - p) = log(1 + exp(x)); not finite where x is not
};

inline Logistic logistic(float x) {
  // e = exp(-|x|), as in kernels/plain.cpp, with the rounding to a whole number by an addition.
  constexpr float rounder = 0x1.8p23f;
  const float size = std::fabs(x);
  // Choices are made by bits: of one between floats compilers make a branch, which no vector has.
  const float t = -std::bit_cast<float>(
      std::min(std::bit_cast<std::int32_t>(size), std::bit_cast<std::int32_t>(-kExpCut)));
  const float n = (t * kLog2E + rounder) - rounder;
  const float r = (t - n * kLn2High) - n * kLn2Low;
  float e = kExpTaylor[0];
  for (int i = 1; i < 8; ++i) e = e * r + kExpTaylor[i];
  e *= std::bit_cast<float>((static_cast<std::int32_t>(n) + 127) << 23);
  // log(1 + e) = 2 artanh(s) with s = e / (2 + e) <= 1/3; the first term left out is below 1e-8 s.
  const float s = e / (2.0f + e), ss = s * s;
  float series = 1.0f / 15;
  for (int odd = 13; odd > 0; odd -= 2) series = series * ss + 1.0f / static_cast<float>(odd);
  const float large = 1.0f / (1.0f + e);
  const std::int32_t negative = std::bit_cast<std::int32_t>(x) >> 31;
  const std::int32_t bits = (std::bit_cast<std::int32_t>(e * large) & negative) |
                            (std::bit_cast<std::int32_t>(large) & ~negative);
  return {std::bit_cast<float>(bits), 0.5f * (x + size) + 2.0f * s * series};
}

}  // namespace silverprint
