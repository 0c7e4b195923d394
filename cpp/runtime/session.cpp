#include "runtime/session.h"

#include <algorithm>
#include <numeric>

#include "base/process.h"

namespace silverprint {
namespace {

// Calls a release function of the C ABI when it goes out of scope.
template <class T>
class Owned {
 public:
  Owned(const ort::Api& api, void (*release)(const ort::Api&, T*)) : api_(api), release_(release) {}
  ~Owned() {
    if (value) release_(api_, value);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;

  T* value = nullptr;

 private:
  const ort::Api& api_;
  void (*release_)(const ort::Api&, T*);
};

std::vector<std::int64_t> shape_of(const RuntimeLibrary& library, const ort::TensorInfo* info) {
  std::size_t rank = 0;
  library.check(library.api().get_dimensions_count(info, &rank));
  std::vector<std::int64_t> shape(rank);
  library.check(library.api().get_dimensions(info, shape.data(), rank));
  return shape;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

void append_provider(const RuntimeLibrary& library, ort::SessionOptions* options, const std::string& provider) {
  if (provider == "CPUExecutionProvider") return;
  const auto available = library.providers();
  if (std::find(available.begin(), available.end(), provider) == available.end())
    throw Error(ErrorCode::runtime, provider + ": not part of ONNX Runtime " + library.version() + " at " +
                                        library.path() + ", which has " + joined(available) +
                                        (provider.starts_with("CUDA") ? "; install onnxruntime-gpu" : ""));
  const ort::Api& api = library.api();
  if (provider == "CUDAExecutionProvider") {
    Owned<ort::CudaOptions> cuda(api, [](const ort::Api& a, ort::CudaOptions* p) { a.release_cuda_options(p); });
    library.check(api.create_cuda_options(&cuda.value));
    return library.check(api.append_cuda(options, cuda.value), ErrorCode::runtime,
                         provider + ": its CUDA libraries are missing or do not match");
  }
  // The generic call takes names without their common ending.
  const std::string name = provider.substr(0, provider.find("ExecutionProvider"));
  library.check(api.append_provider(options, name.c_str(), nullptr, nullptr, 0), ErrorCode::runtime, provider);
}

}  // namespace

void Session::Release::operator()(ort::Session* session) const noexcept {
  // The runtime would join threads that did not come along into a forked child and crash or wait
  // for ever, even where a static destructor is what ends the session: there it is never released.
  if (!was_forked()) api->release_session(session);
}

Session::Session(RuntimeLibrary& library, std::span<const char> model, const std::string& provider, int threads)
    : library_(&library), session_(nullptr, Release{&library.api()}) {
  check_process();
  const ort::Api& api = library.api();
  Owned<ort::SessionOptions> options(api,
                                     [](const ort::Api& a, ort::SessionOptions* p) { a.release_session_options(p); });
  library.check(api.create_session_options(&options.value));
  library.check(api.set_intra_op_threads(options.value, threads));
  library.check(api.set_inter_op_threads(options.value, 1));
  library.check(api.set_graph_optimization_level(options.value, ort::kOptimizeAll));
  // It makes padding of MaxPool from a Pad of zeros, which that takes as the least number, not as zero
  // (seen in ONNX Runtime 1.31, not in 1.19).
  library.check(api.add_session_config_entry(options.value, "optimization.disable_specified_optimizers", "Pad_Fusion"));
  append_provider(library, options.value, provider);
  ort::Session* session = nullptr;
  library.check(api.create_session_from_array(library.env(), model.data(), model.size(), options.value, &session),
                ErrorCode::backbone);
  session_.reset(session);
  std::size_t inputs = 0, outputs = 0;
  library.check(library.api().session_input_count(session, &inputs));
  library.check(library.api().session_output_count(session, &outputs));
  for (std::size_t i = 0; i < inputs; ++i) inputs_.push_back(describe(i, true));
  for (std::size_t i = 0; i < outputs; ++i) outputs_.push_back(describe(i, false));
}

TensorDescription Session::describe(std::size_t index, bool input) const {
  const ort::Api& api = library_->api();
  ort::Allocator* allocator = nullptr;
  library_->check(api.get_default_allocator(&allocator));
  char* name = nullptr;
  library_->check(input ? api.session_input_name(session_.get(), index, allocator, &name)
                        : api.session_output_name(session_.get(), index, allocator, &name));
  TensorDescription description{name, 0, {}};
  library_->check(api.allocator_free(allocator, name));
  Owned<ort::TypeInfo> type(api, [](const ort::Api& a, ort::TypeInfo* p) { a.release_type_info(p); });
  library_->check(input ? api.session_input_type(session_.get(), index, &type.value)
                        : api.session_output_type(session_.get(), index, &type.value));
  const ort::TensorInfo* info = nullptr;
  library_->check(api.cast_to_tensor_info(type.value, &info));
  if (info) {
    library_->check(api.get_element_type(info, &description.type));
    description.shape = shape_of(*library_, info);
  }
  return description;
}

std::optional<std::string> Session::metadata(const std::string& key) const {
  const ort::Api& api = library_->api();
  Owned<ort::ModelMetadata> entries(api, [](const ort::Api& a, ort::ModelMetadata* p) { a.release_model_metadata(p); });
  library_->check(api.session_model_metadata(session_.get(), &entries.value));
  ort::Allocator* allocator = nullptr;
  library_->check(api.get_default_allocator(&allocator));
  char* value = nullptr;
  library_->check(api.lookup_metadata(entries.value, allocator, key.c_str(), &value));
  if (!value) return std::nullopt;
  std::optional<std::string> text(value);
  library_->check(api.allocator_free(allocator, value));
  return text;
}

std::vector<Tensor> Session::run(std::span<const float> input, std::span<const std::int64_t> shape,
                                 std::span<const std::string> outputs, CancelToken& cancel) const {
  std::vector<Tensor> results;
  run(input, shape, outputs, cancel,
      [&](std::size_t, std::span<const std::int64_t> sizes, std::span<const float> values) {
        results.push_back({{sizes.begin(), sizes.end()}, {values.begin(), values.end()}});
      });
  return results;
}

void Session::run(std::span<const float> input, std::span<const std::int64_t> shape,
                  std::span<const std::string> outputs, CancelToken& cancel, const Look& look) const {
  check_process();
  const ort::Api& api = library_->api();
  const auto release_value = [](const ort::Api& a, ort::Value* p) { a.release_value(p); };
  Owned<ort::RunOptions> options(api, [](const ort::Api& a, ort::RunOptions* p) { a.release_run_options(p); });
  library_->check(api.create_run_options(&options.value));
  Owned<ort::MemoryInfo> memory(api, [](const ort::Api& a, ort::MemoryInfo* p) { a.release_memory_info(p); });
  library_->check(api.create_cpu_memory_info(ort::kArenaAllocator, ort::kDefaultMemory, &memory.value));
  Owned<ort::Value> tensor(api, release_value);
  library_->check(api.create_tensor_with_data(memory.value, const_cast<float*>(input.data()), input.size_bytes(),
                                              shape.data(), shape.size(), ort::kFloat, &tensor.value));
  std::vector<const char*> names;
  for (const auto& name : outputs) names.push_back(name.c_str());
  std::vector<ort::Value*> values(outputs.size(), nullptr);
  const char* input_name = inputs_.front().name.c_str();
  ort::Status* status = nullptr;
  {
    CancelToken::Scope scope(cancel, [&] {
      if (ort::Status* failed = api.run_options_set_terminate(options.value)) api.release_status(failed);
    });
    status = api.run(session_.get(), options.value, &input_name, &tensor.value, 1, names.data(), names.size(),
                     values.data());
  }
  std::vector<std::unique_ptr<Owned<ort::Value>>> owned;
  for (ort::Value* value : values) {
    owned.push_back(std::make_unique<Owned<ort::Value>>(api, release_value));
    owned.back()->value = value;
  }
  if (status && cancel.cancelled()) {
    api.release_status(status);
    cancel.check();
  }
  library_->check(status);
  for (std::size_t i = 0; i < values.size(); ++i) {
    Owned<ort::TensorInfo> info(api, [](const ort::Api& a, ort::TensorInfo* p) { a.release_tensor_info(p); });
    library_->check(api.get_tensor_shape(values[i], &info.value));
    int type = 0;
    library_->check(api.get_element_type(info.value, &type));
    if (type != ort::kFloat) throw Error(ErrorCode::backbone, "an output is not float32");
    const std::vector<std::int64_t> sizes = shape_of(*library_, info.value);
    const std::int64_t count = std::accumulate(sizes.begin(), sizes.end(), std::int64_t{1}, std::multiplies<>());
    void* data = nullptr;
    library_->check(api.get_tensor_data(values[i], &data));
    look(i, sizes, {static_cast<const float*>(data), static_cast<std::size_t>(count)});
  }
}

}  // namespace silverprint
