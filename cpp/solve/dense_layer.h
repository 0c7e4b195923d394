#pragma once
#include <cstddef>
#include <span>
#include <vector>

namespace silverprint {

// One linear layer of a head, row-major: outputs = inputs * weights + bias.
struct DenseLayer {
  std::size_t inputs, outputs;
  std::vector<float> weights, bias;  // (inputs, outputs) and (outputs)
};

// The layer that `w` stands for: (inputs + 1, outputs padded to whole vectors), intercepts last.
// `centred` intercepts have mean 0: before a softmax a common shift changes nothing.
DenseLayer dense_layer(std::span<const float> w, std::size_t inputs, std::size_t outputs, bool centred);

}  // namespace silverprint
