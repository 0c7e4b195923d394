#pragma once
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/aligned.h"
#include "image/augment.h"
#include "runtime/session.h"

namespace silverprint {

// From pixels to the outputs of a graph whose one input is the image tensor of a picture rule.
// run() may be called from many threads at once.
class Extractor {
 public:
  Extractor(Session session, const PictureRule& rule);

  const Session& session() const noexcept { return session_; }

  // The named outputs for one picture, and one row more in each of them for every view, in order.
  // The picture is prepared once; a cancelled token stops between views, too.
  std::vector<Tensor> run(const Pixels& picture, const std::vector<std::string>& outputs, CancelToken& cancel,
                          std::span<const View> views = {}) const;

  // The named outputs, flattened and one behind the other, in half precision: a row for the picture
  // and one more for every view, in order, which fill `rows`. What is not finite stays so; throws
  // `backbone` for a finite number beyond the largest of half precision, and where a row has
  // another length than its share of `rows`.
  void run_half(const Pixels& picture, const std::vector<std::string>& outputs, CancelToken& cancel,
                std::span<const View> views, std::span<std::uint16_t> rows) const;

 private:
  // Calls use(tensor, shape) for the image tensor of the picture, then for those of its views.
  template <class Use>
  void for_each_tensor(const Pixels& picture, CancelToken& cancel, std::span<const View> views, const Use& use) const;

  AlignedVector<float> take_tensor() const;
  void give_back(AlignedVector<float> tensor) const;

  Session session_;
  PictureRule rule_;
  // Tensors of finished runs: fresh memory for each picture would cost more than preparing it.
  mutable std::mutex mutex_;
  mutable std::vector<AlignedVector<float>> spare_;
};

}  // namespace silverprint
