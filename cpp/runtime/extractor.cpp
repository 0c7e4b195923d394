#include "runtime/extractor.h"

#include <array>
#include <utility>

#include "base/aligned.h"
#include "base/process.h"

namespace silverprint {

Extractor::Extractor(Session session, const PictureRule& rule) : session_(std::move(session)), rule_(rule) {}

std::vector<Tensor> Extractor::run(const Pixels& picture, const std::vector<std::string>& outputs,
                                   CancelToken& cancel) const {
  cancel.check();
  AlignedVector<float> tensor(3 * rule_.height * rule_.width);
  prepare(picture, rule_, kernels(), tensor.data());
  const std::array<std::int64_t, 4> shape{1, 3, static_cast<std::int64_t>(rule_.height),
                                          static_cast<std::int64_t>(rule_.width)};
  return session_.run(tensor, shape, outputs, cancel);
}

}  // namespace silverprint
