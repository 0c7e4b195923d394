#include "detect/assignment.h"

#include <cmath>

#include "detect/logistic.h"

namespace silverprint {
namespace {

// Cells [begin, end) of a row or column of `count` cells.
struct Range {
  std::ptrdiff_t begin, end;
};

// Those whose centre lies strictly between `low` and `high`.
Range inside(double low, double high, double stride, std::size_t count) {
  const auto last = static_cast<double>(count);
  const double begin = std::floor(low / stride - 0.5) + 1, end = std::ceil(high / stride - 0.5);
  return {static_cast<std::ptrdiff_t>(std::clamp(begin, 0.0, last)),
          static_cast<std::ptrdiff_t>(std::clamp(end, 0.0, last))};
}

// Those whose centre lies at most one cell from `middle`.
Range near(double middle, double stride, std::size_t count) {
  const auto last = static_cast<double>(count);
  const double begin = std::ceil(middle / stride - 1.5), end = std::floor(middle / stride + 0.5) + 1;
  return {static_cast<std::ptrdiff_t>(std::clamp(begin, 0.0, last)),
          static_cast<std::ptrdiff_t>(std::clamp(end, 0.0, last))};
}

bool empty(Range range) { return range.begin >= range.end; }
bool holds(Range range, std::ptrdiff_t i) { return range.begin <= i && i < range.end; }

// Of two ranges around the same middle, of which one holds the other.
Range wider(Range a, Range b) {
  if (empty(a)) return b;
  if (empty(b)) return a;
  return {std::min(a.begin, b.begin), std::max(a.end, b.end)};
}

}  // namespace

std::size_t count_cells(std::span<const GridLevel> levels) {
  std::size_t count = 0;
  for (const GridLevel& level : levels) count += level.width * level.height;
  return count;
}

void Assigner::Shortlist::add(const Candidate& candidate) {
  std::size_t place = count < kMostCells ? count++ : count - 1;
  for (; place > 0 && candidate.value > best[place - 1].value; --place) best[place] = best[place - 1];
  best[place] = candidate;
}

void Assigner::visit(std::span<const GridLevel> levels, std::size_t classes, const float* logits,
                     const float* distances, const Box& box, std::int32_t label, Shortlist& list) const {
  const double middle_x = (static_cast<double>(box.x0) + box.x1) / 2;
  const double middle_y = (static_cast<double>(box.y0) + box.y1) / 2;
  std::size_t first = 0;
  for (const GridLevel& level : levels) {
    const Range inner_rows = inside(box.y0, box.y1, level.stride, level.height);
    const Range near_rows = near(middle_y, level.stride, level.height);
    const Range inner_columns = inside(box.x0, box.x1, level.stride, level.width);
    const Range near_columns = near(middle_x, level.stride, level.width);
    const Range rows = wider(inner_rows, near_rows);
    for (std::ptrdiff_t j = rows.begin; j < rows.end; ++j) {
      const bool inner = holds(inner_rows, j), close = holds(near_rows, j);
      const Range columns = inner && close ? wider(inner_columns, near_columns) : inner ? inner_columns : near_columns;
      const float y = (static_cast<float>(j) + 0.5f) * level.stride;
      for (std::ptrdiff_t i = columns.begin; i < columns.end; ++i) {
        const std::size_t cell = first + static_cast<std::size_t>(j) * level.width + static_cast<std::size_t>(i);
        const float x = (static_cast<float>(i) + 0.5f) * level.stride;
        const double overlap = iou(box_around(x, y, distances + 4 * cell), box);
        const double cube = overlap * overlap * overlap, most = cube * cube;
        if (!list.wants(most)) continue;
        const double value = logistic(logits[cell * classes + static_cast<std::size_t>(label)]).p * most;
        if (list.wants(value)) list.add({cell, value, overlap});
      }
    }
    first += level.width * level.height;
  }
}

void Assigner::assign(std::span<const GridLevel> levels, std::size_t classes, const float* logits,
                      const float* distances, std::span<const Box> boxes, std::span<const std::int32_t> labels,
                      std::span<std::int32_t> owners, std::span<float> targets) {
  std::fill(owners.begin(), owners.end(), kNone);
  std::fill(targets.begin(), targets.end(), 0.0f);
  values_.assign(owners.size(), 0.0);
  lists_.resize(boxes.size());
  for (std::size_t b = 0; b < boxes.size(); ++b) {
    Shortlist& list = lists_[b];
    list.count = 0;
    visit(levels, classes, logits, distances, boxes[b], labels[b], list);
    for (const Candidate& candidate : std::span(list.best, list.count))
      if (candidate.value > values_[candidate.cell]) {
        values_[candidate.cell] = candidate.value;
        owners[candidate.cell] = static_cast<std::int32_t>(b);
      }
  }
  for (std::size_t b = 0; b < boxes.size(); ++b) {
    const auto own = [&](const Candidate& candidate) {
      return owners[candidate.cell] == static_cast<std::int32_t>(b);
    };
    double value = 0, overlap = 0;
    for (const Candidate& candidate : std::span(lists_[b].best, lists_[b].count))
      if (own(candidate)) {
        value = std::max(value, candidate.value);
        overlap = std::max(overlap, candidate.overlap);
      }
    for (const Candidate& candidate : std::span(lists_[b].best, lists_[b].count))
      if (own(candidate)) {
        targets[candidate.cell] = static_cast<float>(candidate.value / value * overlap);
        if (!(targets[candidate.cell] > 0)) owners[candidate.cell] = kNone;
      }
  }
}

}  // namespace silverprint
