#include "solve/logistic_regression.h"

#include <algorithm>
#include <cmath>

#include "base/process.h"

namespace silverprint {
namespace {

constexpr double kConstantShare = 1e-4;
constexpr double kLeastDeviation = 1e-38;  // its inverse is a float
constexpr std::size_t kStrip = 64;  // columns whose moments one task computes

}  // namespace

LogisticRegression::LogisticRegression(const Problem& problem, double l2, double tolerance, int threads)
    : columns_(problem.columns),
      classes_(problem.classes),
      stride_(round_up(problem.columns + 1, kLanes)),
      threads_(threads),
      labels_(problem.labels.begin(), problem.labels.end()) {
  standardise(problem);
  row_weights_.resize(labels_.size());
  double total = 0;
  for (const std::int32_t label : labels_)
    total += problem.class_weights.empty() ? 1.0 : problem.class_weights[label];
  for (std::size_t i = 0; i < labels_.size(); ++i)
    row_weights_[i] = static_cast<float>(
        (problem.class_weights.empty() ? 1.0 : problem.class_weights[labels_[i]]) / total);
  objective_ = std::make_unique<SoftmaxObjective>(x_, stride_, columns_, labels_, row_weights_, classes_, l2, threads);
  newton_ = std::make_unique<NewtonCg>(*objective_, tolerance);
}

void LogisticRegression::standardise(const Problem& problem) {
  const std::size_t n = problem.rows.size();
  mean_.resize(columns_);
  deviation_.resize(columns_);
  scale_.resize(columns_);
  const auto feature_row = [&](std::size_t i) {
    return problem.features.data() + static_cast<std::size_t>(problem.rows[i]) * columns_;
  };
  pool().run((columns_ + kStrip - 1) / kStrip, threads_, [&](std::size_t strip) {
    const std::size_t begin = strip * kStrip, count = std::min(kStrip, columns_ - begin);
    double sum[kStrip] = {}, squares[kStrip] = {};
    for (std::size_t i = 0; i < n; ++i) {
      const float* x = feature_row(i) + begin;
      for (std::size_t j = 0; j < count; ++j) sum[j] += x[j];
    }
    for (std::size_t j = 0; j < count; ++j) mean_[begin + j] = sum[j] / static_cast<double>(n);
    for (std::size_t i = 0; i < n; ++i) {
      const float* x = feature_row(i) + begin;
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
  x_.assign(n * stride_, 0.0f);
  constexpr std::size_t block = 64;
  pool().run((n + block - 1) / block, threads_, [&](std::size_t b) {
    for (std::size_t i = b * block; i < std::min((b + 1) * block, n); ++i)
      copy_standardised(feature_row(i), x_.data() + i * stride_);
  });
}

void LogisticRegression::copy_standardised(const float* from, float* to) const noexcept {
  for (std::size_t j = 0; j < columns_; ++j)
    to[j] = static_cast<float>(from[j] - mean_[j]) * scale_[j];
  to[columns_] = 1.0f;
}

void LogisticRegression::set_l2(double l2) {
  objective_->set_l2(l2);
  newton_->restart();
}

void LogisticRegression::weights(std::span<float> weights, std::span<float> intercepts) const {
  const std::size_t padded = objective_->padded_classes();
  const std::vector<float>& w = newton_->state().w;
  for (std::size_t j = 0; j < columns_; ++j)
    std::copy_n(w.data() + j * padded, classes_, weights.data() + j * classes_);
  const float* own = w.data() + columns_ * padded;
  double mean = 0;
  for (std::size_t c = 0; c < classes_; ++c) mean += own[c];
  mean /= static_cast<double>(classes_);
  for (std::size_t c = 0; c < classes_; ++c) intercepts[c] = static_cast<float>(own[c] - mean);
}

void LogisticRegression::probabilities(std::span<const float> features, std::span<float> out) const {
  constexpr std::size_t block = 64, most_blocks = 32;
  const std::size_t n = features.size() / columns_, padded = objective_->padded_classes();
  const Kernels& k = kernels();
  const float* w = newton_->state().w.data();
  // Memory for one wave of blocks at a time: tasks must not allocate.
  AlignedVector<float> x(std::min(n, block * most_blocks) * stride_), p(std::min(n, block * most_blocks) * padded);
  for (std::size_t wave = 0; wave < n; wave += block * most_blocks) {
    const std::size_t rows = std::min(block * most_blocks, n - wave);
    std::fill(p.begin(), p.end(), 0.0f);
    pool().run((rows + block - 1) / block, threads_, [&](std::size_t b) {
      const std::size_t begin = b * block, count = std::min(block, rows - begin);
      float largest[block], sum[block];
      for (std::size_t i = begin; i < begin + count; ++i)
        copy_standardised(features.data() + (wave + i) * columns_, x.data() + i * stride_);
      k.gemm(count, padded, columns_ + 1, x.data() + begin * stride_, static_cast<std::ptrdiff_t>(stride_), 1, w,
             static_cast<std::ptrdiff_t>(padded), p.data() + begin * padded, static_cast<std::ptrdiff_t>(padded));
      k.softmax(count, classes_, padded, p.data() + begin * padded, largest, sum);
      for (std::size_t i = begin; i < begin + count; ++i)
        std::copy_n(p.data() + i * padded, classes_, out.data() + (wave + i) * classes_);
    });
  }
}

}  // namespace silverprint
