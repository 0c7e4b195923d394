#include "api/classifier.h"

#include <algorithm>
#include <array>
#include <utility>

#include "api/failure.h"
#include "api/find_runtime.h"

namespace silverprint::api {
namespace {

const std::string kInput = "image";
const std::vector<std::string> kOutputs{"targetProbability"};

ClassifierRecord record_of(const Session& session) {
  const auto json = session.metadata(kRecordKey);
  if (!json) throw Failure(SILVERPRINT_INVALID_MODEL, "not written by silverprint: it has no record of labels");
  ClassifierRecord record = parse_record(*json);

  const auto fits = [](const TensorDescription& tensor, const std::string& name,
                       const std::vector<std::int64_t>& shape) {
    return tensor.name == name && tensor.type == ort::kFloat && tensor.shape.size() == shape.size() &&
           std::equal(shape.begin() + 1, shape.end(), tensor.shape.begin() + 1);
  };
  const auto size = [](std::size_t n) { return static_cast<std::int64_t>(n); };
  const std::vector<std::int64_t> image{-1, 3, size(record.rule.height), size(record.rule.width)};
  const std::vector<std::int64_t> probabilities{-1, size(record.labels.size())};
  const auto& inputs = session.inputs();
  const auto& outputs = session.outputs();
  if (inputs.size() != 1 || !fits(inputs.front(), kInput, image) ||
      std::none_of(outputs.begin(), outputs.end(),
                   [&](const TensorDescription& output) { return fits(output, kOutputs.front(), probabilities); }))
    throw Failure(SILVERPRINT_INVALID_MODEL,
                  "its graph and its record do not belong together; the file is damaged");
  return record;
}

Session session_of(std::span<const char> model, const silverprint_options& options) {
  return {find_runtime(options), model, "CPUExecutionProvider", std::max(options.threads, 1)};
}

}  // namespace

Classifier::Classifier(std::span<const char> model, const silverprint_options& options)
    : Classifier(session_of(model, options)) {}

Classifier::Classifier(Session session)
    : record_(record_of(session)), extractor_(std::move(session), record_.rule) {}

void Classifier::predict(const Pixels& picture, float* probabilities) const {
  CancelToken never;
  copy(extractor_.run(picture, kOutputs, never), probabilities);
}

void Classifier::predict(std::span<const float> tensor, float* probabilities) const {
  const std::array<std::int64_t, 4> shape{1, 3, static_cast<std::int64_t>(rule().height),
                                          static_cast<std::int64_t>(rule().width)};
  CancelToken never;
  copy(extractor_.session().run(tensor, shape, kOutputs, never), probabilities);
}

void Classifier::copy(const std::vector<Tensor>& results, float* probabilities) const {
  const std::vector<float>& values = results.front().values;
  if (values.size() != labels().size())
    throw Failure(SILVERPRINT_INVALID_MODEL, "its graph gave another number of values than it has labels");
  std::copy(values.begin(), values.end(), probabilities);
}

}  // namespace silverprint::api
