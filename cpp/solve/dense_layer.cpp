#include "solve/dense_layer.h"

#include <algorithm>
#include <numeric>

#include "base/aligned.h"
#include "kernels/kernels.h"

namespace silverprint {

DenseLayer dense_layer(std::span<const float> w, std::size_t inputs, std::size_t outputs, bool centred) {
  const std::size_t padded = round_up(outputs, kLanes);
  DenseLayer layer{inputs, outputs, std::vector<float>(inputs * outputs), std::vector<float>(outputs)};
  for (std::size_t j = 0; j < inputs; ++j)
    std::copy_n(w.data() + j * padded, outputs, layer.weights.data() + j * outputs);
  const auto own = w.subspan(inputs * padded, outputs);
  const double mean = centred ? std::accumulate(own.begin(), own.end(), 0.0) / static_cast<double>(outputs) : 0.0;
  for (std::size_t c = 0; c < outputs; ++c) layer.bias[c] = static_cast<float>(own[c] - mean);
  return layer;
}

}  // namespace silverprint
