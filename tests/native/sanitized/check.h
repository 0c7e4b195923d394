#pragma once
// What the programs here share: a check that no build switches off, and random input in heap
// buffers that end where the data end, so that a sanitizer sees the first byte too far.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/random.h"

#define CHECK(condition)                                                              \
  do {                                                                                \
    if (!(condition)) {                                                               \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);    \
      std::abort();                                                                   \
    }                                                                                 \
  } while (false)

namespace silverprint::sanitized {

// Whole numbers in [low, high].
inline std::size_t between(SplitMix64& random, std::size_t low, std::size_t high) {
  return low + static_cast<std::size_t>(random.next() % (high - low + 1));
}

inline std::vector<float> random_floats(SplitMix64& random, std::size_t count) {
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(4 * random.uniform() - 2);
  return values;
}

inline std::vector<std::uint8_t> random_levels(SplitMix64& random, std::size_t count) {
  std::vector<std::uint8_t> levels(count);
  for (auto& level : levels) level = static_cast<std::uint8_t>(random.next());
  return levels;
}

template <class T>
bool same_bytes(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

}  // namespace silverprint::sanitized
