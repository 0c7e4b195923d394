#include "solve/softmax_objective.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/process.h"

namespace silverprint {
namespace {

// Rows whose scores are computed at once: they stay in the second-level cache for the second product.
constexpr std::size_t kBlockRows = 128;
// Rows are summed in this many groups at most, whatever the number of threads.
constexpr std::size_t kMostGroups = 32;
constexpr std::size_t kReduceChunk = 4096;

}  // namespace

SoftmaxObjective::SoftmaxObjective(const TrainingSet& set, double l2, int threads)
    : set_(set), padded_(round_up(set.classes(), kLanes)), l2_(l2), threads_(threads), covariance_(set.columns()) {
  const std::size_t blocks = (set_.rows() + kBlockRows - 1) / kBlockRows;
  group_rows_ = (blocks + kMostGroups - 1) / kMostGroups * kBlockRows;
  groups_ = (set_.rows() + group_rows_ - 1) / group_rows_;
  probabilities_.assign(set_.rows() * padded_, 0.0f);
  partial_.resize(groups_ * dimension());
  workspace_.resize(groups_ * kBlockRows * padded_);
}

double SoftmaxObjective::reduce_groups(std::span<const float> w, std::span<float> product) {
  const std::size_t penalised = set_.columns() * padded_;
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
  const auto stride = static_cast<std::ptrdiff_t>(set_.stride()), padded = static_cast<std::ptrdiff_t>(padded_);
  std::vector<double> losses(groups_);
  pool().run(groups_, threads_, [&](std::size_t group) {
    float* sum = partial_.data() + group * dimension();
    std::fill_n(sum, dimension(), 0.0f);
    float* residual = workspace_.data() + group * kBlockRows * padded_;
    float own[kBlockRows], largest[kBlockRows], total[kBlockRows];
    double loss = 0;
    const std::size_t end = std::min((group + 1) * group_rows_, set_.rows());
    for (std::size_t begin = group * group_rows_; begin < end; begin += kBlockRows) {
      const std::size_t count = std::min(kBlockRows, end - begin);
      float* p = probabilities_.data() + begin * padded_;
      std::fill_n(p, count * padded_, 0.0f);
      k.gemm(count, padded_, set_.columns() + 1, set_.row(begin), stride, 1, w.data(), padded, p, padded);
      for (std::size_t i = 0; i < count; ++i) own[i] = p[i * padded_ + set_.labels()[begin + i]];
      k.softmax(count, set_.classes(), padded_, p, largest, total);
      for (std::size_t i = 0; i < count; ++i) {
        const float weight = set_.weights()[begin + i];
        loss += weight * (std::log(static_cast<double>(total[i])) + largest[i] - own[i]);
        for (std::size_t c = 0; c < padded_; ++c) residual[i * padded_ + c] = weight * p[i * padded_ + c];
        residual[i * padded_ + set_.labels()[begin + i]] -= weight;
      }
      k.gemm(set_.columns() + 1, padded_, count, set_.row(begin), 1, stride, residual, padded, sum, padded);
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
  const auto stride = static_cast<std::ptrdiff_t>(set_.stride()), padded = static_cast<std::ptrdiff_t>(padded_);
  pool().run(groups_, threads_, [&](std::size_t group) {
    float* sum = partial_.data() + group * dimension();
    std::fill_n(sum, dimension(), 0.0f);
    float* u = workspace_.data() + group * kBlockRows * padded_;
    const std::size_t end = std::min((group + 1) * group_rows_, set_.rows());
    for (std::size_t begin = group * group_rows_; begin < end; begin += kBlockRows) {
      const std::size_t count = std::min(kBlockRows, end - begin);
      std::fill_n(u, count * padded_, 0.0f);
      k.gemm(count, padded_, set_.columns() + 1, set_.row(begin), stride, 1, v.data(), padded, u, padded);
      k.softmax_jacobian(count, set_.classes(), padded_, probabilities_.data() + begin * padded_,
                         set_.weights().data() + begin, u);
      k.gemm(set_.columns() + 1, padded_, count, set_.row(begin), 1, stride, u, padded, sum, padded);
    }
  });
  reduce_groups(v, product);
}

void SoftmaxObjective::refresh_preconditioner() {
  std::vector<double> weights(set_.rows());
  for (std::size_t i = 0; i < set_.rows(); ++i) {
    const float* p = probabilities_.data() + i * padded_;
    double variance = 0;
    for (std::size_t c = 0; c < set_.classes(); ++c) variance += static_cast<double>(p[c]) * (1.0 - p[c]);
    weights[i] = set_.weights()[i] * variance / static_cast<double>(set_.classes());
  }
  covariance_.estimate([this](std::size_t i) { return set_.row(i); }, weights, padded_, l2_, threads_);
}

void SoftmaxObjective::precondition(std::span<const float> r, std::span<float> z) {
  covariance_.solve(r, z, padded_, threads_);
}

}  // namespace silverprint
