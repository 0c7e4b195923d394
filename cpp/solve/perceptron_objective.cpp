#include "solve/perceptron_objective.h"

#include <algorithm>
#include <cmath>

#include "base/process.h"
#include "base/random.h"

namespace silverprint {
namespace {

// Outputs, and rows of weights, that one task takes: enough work to be worth waking a thread.
constexpr std::size_t kOutputs = 64;
constexpr std::size_t kTile = 64;
// Of Glorot's bound: on standardised features l2 would spend the first iterations bringing larger
// weights down.
constexpr double kInitial = 0.2;

std::ptrdiff_t step(std::size_t n) { return static_cast<std::ptrdiff_t>(n); }

void transpose(const float* from, std::size_t from_row, std::size_t rows, std::size_t columns, float* to,
               std::size_t to_row) {
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < columns; ++j) to[j * to_row + i] = from[i * from_row + j];
}

}  // namespace

PerceptronObjective::PerceptronObjective(const TrainingSet& set, std::span<const std::size_t> layer_sizes,
                                         double l2, int threads)
    : set_(set), l2_(l2), threads_(threads) {
  std::size_t inputs = set.columns();
  for (std::size_t l = 0; l <= layer_sizes.size(); ++l) {
    const std::size_t outputs = l < layer_sizes.size() ? layer_sizes[l] : set.classes();
    const std::size_t padded = round_up(outputs, kLanes), stride = round_up(inputs + 1, kLanes);
    layers_.push_back({inputs, outputs, padded, stride, dimension_, AlignedVector<float>(kLargestBatch * stride),
                       AlignedVector<float>(kLargestBatch * padded), AlignedVector<float>(kLargestBatch * padded),
                       AlignedVector<float>(l > 0 ? inputs * kLargestBatch : 0)});
    for (std::size_t j = 0; j <= inputs; j += kTile) tiles_.push_back({l, j, std::min(j + kTile, inputs + 1)});
    dimension_ += (inputs + 1) * padded;
    inputs = outputs;
  }
  squares_.resize(tiles_.size());
}

void PerceptronObjective::gather(std::span<const std::uint32_t> batch) {
  Layer& first = layers_.front();
  for (std::size_t i = 0; i < batch.size(); ++i)
    std::copy_n(set_.row(batch[i]), first.stride, first.active.data() + i * first.stride);
}

void PerceptronObjective::forward(const Layer& layer, std::span<const float> w, std::size_t count, float* out,
                                  std::size_t out_row) {
  const Kernels& k = kernels();
  pool().run((layer.padded + kOutputs - 1) / kOutputs, threads_, [&](std::size_t part) {
    const std::size_t begin = part * kOutputs, columns = std::min(kOutputs, layer.padded - begin);
    for (std::size_t i = 0; i < count; ++i) std::fill_n(out + i * out_row + begin, columns, 0.0f);
    k.gemm(count, columns, layer.inputs + 1, layer.active.data(), step(layer.stride), 1,
           w.data() + layer.offset + begin, step(layer.padded), out + begin, step(out_row));
  });
}

double PerceptronObjective::softmax(std::span<const std::uint32_t> batch) {
  Layer& top = layers_.back();
  float own[kLargestBatch], largest[kLargestBatch], total[kLargestBatch];
  for (std::size_t i = 0; i < batch.size(); ++i) own[i] = top.signal[i * top.padded + set_.labels()[batch[i]]];
  kernels().softmax(batch.size(), top.outputs, top.padded, top.signal.data(), largest, total);
  // Row weights add up to 1 over all rows, and to about 1 here.
  const float share = static_cast<float>(static_cast<double>(rows()) / static_cast<double>(batch.size()));
  double loss = 0;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const float weight = share * set_.weights()[batch[i]];
    loss += weight * (std::log(static_cast<double>(total[i])) + largest[i] - own[i]);
    float* signal = top.signal.data() + i * top.padded;
    for (std::size_t c = 0; c < top.outputs; ++c) signal[c] *= weight;
    signal[set_.labels()[batch[i]]] -= weight;
  }
  return loss;
}

void PerceptronObjective::propagate_back(std::size_t l, std::span<const float> w, std::size_t count) {
  Layer &layer = layers_[l], &below = layers_[l - 1];
  // The product of weights and transposed signals needs no transposed weights.
  transpose(layer.signal.data(), layer.padded, count, layer.padded, layer.signal_transposed.data(), kLargestBatch);
  const Kernels& k = kernels();
  pool().run((layer.inputs + kTile - 1) / kTile, threads_, [&](std::size_t part) {
    const std::size_t begin = part * kTile, rows = std::min(kTile, layer.inputs - begin);
    float* back = layer.back.data() + begin * kLargestBatch;
    std::fill_n(back, rows * kLargestBatch, 0.0f);
    k.gemm(rows, count, layer.outputs, w.data() + layer.offset + begin * layer.padded, step(layer.padded), 1,
           layer.signal_transposed.data(), kLargestBatch, back, kLargestBatch);
    for (std::size_t i = 0; i < count; ++i)
      for (std::size_t j = begin; j < begin + rows; ++j)
        below.signal[i * below.padded + j] =
            layer.active[i * layer.stride + j] > 0 ? layer.back[j * kLargestBatch + i] : 0.0f;
  });
}

double PerceptronObjective::accumulate(std::span<const float> w, std::size_t count, std::span<float> gradient) {
  const Kernels& k = kernels();
  const float l2 = static_cast<float>(l2_);
  pool().run(tiles_.size(), threads_, [&](std::size_t t) {
    const auto [l, begin, end] = tiles_[t];
    const Layer& layer = layers_[l];
    const std::size_t penalised = std::min(end, layer.inputs) * layer.padded, first = begin * layer.padded;
    const float* from = w.data() + layer.offset;
    float* to = gradient.data() + layer.offset;
    for (std::size_t i = first; i < end * layer.padded; ++i) to[i] = i < penalised ? l2 * from[i] : 0.0f;
    float lanes[kLanes] = {};
    for (std::size_t i = first; i < penalised; i += kLanes)
      for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += from[i + lane] * from[i + lane];
    squares_[t] = 0;
    for (const float lane : lanes) squares_[t] += lane;
    k.gemm(end - begin, layer.padded, count, layer.active.data() + begin, 1, step(layer.stride), layer.signal.data(),
           step(layer.padded), to + first, step(layer.padded));
  });
  double sum = 0;
  for (const double square : squares_) sum += square;
  return sum;
}

double PerceptronObjective::value_gradient(std::span<const float> w, std::span<const std::uint32_t> batch,
                                           std::span<float> gradient) {
  const std::size_t count = batch.size();
  gather(batch);
  for (std::size_t l = 0; l + 1 < layers_.size(); ++l) {
    const Layer& layer = layers_[l];
    Layer& next = layers_[l + 1];
    // The next layer's rows are longer than the padded outputs, or as long with its one among them.
    forward(layer, w, count, next.active.data(), next.stride);
    for (std::size_t i = 0; i < count; ++i) {
      float* active = next.active.data() + i * next.stride;
      for (std::size_t j = 0; j < layer.outputs; ++j) active[j] = std::max(active[j], 0.0f);
      active[layer.outputs] = 1.0f;
    }
  }
  Layer& top = layers_.back();
  forward(top, w, count, top.signal.data(), top.padded);
  const double loss = softmax(batch);
  for (std::size_t l = layers_.size() - 1; l > 0; --l) propagate_back(l, w, count);
  return loss + 0.5 * l2_ * accumulate(w, count, gradient);
}

std::vector<float> PerceptronObjective::initial(std::uint64_t seed) const {
  std::vector<float> w(dimension_);
  SplitMix64 random(seed);
  for (const Layer& layer : layers_) {
    const double bound = kInitial * std::sqrt(6.0 / static_cast<double>(layer.inputs + layer.outputs));
    for (std::size_t j = 0; j < layer.inputs; ++j)
      for (std::size_t c = 0; c < layer.outputs; ++c)
        w[layer.offset + j * layer.padded + c] = static_cast<float>(bound * (2 * random.uniform() - 1));
  }
  // Constant features take no part: they have no gradient either, so these weights stay 0.
  const std::size_t row = layers_.front().padded;
  for (std::size_t j = 0; j < set_.columns(); ++j)
    if (set_.constant(j)) std::fill_n(w.data() + j * row, row, 0.0f);
  return w;
}

std::vector<DenseLayer> PerceptronObjective::layers(std::span<const float> w) const {
  std::vector<DenseLayer> result;
  for (const Layer& layer : layers_)
    result.push_back(dense_layer(w.subspan(layer.offset, (layer.inputs + 1) * layer.padded), layer.inputs,
                                 layer.outputs, &layer == &layers_.back()));
  return result;
}

}  // namespace silverprint
