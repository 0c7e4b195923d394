#include "solve/covariance.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/process.h"

namespace silverprint {
namespace {

// Off the diagonal, the sampled covariance counts this much: measured on backbone features.
constexpr float kShrinkage = 0.8f;
// The largest matrix that is factored: 256 MB.
constexpr std::size_t kLargestFactor = 8192;
// How often the ridge is raised a hundredfold before the matrix is given up.
constexpr int kMostRidges = 8;

struct SampledRow {
  std::size_t row;
  float factor;
};

// Systematic sampling with probability proportional to weight (Madow 1949); heavy rows are taken for
// certain and the others scaled up by 1 / probability.
std::vector<SampledRow> sample_rows(std::span<const double> weights, std::size_t wanted) {
  double total = 0;
  for (const double weight : weights) total += weight;
  const bool all = wanted == weights.size();
  std::vector<SampledRow> sample;
  sample.reserve(wanted + 1);
  double position = 0.5, reached = 0;
  const double interval = total / static_cast<double>(wanted);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!(weights[i] > 0)) continue;
    reached += all ? 1.0 : std::min(1.0, weights[i] / interval);
    if (!all && reached < position) continue;
    position += 1;
    sample.push_back({i, static_cast<float>(std::sqrt(std::max(weights[i], all ? 0.0 : interval)))});
  }
  return sample;
}

}  // namespace

Covariance::Covariance(std::size_t features)
    : features_(features),
      stride_(round_up(features + 1, kLanes)),
      factor_(features < kLargestFactor ? features + 1 : 0) {}

void Covariance::estimate(const std::function<const float*(std::size_t)>& row, std::span<const double> weights,
                          std::size_t outputs, double l2, int threads) {
  const std::size_t order = features_ + 1;
  // Within one to four times the features.
  const std::size_t wanted =
      std::min(weights.size(), std::clamp(8 * weights.size() * outputs / order, order, 4 * order));
  const std::vector<SampledRow> chosen = sample_rows(weights, wanted);
  AlignedVector<float> sample(chosen.size() * stride_);
  pool().run(chosen.size(), threads, [&](std::size_t s) {
    const float* from = row(chosen[s].row);
    for (std::size_t j = 0; j < order; ++j) sample[s * stride_ + j] = chosen[s].factor * from[j];
  });
  if (factor_.order() > 0)
    set_factor(sample, l2, threads);
  else
    set_diagonal(sample, l2);
}

void Covariance::set_diagonal(const AlignedVector<float>& sample, double l2) {
  std::vector<double> sum(features_ + 1);
  for (std::size_t s = 0; s < sample.size(); s += stride_)
    for (std::size_t j = 0; j <= features_; ++j) sum[j] += static_cast<double>(sample[s + j]) * sample[s + j];
  inverse_diagonal_.resize(features_ + 1);
  for (std::size_t j = 0; j <= features_; ++j)
    inverse_diagonal_[j] = static_cast<float>(1.0 / (sum[j] + (j < features_ ? l2 : 0.0) + 1e-12));
}

void Covariance::set_factor(const AlignedVector<float>& sample, double l2, int threads) {
  const Kernels& k = kernels();
  const std::size_t rows = sample.size() / stride_, order = features_ + 1, m_stride = factor_.stride();
  constexpr std::size_t tile = Cholesky::kBlock;
  const auto stride = static_cast<std::ptrdiff_t>(stride_);
  float* m = factor_.matrix();
  double ridge = 0;
  for (int attempt = 0; attempt < kMostRidges; ++attempt) {
    std::fill_n(m, m_stride * m_stride, 0.0f);
    pool().run(m_stride / tile, threads, [&](std::size_t t) {
      const std::size_t j = t * tile, columns = std::min(tile, order - j);
      k.gemm(order - j, columns, rows, sample.data() + j, 1, stride, sample.data() + j, stride,
             m + j * (m_stride + 1), static_cast<std::ptrdiff_t>(m_stride));
      for (std::size_t i = j; i < order; ++i)
        for (std::size_t c = j; c < std::min(i, j + columns); ++c) m[i * m_stride + c] *= kShrinkage;
    });
    double trace = 0;
    for (std::size_t i = 0; i < order; ++i) trace += m[i * (m_stride + 1)];
    // Dead features, and rounding, leave zeros on the diagonal where l2 is 0.
    if (ridge == 0) ridge = std::max(1e-6 * trace / static_cast<double>(order), 1e-12);
    for (std::size_t i = 0; i < order; ++i)
      m[i * (m_stride + 1)] += static_cast<float>(ridge + (i < features_ ? l2 : 0.0));
    if (factor_.factor(threads)) return;
    ridge *= 100;
  }
  throw Error(ErrorCode::invalid_argument, "the covariance of the features is not finite");
}

void Covariance::solve(std::span<const float> r, std::span<float> z, std::size_t columns, int threads) const {
  if (factor_.order() > 0) {
    std::copy(r.begin(), r.end(), z.begin());
    factor_.solve(z.data(), columns, threads);
    return;
  }
  for (std::size_t j = 0; j <= features_; ++j)
    for (std::size_t c = j * columns; c < (j + 1) * columns; ++c) z[c] = inverse_diagonal_[j] * r[c];
}

}  // namespace silverprint
