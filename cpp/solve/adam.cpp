#include "solve/adam.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/process.h"
#include "base/random.h"

namespace silverprint {
namespace {

// Measured on backbone features: smaller batches and slower decay gain nothing in accuracy.
constexpr std::size_t kBatch = 32;
// Few rows are passed over several times in one iteration, so that it gets somewhere.
constexpr std::size_t kLeastSteps = 32;
constexpr double kDecay = 5;
constexpr double kFirst = 0.9, kSecond = 0.999;
constexpr std::size_t kChunk = 16384;

}  // namespace

Adam::Adam(BatchObjective& objective, std::vector<float> w, double rate, double tolerance, std::uint64_t seed,
           int threads)
    : objective_(objective),
      rate_(rate),
      tolerance_(tolerance),
      seed_(seed),
      threads_(threads),
      order_(objective.rows()),
      gradient_(objective.dimension()) {
  restart(std::move(w));
}

void Adam::restart(std::vector<float> w) {
  state_ = State{};
  state_.first.assign(w.size(), 0.0f);
  state_.second.assign(w.size(), 0.0f);
  state_.w = std::move(w);
}

void Adam::restore(State state) {
  const std::size_t n = objective_.dimension();
  if (state.w.size() != n || state.first.size() != n || state.second.size() != n)
    throw Error(ErrorCode::invalid_argument, "this state belongs to a problem of another size");
  state_ = std::move(state);
}

double Adam::value() const {
  return state_.values.empty() ? std::numeric_limits<double>::infinity() : state_.values.back();
}

void Adam::shuffle() {
  // Fisher and Yates, from the seed and the steps done alone.
  std::iota(order_.begin(), order_.end(), 0u);
  SplitMix64 random(SplitMix64(seed_ + static_cast<std::uint64_t>(next_.steps)).next());
  for (std::size_t i = order_.size(); i > 1; --i)
    std::swap(order_[i - 1], order_[static_cast<std::size_t>(random.uniform() * static_cast<double>(i))]);
}

void Adam::update(double rate) {
  const double t = static_cast<double>(next_.steps);
  const auto length = static_cast<float>(rate / (1 - std::pow(kFirst, t)));
  const auto scale = static_cast<float>(1 / (1 - std::pow(kSecond, t)));
  const Kernels& k = kernels();
  const std::size_t n = gradient_.size();
  pool().run((n + kChunk - 1) / kChunk, threads_, [&](std::size_t chunk) {
    const std::size_t begin = chunk * kChunk, count = std::min(kChunk, n - begin);
    k.adam(count, gradient_.data() + begin, length, scale, next_.w.data() + begin, next_.first.data() + begin,
           next_.second.data() + begin);
  });
}

bool Adam::step(const CancelToken& cancel) {
  if (state_.converged) return false;
  next_ = state_;
  const std::size_t rows = order_.size(), batches = (rows + kBatch - 1) / kBatch;
  const std::size_t passes = (kLeastSteps + batches - 1) / batches;
  const double rate = rate_ / (1 + static_cast<double>(state_.iteration) / kDecay);
  double value = 0;
  for (std::size_t pass = 0; pass < passes; ++pass) {
    shuffle();
    for (std::size_t b = 0; b < batches; ++b) {
      cancel.check();
      const std::size_t begin = b * rows / batches, end = (b + 1) * rows / batches;
      const std::span<const std::uint32_t> batch(order_.data() + begin, end - begin);
      value += objective_.value_gradient(next_.w, batch, gradient_) * static_cast<double>(batch.size());
      ++next_.steps;
      update(rate);
    }
  }
  value /= static_cast<double>(rows * passes);
  if (!std::isfinite(value)) throw Error(ErrorCode::invalid_argument, "the loss is no longer finite");
  ++next_.iteration;
  next_.values.push_back(value);
  if (next_.values.size() > kPatience) {
    next_.converged = !(next_.values.front() - value > tolerance_ * std::abs(value));
    next_.values.erase(next_.values.begin());
  }
  std::swap(state_, next_);
  return !state_.converged;
}

}  // namespace silverprint
