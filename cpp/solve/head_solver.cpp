#include "solve/head_solver.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/process.h"

namespace silverprint {
namespace {

// Adam moves every weight by about its rate: in proportion to the size of weights that many inputs
// share. 1e-3, the usual one, for a thousand features.
double rate_for(std::size_t columns) {
  return std::clamp(1e-3 * std::sqrt(1000.0 / static_cast<double>(columns)), 5e-4, 1e-2);
}

}  // namespace

void HeadSolver::probabilities(std::span<const float> features, std::span<float> out) const {
  constexpr std::size_t block = 64, most_blocks = 32;
  const std::size_t columns = set_.columns(), classes = set_.classes(), n = features.size() / columns;
  const Kernels& k = kernels();
  const std::vector<DenseLayer> dense = layers();
  std::size_t widest = columns + 1;
  for (const DenseLayer& layer : dense) widest = std::max(widest, layer.outputs);
  const std::size_t stride = round_up(widest, kLanes);
  // Memory for one wave of blocks at a time: tasks must not allocate.
  const std::size_t held = std::min(n, block * most_blocks);
  AlignedVector<float> from(held * stride), to(held * stride);
  const auto row = static_cast<std::ptrdiff_t>(stride);
  for (std::size_t wave = 0; wave < n; wave += held) {
    const std::size_t rows = std::min(held, n - wave);
    pool().run((rows + block - 1) / block, threads_, [&](std::size_t b) {
      const std::size_t begin = b * block, count = std::min(block, rows - begin);
      float *x = from.data() + begin * stride, *y = to.data() + begin * stride;
      for (std::size_t i = 0; i < count; ++i)
        set_.standardise(features.data() + (wave + begin + i) * columns, x + i * stride);
      for (std::size_t l = 0; l < dense.size(); ++l) {
        const DenseLayer& layer = dense[l];
        for (std::size_t i = 0; i < count; ++i) std::copy(layer.bias.begin(), layer.bias.end(), y + i * stride);
        k.gemm(count, layer.outputs, layer.inputs, x, row, 1, layer.weights.data(),
               static_cast<std::ptrdiff_t>(layer.outputs), y, row);
        if (l + 1 < dense.size())
          for (std::size_t i = 0; i < count; ++i)
            for (std::size_t j = 0; j < layer.outputs; ++j) y[i * stride + j] = std::max(y[i * stride + j], 0.0f);
        std::swap(x, y);
      }
      float largest[block], sum[block];
      k.softmax(count, classes, stride, x, largest, sum);
      for (std::size_t i = 0; i < count; ++i)
        std::copy_n(x + i * stride, classes, out.data() + (wave + begin + i) * classes);
    });
  }
}

LogisticRegression::LogisticRegression(const Problem& problem, double l2, double tolerance, int threads)
    : HeadSolver(problem, threads), objective_(set(), l2, threads), newton_(objective_, tolerance) {}

void LogisticRegression::set_l2(double l2) {
  objective_.set_l2(l2);
  newton_.restart();
}

std::vector<DenseLayer> LogisticRegression::layers() const {
  return {dense_layer(newton_.state().w, set().columns(), set().classes(), true)};
}

void LogisticRegression::restore(NewtonCg::State state, double l2) {
  newton_.restore(std::move(state));
  objective_.set_l2(l2);
}

MultilayerPerceptron::MultilayerPerceptron(const Problem& problem, std::span<const std::size_t> layer_sizes,
                                           double l2, double tolerance, std::uint64_t seed, int threads)
    : HeadSolver(problem, threads),
      seed_(seed),
      objective_(set(), layer_sizes, l2, threads),
      adam_(objective_, objective_.initial(seed), rate_for(problem.columns), tolerance, seed, threads) {}

void MultilayerPerceptron::set_l2(double l2) {
  objective_.set_l2(l2);
  adam_.restart(objective_.initial(seed_));
}

void MultilayerPerceptron::restore(Adam::State state, double l2) {
  adam_.restore(std::move(state));
  objective_.set_l2(l2);
}

}  // namespace silverprint
