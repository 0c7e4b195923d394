#include "stand_in_runtime.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace silverprint::ort {

struct Status {
  std::string message;
};
struct Env {};
struct Session {
  std::string model;
};
struct SessionOptions {
  int value = 0;
};
struct RunOptions {
  std::atomic<bool> terminate{false};
};
struct TensorInfo {
  std::vector<std::int64_t> shape;
};
struct TypeInfo {
  TensorInfo tensor;
};
struct Value {
  std::vector<std::int64_t> shape;
  std::vector<float> own;
  float* data;
};
struct MemoryInfo {
  int value = 0;
};
struct Allocator {};
struct ModelMetadata {
  std::string text;
};

}  // namespace silverprint::ort

namespace silverprint::sanitized {
namespace {

using namespace ort;

std::atomic<bool> hold{false};
std::atomic<int> under_way{0};
std::array<const void*, 300> table{};
Allocator allocator;
Env environment;

template <int Index, class R, class... Args>
void put(Function<Index, R(Args...)> Api::*, R (*function)(Args...)) {
  table[Index] = reinterpret_cast<const void*>(function);
}

template <class T>
Status* make(T** out) {
  *out = new T{};
  return nullptr;
}

template <class T>
void release(T* object) {
  delete object;
}

Status* name(const char* text, char** out) {
  *out = strdup(text);
  return nullptr;
}

Status* run(ort::Session*, const RunOptions* options, const char* const*, const Value* const* inputs, std::size_t,
            const char* const*, std::size_t outputs, Value** values) {
  under_way.fetch_add(1);
  while (hold.load() && !options->terminate.load()) std::this_thread::yield();
  under_way.fetch_sub(1);
  if (options->terminate.load()) return new Status{"Exiting due to terminate flag being set to true."};
  for (std::size_t i = 0; i < outputs; ++i) {
    std::vector<float> own(kClasses);
    for (std::size_t c = 0; c < kClasses; ++c) own[c] = inputs[0]->data[0] + static_cast<float>(c);
    values[i] = new Value{{1, kClasses}, std::move(own), nullptr};
    values[i]->data = values[i]->own.data();
  }
  return nullptr;
}

Status* create_session(const Env*, const void* model, std::size_t size, const SessionOptions*, ort::Session** out) {
  const std::string text(static_cast<const char*>(model), size);
  if (text.empty()) return new Status{"Load model failed:Protobuf parsing failed."};
  *out = new ort::Session{text};
  return nullptr;
}

Status* create_tensor(const MemoryInfo*, void* data, std::size_t, const std::int64_t* shape, std::size_t rank, int,
                      Value** out) {
  *out = new Value{{shape, shape + rank}, {}, static_cast<float*>(data)};
  return nullptr;
}

Status* one(const ort::Session*, std::size_t* count) {
  *count = 1;
  return nullptr;
}

void fill_table() {
  put(&Api::get_error_message, +[](const Status* status) { return status->message.c_str(); });
  put(&Api::create_env_with_custom_logger, +[](LoggingFunction, void*, int, const char*, Env** out) -> Status* {
    *out = &environment;
    return nullptr;
  });
  put(&Api::disable_telemetry_events, +[](const Env*) -> Status* { return nullptr; });
  put(&Api::create_session_from_array, &create_session);
  put(&Api::run, &run);
  put(&Api::create_session_options, &make<SessionOptions>);
  put(&Api::set_graph_optimization_level, +[](SessionOptions*, int) -> Status* { return nullptr; });
  put(&Api::add_session_config_entry, +[](SessionOptions*, const char*, const char*) -> Status* { return nullptr; });
  put(&Api::set_intra_op_threads, +[](SessionOptions*, int) -> Status* { return nullptr; });
  put(&Api::set_inter_op_threads, +[](SessionOptions*, int) -> Status* { return nullptr; });
  put(&Api::session_input_count, &one);
  put(&Api::session_output_count, &one);
  put(&Api::session_input_type, +[](const ort::Session*, std::size_t, TypeInfo** out) -> Status* {
    *out = new TypeInfo{{{-1, 3, kHeight, kWidth}}};
    return nullptr;
  });
  put(&Api::session_output_type, +[](const ort::Session*, std::size_t, TypeInfo** out) -> Status* {
    *out = new TypeInfo{{{-1, kClasses}}};
    return nullptr;
  });
  put(&Api::session_input_name,
      +[](const ort::Session*, std::size_t, Allocator*, char** out) { return name("image", out); });
  put(&Api::session_output_name,
      +[](const ort::Session*, std::size_t, Allocator*, char** out) { return name("targetProbability", out); });
  put(&Api::create_run_options, &make<RunOptions>);
  put(&Api::run_options_set_terminate, +[](RunOptions* options) -> Status* {
    options->terminate.store(true);
    return nullptr;
  });
  put(&Api::create_tensor_with_data, &create_tensor);
  put(&Api::get_tensor_data, +[](Value* value, void** out) -> Status* {
    *out = value->data;
    return nullptr;
  });
  put(&Api::cast_to_tensor_info, +[](const TypeInfo* type, const TensorInfo** out) -> Status* {
    *out = &type->tensor;
    return nullptr;
  });
  put(&Api::get_element_type, +[](const TensorInfo*, int* out) -> Status* {
    *out = kFloat;
    return nullptr;
  });
  put(&Api::get_dimensions_count, +[](const TensorInfo* info, std::size_t* out) -> Status* {
    *out = info->shape.size();
    return nullptr;
  });
  put(&Api::get_dimensions, +[](const TensorInfo* info, std::int64_t* out, std::size_t rank) -> Status* {
    std::memcpy(out, info->shape.data(), rank * sizeof(std::int64_t));
    return nullptr;
  });
  put(&Api::get_tensor_shape, +[](const Value* value, TensorInfo** out) -> Status* {
    *out = new TensorInfo{value->shape};
    return nullptr;
  });
  put(&Api::create_cpu_memory_info, +[](int, int, MemoryInfo** out) { return make(out); });
  put(&Api::allocator_free, +[](Allocator*, void* memory) -> Status* {
    std::free(memory);
    return nullptr;
  });
  put(&Api::get_default_allocator, +[](Allocator** out) -> Status* {
    *out = &allocator;
    return nullptr;
  });
  put(&Api::session_model_metadata, +[](const ort::Session* session, ModelMetadata** out) -> Status* {
    *out = new ModelMetadata{session->model};
    return nullptr;
  });
  put(&Api::lookup_metadata, +[](const ModelMetadata* entries, Allocator*, const char*, char** out) -> Status* {
    return name(entries->text.c_str(), out);
  });
  put(&Api::release_status, &release<Status>);
  put(&Api::release_memory_info, &release<MemoryInfo>);
  put(&Api::release_session, &release<ort::Session>);
  put(&Api::release_value, &release<Value>);
  put(&Api::release_run_options, &release<RunOptions>);
  put(&Api::release_type_info, &release<TypeInfo>);
  put(&Api::release_tensor_info, &release<TensorInfo>);
  put(&Api::release_session_options, &release<SessionOptions>);
  put(&Api::release_model_metadata, &release<ModelMetadata>);
}

}  // namespace

void hold_runs(bool on) { hold.store(on); }

int runs() { return under_way.load(); }

const ApiBase* stand_in_runtime() {
  static const ApiBase base = [] {
    fill_table();
    return ApiBase{+[](std::uint32_t) -> Table { return table.data(); }, +[] { return "1.19.0"; }};
  }();
  return &base;
}

}  // namespace silverprint::sanitized
