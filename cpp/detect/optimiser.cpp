#include "detect/optimiser.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "base/error.h"
#include "base/process.h"
#include "solve/vector_math.h"

namespace silverprint {
namespace {

constexpr double kFirst = 0.9, kSecond = 0.999;
constexpr std::size_t kChunk = 16384;

void check_size(bool fits) {
  if (!fits) throw Error(ErrorCode::invalid_argument, "this state belongs to a problem of another size");
}

}  // namespace

Optimiser::Optimiser(std::vector<std::uint8_t> decays, const Settings& settings, int threads)
    : decays_(std::move(decays)),
      settings_(settings),
      threads_(threads),
      state_{std::vector<float>(decays_.size()), std::vector<float>(decays_.size()), 0},
      squares_((decays_.size() + kChunk - 1) / kChunk) {}

void Optimiser::restore(State state) {
  check_size(state.first.size() == decays_.size() && state.second.size() == decays_.size());
  state_ = std::move(state);
}

double Optimiser::rate() const noexcept {
  const auto t = static_cast<double>(std::min(state_.steps, settings_.steps - 1));
  const double warm = std::min(1.0, (t + 1) / static_cast<double>(std::max<std::int64_t>(settings_.warm_up, 1)));
  const double wave = (1 + std::cos(std::numbers::pi * t / static_cast<double>(settings_.steps))) / 2;
  return settings_.rate * warm * (settings_.least + (1 - settings_.least) * wave);
}

double Optimiser::norm(std::span<const float> gradient) {
  pool().run(squares_.size(), threads_, [&](std::size_t chunk) {
    const std::size_t begin = chunk * kChunk;
    const auto part = gradient.subspan(begin, std::min(kChunk, gradient.size() - begin));
    squares_[chunk] = dot(part, part);
  });
  double sum = 0;
  for (const double square : squares_) sum += square;
  return std::sqrt(sum);
}

void Optimiser::step(std::span<float> w, std::span<float> gradient) {
  const double length = norm(gradient);
  if (!std::isfinite(length)) throw Error(ErrorCode::invalid_argument, "the gradient is no longer finite");
  const auto cut = static_cast<float>(length > settings_.largest_gradient ? settings_.largest_gradient / length : 1);
  const double now = rate(), t = static_cast<double>(++state_.steps);
  const auto step_length = static_cast<float>(now / (1 - std::pow(kFirst, t)));
  const auto scale = static_cast<float>(1 / (1 - std::pow(kSecond, t)));
  const auto kept = static_cast<float>(1 - now * settings_.decay);
  const Kernels& k = kernels();
  pool().run(squares_.size(), threads_, [&](std::size_t chunk) {
    const std::size_t begin = chunk * kChunk, count = std::min(kChunk, w.size() - begin);
    float* own = w.data() + begin;
    const std::uint8_t* decays = decays_.data() + begin;
    for (std::size_t i = 0; i < count; ++i) own[i] *= decays[i] != 0 ? kept : 1.0f;
    if (cut < 1)
      for (float& g : gradient.subspan(begin, count)) g *= cut;
    k.adam(count, gradient.data() + begin, step_length, scale, own, state_.first.data() + begin,
           state_.second.data() + begin);
  });
}

void MovingAverage::update(std::span<const float> values) {
  const auto t = static_cast<double>(++state_.updates);
  const auto share = static_cast<float>(1 - std::min(kDecay, (1 + t) / (10 + t)));
  for (std::size_t i = 0; i < values.size(); ++i) state_.values[i] += share * (values[i] - state_.values[i]);
}

void MovingAverage::restore(State state) {
  check_size(state.values.size() == state_.values.size());
  state_ = std::move(state);
}

}  // namespace silverprint
