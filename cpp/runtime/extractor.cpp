#include "runtime/extractor.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
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

}  // namespace

Extractor::Extractor(Session session, const PictureRule& rule) : session_(std::move(session)), rule_(rule) {}

std::vector<Tensor> Extractor::run(const Pixels& picture, const std::vector<std::string>& outputs,
                                   CancelToken& cancel, std::span<const View> views) const {
  // First of all: in a forked child the mutex of the spare tensors may stay locked for ever.
  check_process();
  cancel.check();
  AlignedVector<float> prepared = take_tensor();
  prepare(picture, rule_, kernels(), prepared.data());
  const std::array<std::int64_t, 4> shape{1, 3, static_cast<std::int64_t>(rule_.height),
                                          static_cast<std::int64_t>(rule_.width)};
  std::vector<Tensor> results = session_.run(prepared, shape, outputs, cancel);
  if (!views.empty()) {
    for (Tensor& result : results) result.values.reserve(result.values.size() * (1 + views.size()));
    AlignedVector<float> tensor = take_tensor();
    for (const View& view : views) {
      prepare_view(picture, rule_, view, kernels(), prepared.data(), tensor.data());
      append(results, session_.run(tensor, shape, outputs, cancel));
    }
    give_back(std::move(tensor));
  }
  give_back(std::move(prepared));
  return results;
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
