#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "runtime/library.h"

namespace silverprint {

// The name, element type (ONNX's number) and shape of an input or output; -1: not fixed.
struct TensorDescription {
  std::string name;
  int type;
  std::vector<std::int64_t> shape;
};

struct Tensor {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

// One graph made ready to run. run() may be called from many threads at once; each call uses
// `threads` threads, the caller's among them.
class Session {
 public:
  // `model` is a self-contained ONNX file; `provider` is ONNX Runtime's name, such as
  // "CPUExecutionProvider". Throws `backbone` for a graph that the runtime refuses.
  Session(RuntimeLibrary& library, std::span<const char> model, const std::string& provider, int threads);

  const std::vector<TensorDescription>& inputs() const noexcept { return inputs_; }
  const std::vector<TensorDescription>& outputs() const noexcept { return outputs_; }

  // The text under `key` in the file's metadata_props, where it has one.
  std::optional<std::string> metadata(const std::string& key) const;

  // Runs on one float32 input, (shape), not copied. Throws `cancelled` soon after the token is.
  std::vector<Tensor> run(std::span<const float> input, std::span<const std::int64_t> shape,
                          std::span<const std::string> outputs, CancelToken& cancel) const;

  // The same with each output, by its number, shape and values, shown where the runtime left it.
  using Look = std::function<void(std::size_t, std::span<const std::int64_t>, std::span<const float>)>;
  void run(std::span<const float> input, std::span<const std::int64_t> shape, std::span<const std::string> outputs,
           CancelToken& cancel, const Look& look) const;

 private:
  struct Release {
    const ort::Api* api;
    void operator()(ort::Session* session) const noexcept;
  };

  TensorDescription describe(std::size_t index, bool input) const;

  RuntimeLibrary* library_;
  std::unique_ptr<ort::Session, Release> session_;
  std::vector<TensorDescription> inputs_, outputs_;
};

}  // namespace silverprint
