#pragma once
#include <span>
#include <string>
#include <vector>

#include "api/record.h"
#include "include/silverprint.h"
#include "runtime/extractor.h"

namespace silverprint::api {

// A model file made ready to predict; immutable.
class Classifier {
 public:
  // Throws Failure or Error.
  Classifier(std::span<const char> model, const silverprint_options& options);

  const std::vector<std::string>& labels() const noexcept { return record_.labels; }
  const PictureRule& rule() const noexcept { return record_.rule; }

  // `probabilities` has room for one float for each label.
  void predict(const Pixels& picture, float* probabilities) const;
  void predict(std::span<const float> tensor, float* probabilities) const;

 private:
  explicit Classifier(Session session);
  void copy(const std::vector<Tensor>& results, float* probabilities) const;

  ClassifierRecord record_;
  Extractor extractor_;
};

}  // namespace silverprint::api
