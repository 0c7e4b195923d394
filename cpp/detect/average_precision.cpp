#include "detect/average_precision.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/process.h"

namespace silverprint {
namespace {

constexpr std::size_t kThresholds = AveragePrecision::kThresholds, kRecalls = AveragePrecision::kRecalls;
constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN();

enum class Outcome : std::uint8_t { wrong, right, ignored };

// numpy.linspace, whose last digits decide about ties.
double step_from(double low, double high, std::size_t i, std::size_t count) {
  const double step = (high - low) / static_cast<double>(count - 1);
  return i + 1 == count ? high : static_cast<double>(i) * step + low;
}

// Boxes of each class, in the order given.
struct ByClass {
  std::vector<std::size_t> first, order;
  ByClass(std::span<const std::int32_t> labels, std::size_t classes) : first(classes + 1), order(labels.size()) {
    for (const std::int32_t label : labels) ++first[static_cast<std::size_t>(label) + 1];
    std::partial_sum(first.begin(), first.end(), first.begin());
    std::vector<std::size_t> next = first;
    for (std::size_t i = 0; i < labels.size(); ++i) order[next[static_cast<std::size_t>(labels[i])]++] = i;
  }
  std::span<const std::size_t> of(std::size_t label) const {
    return std::span(order).subspan(first[label], first[label + 1] - first[label]);
  }
};

// The boxes of `picture` at the head of `rest`, which they leave.
std::span<const std::size_t> take(std::span<const std::size_t>& rest, std::span<const std::size_t> first,
                                  std::size_t picture) {
  std::size_t count = 0;
  while (count < rest.size() && rest[count] < first[picture + 1]) ++count;
  const auto taken = rest.first(count);
  rest = rest.subspan(count);
  return taken;
}

double overlap(const ExactBox& found, const ExactBox& truth, bool crowd) {
  if (!crowd) return iou(found, truth);
  const double own = area(found);
  return own > 0 ? intersection(found, truth) / own : 0;
}

// One class over all pictures.
class ClassMeasure {
 public:
  ClassMeasure(const FoundBatch& found, const TruthBatch& truth, std::span<std::int64_t> matches)
      : found_(found), truth_(truth), matches_(matches) {}

  void match_picture(std::span<const std::size_t> found, std::span<const std::size_t> truth) {
    order_.assign(found.begin(), found.end());
    std::stable_sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) {
      return found_.scores[a] > found_.scores[b];
    });
    for (std::size_t i = AveragePrecision::kMostFound; i < order_.size(); ++i)
      matches_[order_[i]] = AveragePrecision::kIgnored;
    order_.resize(std::min(order_.size(), AveragePrecision::kMostFound));
    truths_.assign(truth.begin(), truth.end());
    const auto crowds = std::stable_partition(truths_.begin(), truths_.end(),
                                              [&](std::size_t i) { return truth_.crowd[i] == 0; });
    const auto single = static_cast<std::size_t>(crowds - truths_.begin());
    count_ += single;
    overlaps_.clear();
    for (const std::size_t f : order_) {
      scores_.push_back(found_.scores[f]);
      for (const std::size_t t : truths_)
        overlaps_.push_back(overlap(found_.boxes[f], truth_.boxes[t], truth_.crowd[t] != 0));
    }
    for (std::size_t threshold = 0; threshold < kThresholds; ++threshold) match(threshold, single);
  }

  std::size_t count() const { return count_; }

  void accumulate(std::size_t label, AveragePrecision& result) {
    order_.resize(scores_.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::stable_sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) { return scores_[a] > scores_[b]; });
    for (std::size_t t = 0; t < kThresholds; ++t) {
      double* precision = t == 0 ? result.precision.data() + label * kRecalls : curve_;
      double* scores = t == 0 ? result.scores.data() + label * kRecalls : nullptr;
      result.recall[label * kThresholds + t] = trace(outcomes_[t], precision, scores);
      result.average[label * kThresholds + t] =
          std::accumulate(precision, precision + kRecalls, 0.0) / static_cast<double>(kRecalls);
    }
  }

 private:
  // Greedily, best score first; `overlaps_` is (found, true), with crowds from `single` on.
  void match(std::size_t threshold, std::size_t single) {
    const double least = step_from(0.5, 0.95, threshold, kThresholds);
    taken_.assign(truths_.size(), 0);
    for (std::size_t f = 0; f < order_.size(); ++f) {
      const double* own = overlaps_.data() + f * truths_.size();
      double best = least;
      std::size_t chosen = truths_.size();
      for (std::size_t t = 0; t < truths_.size(); ++t) {
        if (t >= single && chosen < single) break;
        if ((taken_[t] != 0 && t < single) || own[t] < best) continue;
        best = own[t];
        chosen = t;
      }
      const bool matched = chosen < truths_.size();
      if (matched) taken_[chosen] = 1;
      outcomes_[threshold].push_back(!matched ? Outcome::wrong : chosen < single ? Outcome::right : Outcome::ignored);
      if (threshold == 0)
        matches_[order_[f]] = !matched           ? AveragePrecision::kFalse
                              : chosen < single ? static_cast<std::int64_t>(truths_[chosen])
                                                : AveragePrecision::kIgnored;
    }
  }

  // Fills the curve of one threshold; returns the recall reached.
  double trace(const std::vector<Outcome>& outcomes, double* precision, double* scores) {
    precisions_.clear();
    recalls_.clear();
    double right = 0, wrong = 0;
    for (const std::size_t i : order_) {
      right += outcomes[i] == Outcome::right;
      wrong += outcomes[i] == Outcome::wrong;
      recalls_.push_back(right / static_cast<double>(count_));
      precisions_.push_back(right / (wrong + right + std::numeric_limits<double>::epsilon()));
    }
    for (std::size_t i = precisions_.size(); i-- > 1;) precisions_[i - 1] = std::max(precisions_[i - 1], precisions_[i]);
    for (std::size_t r = 0; r < kRecalls; ++r) {
      const auto at = std::lower_bound(recalls_.begin(), recalls_.end(), step_from(0, 1, r, kRecalls)) - recalls_.begin();
      const auto i = static_cast<std::size_t>(at);
      precision[r] = i < precisions_.size() ? precisions_[i] : 0;
      if (scores != nullptr) scores[r] = i < precisions_.size() ? scores_[order_[i]] : kNotANumber;
    }
    return recalls_.empty() ? 0 : recalls_.back();
  }

  const FoundBatch& found_;
  const TruthBatch& truth_;
  std::span<std::int64_t> matches_;
  std::size_t count_ = 0;
  std::vector<double> scores_;  // of all found boxes that count
  std::array<std::vector<Outcome>, kThresholds> outcomes_;
  std::vector<std::size_t> order_, truths_;  // of the picture at hand
  std::vector<double> overlaps_;
  std::vector<std::uint8_t> taken_;
  std::vector<double> precisions_, recalls_;
  double curve_[kRecalls];
};

}  // namespace

AveragePrecision average_precision(const FoundBatch& found, const TruthBatch& truth, std::size_t classes, int threads) {
  AveragePrecision result{std::vector<double>(classes * kThresholds, kNotANumber),
                          std::vector<double>(classes * kThresholds, kNotANumber),
                          std::vector<double>(classes * kRecalls, kNotANumber),
                          std::vector<double>(classes * kRecalls, kNotANumber),
                          std::vector<std::int64_t>(classes),
                          std::vector<std::int64_t>(found.boxes.size())};
  const ByClass found_by_class(found.labels, classes), truth_by_class(truth.labels, classes);
  pool().run(classes, threads, [&](std::size_t label) {
    ClassMeasure measure(found, truth, result.matches);
    auto found_rest = found_by_class.of(label), truth_rest = truth_by_class.of(label);
    for (std::size_t picture = 0; picture + 1 < found.first.size(); ++picture) {
      const auto own_found = take(found_rest, found.first, picture);
      const auto own_truth = take(truth_rest, truth.first, picture);
      if (!own_found.empty() || !own_truth.empty()) measure.match_picture(own_found, own_truth);
    }
    result.counts[label] = static_cast<std::int64_t>(measure.count());
    if (measure.count() > 0) measure.accumulate(label, result);
  });
  return result;
}

}  // namespace silverprint
