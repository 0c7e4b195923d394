#include "detect/trainer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/random.h"

namespace silverprint {
namespace {

constexpr double kLeastSeen = 0.4, kLeastArea = 1e-6;
constexpr std::size_t kGeometry = 5;

std::vector<std::uint8_t> decays_of(const Network& network) {
  std::vector<std::uint8_t> decays;
  for (const Parameter& p : network.parameter_list()) decays.insert(decays.end(), p.size(), p.decays ? 1 : 0);
  return decays;
}

Network initialised(const NetworkOptions& options, std::span<const float> mean, std::span<const float> deviation,
                    std::uint64_t seed, int threads) {
  Network network(options, mean, deviation, threads);
  network.initialise(seed);
  return network;
}

std::vector<float> joined(std::span<const float> a, std::span<const float> b) {
  std::vector<float> both(a.begin(), a.end());
  both.insert(both.end(), b.begin(), b.end());
  return both;
}

}  // namespace

bool seen_in_view(const Box& box, const float* geometry, Box& seen) {
  const double left = geometry[0], top = geometry[1], width = geometry[2] - left, height = geometry[3] - top;
  double x0 = (box.x0 - left) / width, x1 = (box.x1 - left) / width;
  const double y0 = (box.y0 - top) / height, y1 = (box.y1 - top) / height;
  if (geometry[4] != 0) {
    const double mirrored = 1 - x0;
    x0 = 1 - x1;
    x1 = mirrored;
  }
  const BoxOf<double> whole{x0, y0, x1, y1};
  const BoxOf<double> cut{std::clamp(x0, 0.0, 1.0), std::clamp(y0, 0.0, 1.0), std::clamp(x1, 0.0, 1.0),
                          std::clamp(y1, 0.0, 1.0)};
  if (!(area(cut) > kLeastArea) || area(cut) < kLeastSeen * area(whole)) return false;
  seen = {static_cast<float>(cut.x0), static_cast<float>(cut.y0), static_cast<float>(cut.x1),
          static_cast<float>(cut.y1)};
  return true;
}

DetectionTrainer::DetectionTrainer(const NetworkOptions& options, std::span<const float> mean,
                                   std::span<const float> deviation, const DetectionProblem& problem,
                                   const Optimiser::Settings& settings, std::uint64_t seed, int threads)
    : problem_(problem),
      settings_(settings),
      seed_(seed),
      network_(initialised(options, mean, deviation, seed, threads)),
      loss_(network_.levels(), options.classes, threads),
      optimiser_(decays_of(network_), settings, threads),
      flat_(joined(network_.parameters(), network_.statistics())),
      average_(flat_),
      order_(problem.chosen.begin(), problem.chosen.end()),
      epoch_(std::numeric_limits<std::size_t>::max()),
      by_logits_(options.batch * network_.cells() * options.classes),
      by_distances_(options.batch * network_.cells() * 4),
      gradient_(network_.parameters().size()) {
  if (order_.empty()) throw Error(ErrorCode::invalid_argument, "no picture to train on");
}

// The picture and view of one draw of all: epochs of pictures in an order of their own.
void DetectionTrainer::choose(std::size_t draw) {
  const std::size_t count = order_.size(), epoch = draw / count;
  if (epoch != epoch_) {
    std::copy(problem_.chosen.begin(), problem_.chosen.end(), order_.begin());
    SplitMix64 random(SplitMix64(seed_ + epoch).next());
    for (std::size_t i = count; i > 1; --i)
      std::swap(order_[i - 1], order_[static_cast<std::size_t>(random.uniform() * static_cast<double>(i))]);
    epoch_ = epoch;
  }
  SplitMix64 random(SplitMix64(~seed_ + draw).next());
  gather(static_cast<std::size_t>(order_[draw % count]),
         static_cast<std::size_t>(random.uniform() * static_cast<double>(problem_.views)));
}

void DetectionTrainer::gather(std::size_t picture, std::size_t view) {
  const std::size_t row = picture * problem_.views + view;
  rows_.push_back(problem_.rows + row * network_.row_size());
  const auto& finest = network_.options().inputs.front();
  const auto width = static_cast<float>(finest.stride * finest.width);
  const auto height = static_cast<float>(finest.stride * finest.height);
  for (std::size_t i = problem_.first[picture]; i < problem_.first[picture + 1]; ++i) {
    Box seen{};
    if (!seen_in_view(problem_.boxes[i], problem_.geometry.data() + row * kGeometry, seen)) continue;
    boxes_.push_back({seen.x0 * width, seen.y0 * height, seen.x1 * width, seen.y1 * height});
    labels_.push_back(problem_.labels[i]);
  }
  first_.push_back(boxes_.size());
}

bool DetectionTrainer::step(const CancelToken& cancel) {
  if (steps() >= settings_.steps) return false;
  cancel.check();
  rows_.clear();
  boxes_.clear();
  labels_.clear();
  first_.assign(1, 0);
  const std::size_t batch = network_.options().batch;
  for (std::size_t i = 0; i < batch; ++i) choose(static_cast<std::size_t>(steps()) * batch + i);
  network_.forward(rows_, true);
  const auto value = loss_.evaluate(network_.logits(), network_.distances(), {first_, boxes_, labels_}, by_logits_,
                                    by_distances_);
  if (!std::isfinite(value.total())) throw Error(ErrorCode::invalid_argument, "the loss is no longer finite");
  network_.backward(by_logits_, by_distances_);
  std::copy(network_.gradient().begin(), network_.gradient().end(), gradient_.begin());
  optimiser_.step(network_.parameters(), gradient_);
  loss_value_ = value;
  collect();
  average_.update(flat_);
  return steps() < settings_.steps;
}

void DetectionTrainer::collect() {
  const auto parameters = network_.parameters(), statistics = network_.statistics();
  std::copy(parameters.begin(), parameters.end(), flat_.begin());
  std::copy(statistics.begin(), statistics.end(), flat_.begin() + static_cast<std::ptrdiff_t>(parameters.size()));
}

DetectionTrainer::State DetectionTrainer::state() const {
  const auto middle = flat_.begin() + static_cast<std::ptrdiff_t>(gradient_.size());
  return {{flat_.begin(), middle}, {middle, flat_.end()}, optimiser_.state(), average_.state()};
}

void DetectionTrainer::restore(State state) {
  if (state.parameters.size() != network_.parameters().size() ||
      state.statistics.size() != network_.statistics().size())
    throw Error(ErrorCode::invalid_argument, "this state belongs to a network of another size");
  optimiser_.restore(std::move(state.optimiser));
  average_.restore(std::move(state.average));
  std::copy(state.parameters.begin(), state.parameters.end(), network_.parameters().begin());
  std::copy(state.statistics.begin(), state.statistics.end(), network_.statistics().begin());
  collect();
}

}  // namespace silverprint
