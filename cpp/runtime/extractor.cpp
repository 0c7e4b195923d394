#include "runtime/extractor.h"

#include <array>
#include <utility>

#include "base/process.h"

namespace silverprint {

Extractor::Extractor(Session session, const PictureRule& rule) : session_(std::move(session)), rule_(rule) {}

std::vector<Tensor> Extractor::run(const Pixels& picture, const std::vector<std::string>& outputs,
                                   CancelToken& cancel) const {
  cancel.check();
  AlignedVector<float> tensor = take_tensor();
  prepare(picture, rule_, kernels(), tensor.data());
  const std::array<std::int64_t, 4> shape{1, 3, static_cast<std::int64_t>(rule_.height),
                                          static_cast<std::int64_t>(rule_.width)};
  std::vector<Tensor> results = session_.run(tensor, shape, outputs, cancel);
  give_back(std::move(tensor));
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
