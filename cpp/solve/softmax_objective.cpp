#include "solve/softmax_objective.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/process.h"

namespace silverprint {
namespace {

// Rows whose scores are computed at once: they stay in the second-level cache for the second product.
constexpr std::size_t kBlockRows = 128;
// Rows are summed in this many groups at most, whatever the number of threads.
constexpr std::size_t kMostGroups = 32;
// Off the diagonal, the sampled covariance counts this much: measured on backbone features.
constexpr float kShrinkage = 0.8f;
constexpr std::size_t kReduceChunk = 4096;
// The largest preconditioner that is factored: 256 MB.
constexpr std::size_t kLargestFactor = 8192;
// How often the ridge is raised a hundredfold before the matrix is given up.
constexpr int kMostRidges = 8;

}  // namespace

SoftmaxObjective::SoftmaxObjective(std::span<const float> x, std::size_t stride, std::size_t features,
                                   std::span<const std::int32_t> labels, std::span<const float> weights,
                                   std::size_t classes, double l2, int threads)
    : x_(x),
      stride_(stride),
      features_(features),
      labels_(labels),
      weights_(weights),
      classes_(classes),
      padded_(round_up(classes, kLanes)),
      l2_(l2),
      threads_(threads),
      factor_(features < kLargestFactor ? features + 1 : 0) {
  const std::size_t blocks = (rows() + kBlockRows - 1) / kBlockRows;
  group_rows_ = (blocks + kMostGroups - 1) / kMostGroups * kBlockRows;
  groups_ = (rows() + group_rows_ - 1) / group_rows_;
  probabilities_.assign(rows() * padded_, 0.0f);
  partial_.resize(groups_ * dimension());
  workspace_.resize(groups_ * kBlockRows * padded_);
}

double SoftmaxObjective::reduce_groups(std::span<const float> w, std::span<float> product) {
  const std::size_t penalised = features_ * padded_;
  const std::size_t chunks = (dimension() + kReduceChunk - 1) / kReduceChunk;
  std::vector<double> squares(chunks);
  const float l2 = static_cast<float>(l2_);
  pool().run(chunks, threads_, [&](std::size_t chunk) {
    const std::size_t begin = chunk * kReduceChunk, end = std::min(begin + kReduceChunk, dimension());
    std::copy(partial_.begin() + begin, partial_.begin() + end, product.begin() + begin);
    for (std::size_t g = 1; g < groups_; ++g) {
      const float* part = partial_.data() + g * dimension();
      for (std::size_t i = begin; i < end; ++i) product[i] += part[i];
    }
    double square = 0;
    for (std::size_t i = begin; i < std::min(end, penalised); ++i) {
      product[i] += l2 * w[i];
      square += static_cast<double>(w[i]) * w[i];
    }
    squares[chunk] = square;
  });
  double sum = 0;
  for (const double square : squares) sum += square;
  return sum;
}

double SoftmaxObjective::value_gradient(std::span<const float> w, std::span<float> gradient) {
  const Kernels& k = kernels();
  const auto stride = static_cast<std::ptrdiff_t>(stride_), padded = static_cast<std::ptrdiff_t>(padded_);
  std::vector<double> losses(groups_);
  pool().run(groups_, threads_, [&](std::size_t group) {
    float* sum = partial_.data() + group * dimension();
    std::fill_n(sum, dimension(), 0.0f);
    float* residual = workspace_.data() + group * kBlockRows * padded_;
    float own[kBlockRows], largest[kBlockRows], total[kBlockRows];
    double loss = 0;
    const std::size_t end = std::min((group + 1) * group_rows_, rows());
    for (std::size_t begin = group * group_rows_; begin < end; begin += kBlockRows) {
      const std::size_t count = std::min(kBlockRows, end - begin);
      float* p = probabilities_.data() + begin * padded_;
      std::fill_n(p, count * padded_, 0.0f);
      k.gemm(count, padded_, features_ + 1, x_row(begin), stride, 1, w.data(), padded, p, padded);
      for (std::size_t i = 0; i < count; ++i) own[i] = p[i * padded_ + labels_[begin + i]];
      k.softmax(count, classes_, padded_, p, largest, total);
      for (std::size_t i = 0; i < count; ++i) {
        const float weight = weights_[begin + i];
        loss += weight * (std::log(static_cast<double>(total[i])) + largest[i] - own[i]);
        for (std::size_t c = 0; c < padded_; ++c) residual[i * padded_ + c] = weight * p[i * padded_ + c];
        residual[i * padded_ + labels_[begin + i]] -= weight;
      }
      k.gemm(features_ + 1, padded_, count, x_row(begin), 1, stride, residual, padded, sum, padded);
    }
    losses[group] = loss;
  });
  const double squares = reduce_groups(w, gradient);
  double value = 0.5 * l2_ * squares;
  for (const double loss : losses) value += loss;
  return value;
}

void SoftmaxObjective::hessian_vector(std::span<const float> v, std::span<float> product) {
  const Kernels& k = kernels();
  const auto stride = static_cast<std::ptrdiff_t>(stride_), padded = static_cast<std::ptrdiff_t>(padded_);
  pool().run(groups_, threads_, [&](std::size_t group) {
    float* sum = partial_.data() + group * dimension();
    std::fill_n(sum, dimension(), 0.0f);
    float* u = workspace_.data() + group * kBlockRows * padded_;
    const std::size_t end = std::min((group + 1) * group_rows_, rows());
    for (std::size_t begin = group * group_rows_; begin < end; begin += kBlockRows) {
      const std::size_t count = std::min(kBlockRows, end - begin);
      std::fill_n(u, count * padded_, 0.0f);
      k.gemm(count, padded_, features_ + 1, x_row(begin), stride, 1, v.data(), padded, u, padded);
      k.softmax_jacobian(count, classes_, padded_, probabilities_.data() + begin * padded_,
                         weights_.data() + begin, u);
      k.gemm(features_ + 1, padded_, count, x_row(begin), 1, stride, u, padded, sum, padded);
    }
  });
  reduce_groups(v, product);
}

AlignedVector<float> SoftmaxObjective::sampled_rows() const {
  // Systematic sampling with probability proportional to weight (Madow 1949); heavy rows are
  // taken for certain and the others scaled up by 1 / probability.
  std::vector<double> weight(rows());
  double total = 0;
  for (std::size_t i = 0; i < rows(); ++i) {
    const float* p = probabilities_.data() + i * padded_;
    double variance = 0;
    for (std::size_t c = 0; c < classes_; ++c) variance += static_cast<double>(p[c]) * (1.0 - p[c]);
    weight[i] = weights_[i] * variance / static_cast<double>(classes_);
    total += weight[i];
  }
  // As many rows as cost about two passes over the data, within one to four times the features.
  const std::size_t order = features_ + 1;
  const std::size_t wanted = std::min(rows(), std::clamp(8 * rows() * padded_ / order, order, 4 * order));
  std::vector<Sample> sample;
  sample.reserve(wanted + 1);
  double position = 0.5, reached = 0;
  const double interval = total / static_cast<double>(wanted);
  for (std::size_t i = 0; i < rows(); ++i) {
    if (!(weight[i] > 0)) continue;
    reached += wanted == rows() ? 1.0 : std::min(1.0, weight[i] / interval);
    if (wanted != rows() && reached < position) continue;
    position += 1;
    sample.push_back({i, static_cast<float>(std::sqrt(std::max(weight[i], wanted == rows() ? 0.0 : interval)))});
  }
  AlignedVector<float> x(sample.size() * stride_);
  pool().run(sample.size(), threads_, [&](std::size_t s) {
    const float* from = x_row(sample[s].row);
    for (std::size_t j = 0; j < order; ++j) x[s * stride_ + j] = sample[s].factor * from[j];
  });
  return x;
}

void SoftmaxObjective::refresh_preconditioner() {
  const AlignedVector<float> sampled = sampled_rows();
  if (factor_.order() > 0)
    set_factor(sampled);
  else
    set_diagonal(sampled);
}

void SoftmaxObjective::set_diagonal(const AlignedVector<float>& sampled) {
  std::vector<double> sum(features_ + 1);
  for (std::size_t s = 0; s < sampled.size(); s += stride_)
    for (std::size_t j = 0; j <= features_; ++j)
      sum[j] += static_cast<double>(sampled[s + j]) * sampled[s + j];
  inverse_diagonal_.resize(features_ + 1);
  for (std::size_t j = 0; j <= features_; ++j)
    inverse_diagonal_[j] = static_cast<float>(1.0 / (sum[j] + (j < features_ ? l2_ : 0.0) + 1e-12));
}

void SoftmaxObjective::set_factor(const AlignedVector<float>& sampled) {
  const Kernels& k = kernels();
  const std::size_t rows = sampled.size() / stride_, order = features_ + 1, m_stride = factor_.stride();
  constexpr std::size_t tile = Cholesky::kBlock;
  const auto x_stride = static_cast<std::ptrdiff_t>(stride_);
  float* m = factor_.matrix();
  double ridge = 0;
  for (int attempt = 0; attempt < kMostRidges; ++attempt) {
    std::fill_n(m, m_stride * m_stride, 0.0f);
    pool().run(m_stride / tile, threads_, [&](std::size_t t) {
      const std::size_t j = t * tile, columns = std::min(tile, order - j);
      k.gemm(order - j, columns, rows, sampled.data() + j, 1, x_stride, sampled.data() + j, x_stride,
             m + j * (m_stride + 1), static_cast<std::ptrdiff_t>(m_stride));
      for (std::size_t i = j; i < order; ++i)
        for (std::size_t c = j; c < std::min(i, j + columns); ++c) m[i * m_stride + c] *= kShrinkage;
    });
    double trace = 0;
    for (std::size_t i = 0; i < order; ++i) trace += m[i * (m_stride + 1)];
    // Dead features, and rounding, leave zeros on the diagonal where l2 is 0.
    if (ridge == 0) ridge = std::max(1e-6 * trace / static_cast<double>(order), 1e-12);
    for (std::size_t i = 0; i < order; ++i)
      m[i * (m_stride + 1)] += static_cast<float>(ridge + (i < features_ ? l2_ : 0.0));
    if (factor_.factor(threads_)) return;
    ridge *= 100;
  }
  throw Error(ErrorCode::invalid_argument, "the covariance of the features is not finite");
}

void SoftmaxObjective::precondition(std::span<const float> r, std::span<float> z) {
  if (factor_.order() > 0) {
    std::copy(r.begin(), r.end(), z.begin());
    factor_.solve(z.data(), padded_, threads_);
    return;
  }
  for (std::size_t j = 0; j <= features_; ++j)
    for (std::size_t c = j * padded_; c < (j + 1) * padded_; ++c) z[c] = inverse_diagonal_[j] * r[c];
}

}  // namespace silverprint
