#include "runtime/extractor.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/half.h"
#include "base/process.h"

namespace silverprint {
namespace {

// The rows of each of `more` below those of `results`.
void append(std::vector<Tensor>& results, const std::vector<Tensor>& more) {
  for (std::size_t i = 0; i < results.size(); ++i) {
    Tensor& to = results[i];
    const Tensor& from = more[i];
    const bool fits = !to.shape.empty() && to.shape.size() == from.shape.size() &&
                      std::equal(to.shape.begin() + 1, to.shape.end(), from.shape.begin() + 1);
    if (!fits) throw Error(ErrorCode::backbone, "an output has no row for each picture");
    to.shape[0] += from.shape[0];
    to.values.insert(to.values.end(), from.values.begin(), from.values.end());
  }
}

Error wrong_length(std::size_t expected) {
  return {ErrorCode::backbone, "the outputs for one picture are not " + std::to_string(expected) + " numbers"};
}

void convert(std::span<const float> values, const std::string& output, std::uint16_t* halves) {
  std::uint32_t largest = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    largest = std::max(largest, std::bit_cast<std::uint32_t>(values[i]) & 0x7fffffffu);
    halves[i] = to_half(values[i]);
  }
  if (largest <= std::bit_cast<std::uint32_t>(kLargestHalf)) return;
  for (const float value : values)
    if (std::isfinite(value) && std::abs(value) > kLargestHalf)
      throw Error(ErrorCode::backbone, "tensor '" + output + "' reaches " + std::to_string(std::lround(value)) +
                                           " and is kept in half precision, whose largest number is 65504: "
                                           "choose another tensor, or scale it down");
}

}  // namespace

Extractor::Extractor(Session session, const PictureRule& rule) : session_(std::move(session)), rule_(rule) {}

template <class Use>
void Extractor::for_each_tensor(const Pixels& picture, CancelToken& cancel, std::span<const View> views,
                                const Use& use) const {
  // First of all: in a forked child the mutex of the spare tensors may stay locked for ever.
  check_process();
  cancel.check();
  AlignedVector<float> prepared = take_tensor();
  prepare(picture, rule_, kernels(), prepared.data());
  const std::array<std::int64_t, 4> shape{1, 3, static_cast<std::int64_t>(rule_.height),
                                          static_cast<std::int64_t>(rule_.width)};
  use(prepared, shape);
  if (!views.empty()) {
    AlignedVector<float> tensor = take_tensor();
    for (const View& view : views) {
      prepare_view(picture, rule_, view, kernels(), prepared.data(), tensor.data());
      use(tensor, shape);
    }
    give_back(std::move(tensor));
  }
  give_back(std::move(prepared));
}

std::vector<Tensor> Extractor::run(const Pixels& picture, const std::vector<std::string>& outputs,
                                   CancelToken& cancel, std::span<const View> views) const {
  std::vector<Tensor> results;
  for_each_tensor(picture, cancel, views, [&](std::span<const float> tensor, std::span<const std::int64_t> shape) {
    std::vector<Tensor> found = session_.run(tensor, shape, outputs, cancel);
    if (!results.empty()) return append(results, found);
    results = std::move(found);
    for (Tensor& result : results) result.values.reserve(result.values.size() * (1 + views.size()));
  });
  return results;
}

void Extractor::run_half(const Pixels& picture, const std::vector<std::string>& outputs, CancelToken& cancel,
                         std::span<const View> views, std::span<std::uint16_t> rows) const {
  const std::size_t length = rows.size() / (1 + views.size());
  std::span<std::uint16_t> row = rows;
  for_each_tensor(picture, cancel, views, [&](std::span<const float> tensor, std::span<const std::int64_t> shape) {
    std::size_t used = 0;
    session_.run(tensor, shape, outputs, cancel,
                 [&](std::size_t output, std::span<const std::int64_t>, std::span<const float> values) {
                   if (values.size() > length - used) throw wrong_length(length);
                   convert(values, outputs[output], row.data() + used);
                   used += values.size();
                 });
    if (used != length) throw wrong_length(length);
    row = row.subspan(length);
  });
}

AlignedVector<float> Extractor::take_tensor() const {
  {
    std::lock_guard lock(mutex_);
    if (!spare_.empty()) {
      AlignedVector<float> tensor = std::move(spare_.back());
      spare_.pop_back();
      return tensor;
    }
  }
  return AlignedVector<float>(3 * rule_.height * rule_.width);
}

void Extractor::give_back(AlignedVector<float> tensor) const {
  std::lock_guard lock(mutex_);
  spare_.push_back(std::move(tensor));
}

}  // namespace silverprint
