#pragma once
#include <bit>
#include <cstdint>

namespace silverprint {

// The largest number of half precision (IEEE 754 binary16).
inline constexpr float kLargestHalf = 65504;

// The nearest number of half precision, the even one of two that are equally near, as its bits.
// Numbers from 65520 become infinite, and what is no number stays none. Without branches, for
// compilers to make vectors of.
inline std::uint16_t to_half(float value) {
  const auto either = [](bool first, std::uint32_t a, std::uint32_t b) {
    const std::uint32_t mask = 0u - static_cast<std::uint32_t>(first);
    return (a & mask) | (b & ~mask);
  };
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  // The exponent, 15 instead of 127 for 1, and the fraction move down together; a carry from the
  // rounding goes from the one to the other, up to infinity.
  const std::uint32_t normal = (magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  // Below 2^-14 numbers of half precision are 2^-24 apart, as floats are from 0.5 to 1.
  const std::uint32_t small =
      std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - std::bit_cast<std::uint32_t>(0.5f);
  const std::uint32_t finite = either(magnitude < (113u << 23), small, normal);
  const std::uint32_t special = either(magnitude > 0x7f800000u, 0x7e00u, 0x7c00u);
  return static_cast<std::uint16_t>(sign | either(magnitude < (143u << 23), finite, special));
}

}  // namespace silverprint
