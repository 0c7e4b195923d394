#pragma once
#include <string>
#include <vector>

#include "image/prepare.h"
#include "runtime/session.h"

namespace silverprint {

// From pixels to the outputs of a graph whose one input is the image tensor of a picture rule.
// run() may be called from many threads at once.
class Extractor {
 public:
  Extractor(Session session, const PictureRule& rule);

  const Session& session() const noexcept { return session_; }

  // The named outputs for one picture.
  std::vector<Tensor> run(const Pixels& picture, const std::vector<std::string>& outputs,
                          CancelToken& cancel) const;

 private:
  Session session_;
  PictureRule rule_;
};

}  // namespace silverprint
