#pragma once
// What the files of this room share.
#include <cstdint>
#include <tuple>
#include <vector>

#include "bindings/bindings.h"
#include "detect/network.h"

namespace silverprint::bindings {

// Stride, channels, height and width of a map.
using Input = std::tuple<std::size_t, std::size_t, std::size_t, std::size_t>;

inline NetworkOptions network_options(const std::vector<Input>& inputs, std::size_t classes, std::size_t channels,
                                      std::size_t context, std::size_t tower, bool coarser, std::size_t batch) {
  NetworkOptions options{{}, classes, channels, context, tower, coarser, batch};
  for (const auto& [stride, planes, height, width] : inputs) options.inputs.push_back({stride, planes, height, width});
  return options;
}

// Where each picture's boxes begin, and the end.
inline std::vector<std::size_t> first_of(const Array<std::int64_t>& counts, std::size_t boxes) {
  std::vector<std::size_t> first{0};
  for (const std::int64_t count : view(counts)) {
    if (count < 0 || static_cast<std::size_t>(count) > boxes - first.back()) invalid("counts: not those of the boxes");
    first.push_back(first.back() + static_cast<std::size_t>(count));
  }
  if (first.back() != boxes) invalid("counts: not those of the boxes");
  return first;
}

}  // namespace silverprint::bindings
