#include "solve/training_set.h"

#include <algorithm>
#include <cmath>

#include "base/process.h"

namespace silverprint {
namespace {

constexpr double kConstantShare = 1e-4;
constexpr double kLeastDeviation = 1e-38;  // its inverse is a float
constexpr std::size_t kStrip = 64;         // columns whose moments one task computes

const float* feature_row(const Problem& problem, std::size_t i) {
  return problem.features.data() + static_cast<std::size_t>(problem.rows[i]) * problem.columns;
}

}  // namespace

TrainingSet::TrainingSet(const Problem& problem, int threads)
    : columns_(problem.columns),
      classes_(problem.classes),
      stride_(round_up(problem.columns + 1, kLanes)),
      labels_(problem.labels.begin(), problem.labels.end()),
      weights_(problem.labels.size()) {
  measure(problem, threads);
  x_.assign(rows() * stride_, 0.0f);
  constexpr std::size_t block = 64;
  pool().run((rows() + block - 1) / block, threads, [&](std::size_t b) {
    for (std::size_t i = b * block; i < std::min((b + 1) * block, rows()); ++i)
      standardise(feature_row(problem, i), x_.data() + i * stride_);
  });
  const auto weight = [&](std::size_t i) {
    return problem.weights.empty() ? 1.0 : static_cast<double>(problem.weights[i]);
  };
  double total = 0;
  for (std::size_t i = 0; i < rows(); ++i) total += weight(i);
  for (std::size_t i = 0; i < rows(); ++i) weights_[i] = static_cast<float>(weight(i) / total);
}

void TrainingSet::measure(const Problem& problem, int threads) {
  const std::size_t n = problem.rows.size();
  mean_.resize(columns_);
  deviation_.resize(columns_);
  scale_.resize(columns_);
  pool().run((columns_ + kStrip - 1) / kStrip, threads, [&](std::size_t strip) {
    const std::size_t begin = strip * kStrip, count = std::min(kStrip, columns_ - begin);
    double sum[kStrip] = {}, squares[kStrip] = {};
    for (std::size_t i = 0; i < n; ++i) {
      const float* x = feature_row(problem, i) + begin;
      for (std::size_t j = 0; j < count; ++j) sum[j] += x[j];
    }
    for (std::size_t j = 0; j < count; ++j) mean_[begin + j] = sum[j] / static_cast<double>(n);
    for (std::size_t i = 0; i < n; ++i) {
      const float* x = feature_row(problem, i) + begin;
      for (std::size_t j = 0; j < count; ++j) {
        const double d = x[j] - mean_[begin + j];
        squares[j] += d * d;
      }
    }
    for (std::size_t j = 0; j < count; ++j) deviation_[begin + j] = std::sqrt(squares[j] / static_cast<double>(n));
  });
  std::vector<double> sorted(deviation_);
  std::nth_element(sorted.begin(), sorted.begin() + sorted.size() / 2, sorted.end());
  const double least = std::max(kConstantShare * sorted[sorted.size() / 2], kLeastDeviation);
  for (std::size_t j = 0; j < columns_; ++j) {
    const bool constant = !(deviation_[j] > least);
    scale_[j] = constant ? 0.0f : static_cast<float>(1.0 / deviation_[j]);
    constant_features_ += constant;
  }
}

void TrainingSet::standardise(const float* from, float* to) const noexcept {
  for (std::size_t j = 0; j < columns_; ++j) to[j] = static_cast<float>(from[j] - mean_[j]) * scale_[j];
  to[columns_] = 1.0f;
}

}  // namespace silverprint
