#include "detect/loss.h"

#include <algorithm>
#include <utility>

#include "base/process.h"
#include "detect/logistic.h"

namespace silverprint {
namespace {

constexpr std::size_t kBlock = 1024;
constexpr std::size_t kSumLanes = 16;

// In double and in sixteen lanes that end in a tree.
double sum(std::span<const float> values) {
  double lanes[kSumLanes] = {};
  std::size_t i = 0;
  for (; i + kSumLanes <= values.size(); i += kSumLanes)
    for (std::size_t l = 0; l < kSumLanes; ++l) lanes[l] += static_cast<double>(values[i + l]);
  for (; i < values.size(); ++i) lanes[i % kSumLanes] += static_cast<double>(values[i]);
  for (std::size_t step = kSumLanes / 2; step > 0; step /= 2)
    for (std::size_t l = 0; l < step; ++l) lanes[l] += lanes[l + step];
  return lanes[0];
}

float negative_cost(const Logistic& f) { return DetectionLoss::kNegativeWeight * f.p * f.p * f.softplus; }

}  // namespace

DetectionLoss::DetectionLoss(std::vector<GridLevel> levels, std::size_t classes, int threads)
    : levels_(std::move(levels)), cells_(count_cells(levels_)), classes_(classes), threads_(threads) {}

// All cells as if they had no box.
double DetectionLoss::add_negatives(std::span<const float> logits, float scale, std::span<float> by_logits) const {
  float costs[kBlock];
  double cost = 0;
  for (std::size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const std::size_t count = std::min(kBlock, logits.size() - begin);
    const float* x = logits.data() + begin;
    float* by_x = by_logits.data() + begin;
    for (std::size_t i = 0; i < count; ++i) {
      const Logistic f = logistic(x[i]);
      costs[i] = negative_cost(f);
      by_x[i] = scale * kNegativeWeight * f.p * f.p * (2.0f * (1.0f - f.p) * f.softplus + f.p);
    }
    cost += sum({costs, count});
  }
  return cost;
}

// The cells with a box, over what add_negatives() has given them.
DetectionLoss::Value DetectionLoss::add_positives(std::size_t picture, const float* logits, const float* distances,
                                                  const BoxBatch& batch, double scale, float* by_logits,
                                                  float* by_distances) const {
  Value value;
  const std::int32_t* owners = owners_.data() + picture * cells_;
  const float* targets = targets_.data() + picture * cells_;
  std::size_t first = 0;
  for (const GridLevel& level : levels_) {
    for (std::size_t c = 0; c < level.width * level.height; ++c) {
      const std::size_t cell = first + c;
      if (owners[cell] == Assigner::kNone) continue;
      const std::size_t box = batch.first[picture] + static_cast<std::size_t>(owners[cell]);
      const double target = targets[cell];

      const std::size_t place = cell * classes_ + static_cast<std::size_t>(batch.labels[box]);
      const Logistic f = logistic(logits[place]);
      value.classification +=
          target * (static_cast<double>(f.softplus) - target * logits[place]) - static_cast<double>(negative_cost(f));
      by_logits[place] = static_cast<float>(scale * target * (f.p - target));

      const float x = (static_cast<float>(c % level.width) + 0.5f) * level.stride;
      const float y = (static_cast<float>(c / level.width) + 0.5f) * level.stride;
      const Giou g = giou(box_around(x, y, distances + 4 * cell), batch.boxes[box]);
      value.boxes += target * (1 - g.value);
      const double factor = kBoxWeight * scale * target;
      const double by[4] = {g.x0, g.y0, -g.x1, -g.y1};
      for (std::size_t k = 0; k < 4; ++k) by_distances[4 * cell + k] = static_cast<float>(factor * by[k]);
    }
    first += level.width * level.height;
  }
  return value;
}

DetectionLoss::Value DetectionLoss::evaluate(std::span<const float> logits, std::span<const float> distances,
                                             const BoxBatch& batch, std::span<float> by_logits,
                                             std::span<float> by_distances) {
  const std::size_t pictures = batch.first.size() - 1, scores = cells_ * classes_;
  if (assigners_.size() < pictures) assigners_.resize(pictures);
  owners_.resize(pictures * cells_);
  targets_.resize(pictures * cells_);
  values_.resize(pictures);
  pool().run(pictures, threads_, [&](std::size_t p) {
    const std::size_t begin = batch.first[p], count = batch.first[p + 1] - begin;
    const std::span targets = std::span(targets_).subspan(p * cells_, cells_);
    assigners_[p].assign(levels_, classes_, logits.data() + p * scores, distances.data() + p * 4 * cells_,
                         batch.boxes.subspan(begin, count), batch.labels.subspan(begin, count),
                         std::span(owners_).subspan(p * cells_, cells_), targets);
    values_[p].targets = sum(targets);
  });
  Value total;
  for (const Value& value : values_) total.targets += value.targets;
  const double scale = 1 / std::max(1.0, total.targets);
  pool().run(pictures, threads_, [&](std::size_t p) {
    const float* own_logits = logits.data() + p * scores;
    float* own_by_logits = by_logits.data() + p * scores;
    float* own_by_distances = by_distances.data() + p * 4 * cells_;
    const double negatives =
        add_negatives({own_logits, scores}, static_cast<float>(scale), {own_by_logits, scores});
    std::fill_n(own_by_distances, 4 * cells_, 0.0f);
    values_[p] =
        add_positives(p, own_logits, distances.data() + p * 4 * cells_, batch, scale, own_by_logits, own_by_distances);
    values_[p].classification += negatives;
  });
  for (const Value& value : values_) {
    total.classification += scale * value.classification;
    total.boxes += scale * value.boxes;
  }
  return total;
}

}  // namespace silverprint
