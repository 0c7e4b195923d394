#pragma once
// The part of ONNX Runtime's C ABI that we call: its function table by index. The table is
// append-only, so an index and signature hold for every later version.
#include <cstddef>
#include <cstdint>

namespace silverprint::ort {

struct Status;
struct Env;
struct Session;
struct SessionOptions;
struct RunOptions;
struct Value;
struct MemoryInfo;
struct Allocator;
struct TypeInfo;
struct TensorInfo;
struct ModelMetadata;
struct CudaOptions;

using Table = const void* const*;

struct ApiBase {
  Table (*get_api)(std::uint32_t version);
  const char* (*get_version)();
};

// The first ONNX Runtime whose wheel carries the library, 1.19, speaks version 19.
inline constexpr std::uint32_t kApiVersion = 19;

template <int Index, class F>
struct Function;

template <int Index, class R, class... Args>
struct Function<Index, R(Args...)> {
  Table table;
  R operator()(Args... args) const {
    return reinterpret_cast<R (*)(Args...)>(const_cast<void*>(table[Index]))(args...);
  }
};

enum LoggingLevel : int { kLogError = 3 };
enum OptimizationLevel : int { kOptimizeAll = 99 };
enum AllocatorType : int { kArenaAllocator = 1 };
enum MemoryType : int { kDefaultMemory = 0 };
enum ElementType : int { kFloat = 1 };

using LoggingFunction = void (*)(void*, int level, const char* category, const char* id, const char* location,
                                 const char* message);

struct Api {
  explicit Api(Table t)
      : get_error_message{t},
        create_env_with_custom_logger{t},
        disable_telemetry_events{t},
        create_session_from_array{t},
        run{t},
        create_session_options{t},
        set_graph_optimization_level{t},
        set_intra_op_threads{t},
        set_inter_op_threads{t},
        session_input_count{t},
        session_output_count{t},
        session_input_type{t},
        session_output_type{t},
        session_input_name{t},
        session_output_name{t},
        create_run_options{t},
        run_options_set_terminate{t},
        create_tensor_with_data{t},
        get_tensor_data{t},
        cast_to_tensor_info{t},
        get_element_type{t},
        get_dimensions_count{t},
        get_dimensions{t},
        get_tensor_shape{t},
        create_cpu_memory_info{t},
        allocator_free{t},
        get_default_allocator{t},
        session_model_metadata{t},
        lookup_metadata{t},
        get_available_providers{t},
        release_available_providers{t},
        add_session_config_entry{t},
        append_cuda{t},
        create_cuda_options{t},
        append_provider{t},
        get_build_info{t},
        release_status{t},
        release_memory_info{t},
        release_session{t},
        release_value{t},
        release_run_options{t},
        release_type_info{t},
        release_tensor_info{t},
        release_session_options{t},
        release_model_metadata{t},
        release_cuda_options{t} {}

  Function<2, const char*(const Status*)> get_error_message;
  Function<4, Status*(LoggingFunction, void*, int, const char*, Env**)> create_env_with_custom_logger;
  Function<6, Status*(const Env*)> disable_telemetry_events;
  Function<8, Status*(const Env*, const void*, std::size_t, const SessionOptions*, Session**)>
      create_session_from_array;
  Function<9, Status*(Session*, const RunOptions*, const char* const*, const Value* const*, std::size_t,
                      const char* const*, std::size_t, Value**)>
      run;
  Function<10, Status*(SessionOptions**)> create_session_options;
  Function<23, Status*(SessionOptions*, int)> set_graph_optimization_level;
  Function<24, Status*(SessionOptions*, int)> set_intra_op_threads;
  Function<25, Status*(SessionOptions*, int)> set_inter_op_threads;
  Function<30, Status*(const Session*, std::size_t*)> session_input_count;
  Function<31, Status*(const Session*, std::size_t*)> session_output_count;
  Function<33, Status*(const Session*, std::size_t, TypeInfo**)> session_input_type;
  Function<34, Status*(const Session*, std::size_t, TypeInfo**)> session_output_type;
  Function<36, Status*(const Session*, std::size_t, Allocator*, char**)> session_input_name;
  Function<37, Status*(const Session*, std::size_t, Allocator*, char**)> session_output_name;
  Function<39, Status*(RunOptions**)> create_run_options;
  Function<46, Status*(RunOptions*)> run_options_set_terminate;
  Function<49, Status*(const MemoryInfo*, void*, std::size_t, const std::int64_t*, std::size_t, int, Value**)>
      create_tensor_with_data;
  Function<51, Status*(Value*, void**)> get_tensor_data;
  Function<55, Status*(const TypeInfo*, const TensorInfo**)> cast_to_tensor_info;
  Function<60, Status*(const TensorInfo*, int*)> get_element_type;
  Function<61, Status*(const TensorInfo*, std::size_t*)> get_dimensions_count;
  Function<62, Status*(const TensorInfo*, std::int64_t*, std::size_t)> get_dimensions;
  Function<65, Status*(const Value*, TensorInfo**)> get_tensor_shape;
  Function<69, Status*(int, int, MemoryInfo**)> create_cpu_memory_info;
  Function<76, Status*(Allocator*, void*)> allocator_free;
  Function<78, Status*(Allocator**)> get_default_allocator;
  Function<111, Status*(const Session*, ModelMetadata**)> session_model_metadata;
  Function<116, Status*(const ModelMetadata*, Allocator*, const char*, char**)> lookup_metadata;
  Function<125, Status*(char***, int*)> get_available_providers;
  Function<126, Status*(char**, int)> release_available_providers;
  Function<130, Status*(SessionOptions*, const char*, const char*)> add_session_config_entry;
  Function<204, Status*(SessionOptions*, const CudaOptions*)> append_cuda;
  Function<205, Status*(CudaOptions**)> create_cuda_options;
  Function<216, Status*(SessionOptions*, const char*, const char* const*, const char* const*, std::size_t)>
      append_provider;
  Function<254, const char*()> get_build_info;
  Function<93, void(Status*)> release_status;
  Function<94, void(MemoryInfo*)> release_memory_info;
  Function<95, void(Session*)> release_session;
  Function<96, void(Value*)> release_value;
  Function<97, void(RunOptions*)> release_run_options;
  Function<98, void(TypeInfo*)> release_type_info;
  Function<99, void(TensorInfo*)> release_tensor_info;
  Function<100, void(SessionOptions*)> release_session_options;
  Function<118, void(ModelMetadata*)> release_model_metadata;
  Function<208, void(CudaOptions*)> release_cuda_options;
};

}  // namespace silverprint::ort
