#include "base/process.h"
#include "bindings/image.h"
#include "runtime/extractor.h"

namespace silverprint::bindings {
namespace {

py::typing::List<Array<float>> to_arrays(const std::vector<Tensor>& tensors) {
  py::typing::List<Array<float>> arrays;
  for (const Tensor& tensor : tensors) arrays.append(Array<float>(tensor.shape, tensor.values.data()));
  return arrays;
}

std::vector<View> make_views(const std::vector<ViewTuple>& views) {
  std::vector<View> made;
  for (const ViewTuple& each : views) made.push_back(make_view(each));
  return made;
}

using Description = std::tuple<std::string, int, std::vector<std::int64_t>>;

std::vector<Description> describe(const std::vector<TensorDescription>& tensors) {
  std::vector<Description> list;
  for (const auto& tensor : tensors) list.emplace_back(tensor.name, tensor.type, tensor.shape);
  return list;
}

Session make_session(const std::string& library, const std::string& model, const std::string& provider,
                     int threads) {
  return {runtime_library(library), std::span<const char>(model.data(), model.size()), provider, threads};
}

}  // namespace

void bind_runtime(py::module_& module) {
  using release = py::call_guard<Unlocked>;

  py::class_<CancelToken>(module, "CancelToken", "A flag that any thread may raise; runs under way stop soon after.")
      .def(py::init<>())
      .def("cancel", &CancelToken::cancel, release())
      .def_property_readonly("cancelled", &CancelToken::cancelled);

  module.def(
      "library_info",
      [](const std::string& path) {
        const RuntimeLibrary& library = runtime_library(path);
        py::typing::Dict<py::str, py::object> info;
        info["path"] = py::cast(library.path());
        info["version"] = library.version();
        info["providers"] = library.providers();
        info["build"] = library.build_info();
        return info;
      },
      py::arg("path"), "Path, version, providers and build of the ONNX Runtime library at `path`; loads it.");

  py::class_<Extractor>(module, "Extractor",
                        "A graph made ready to run on pictures. Thread-safe: run() may be called from many threads.")
      .def(py::init([](const std::string& library, const py::bytes& model, const std::string& provider, int threads,
                       std::size_t height, std::size_t width, const std::string& crop_and_scale) {
             const PictureRule rule = make_rule(height, width, crop_and_scale);
             const std::string bytes = model;
             const Unlocked unlocked;
             return std::make_unique<Extractor>(make_session(library, bytes, provider, threads), rule);
           }),
           py::arg("library"), py::arg("model"), py::arg("provider"), py::arg("threads"), py::arg("height"),
           py::arg("width"), py::arg("crop_and_scale"))
      .def_property_readonly("inputs", [](const Extractor& e) { return describe(e.session().inputs()); },
                             "(name, ONNX element type, shape) of each input; -1 where a size is not fixed.")
      .def_property_readonly("outputs", [](const Extractor& e) { return describe(e.session().outputs()); })
      .def(
          "run",
          [](const Extractor& extractor, const py::array_t<std::uint8_t>& picture,
             const std::vector<std::string>& outputs, CancelToken& cancel, const std::string& order,
             const std::vector<ViewTuple>& views) {
            const Pixels pixels = make_pixels(picture, order);
            const std::vector<View> altered = make_views(views);
            std::vector<Tensor> tensors;
            {
              const Unlocked unlocked;
              tensors = extractor.run(pixels, outputs, cancel, altered);
            }
            return to_arrays(tensors);
          },
          py::arg("picture"), py::arg("outputs"), py::arg("cancel"), py::arg("order") = "rgb",
          py::arg("views") = py::tuple(),
          "The named outputs, float32, for one uint8 picture (height, width, channels), and one row more\n"
          "for each of its views (option, number, seed).")
      .def(
          "run_half",
          [](const Extractor& extractor, const py::array_t<std::uint8_t>& picture,
             const std::vector<std::string>& outputs, std::size_t length, CancelToken& cancel, const std::string& order,
             const std::vector<ViewTuple>& views) {
            const Pixels pixels = make_pixels(picture, order);
            const std::vector<View> altered = make_views(views);
            Array<std::uint16_t> rows({1 + altered.size(), length});
            const auto values = mutable_view(rows);
            {
              const Unlocked unlocked;
              extractor.run_half(pixels, outputs, cancel, altered, values);
            }
            return rows;
          },
          py::arg("picture"), py::arg("outputs"), py::arg("length"), py::arg("cancel"), py::arg("order") = "rgb",
          py::arg("views") = py::tuple(),
          "The named outputs, flattened and one behind the other, as the bits of half precision: uint16\n"
          "(1 + views, length), for one uint8 picture and below it for each of its views.")
      .def(
          "run_tensor",
          [](const Extractor& extractor, const Array<float>& tensor, const std::vector<std::string>& outputs,
             CancelToken& cancel) {
            std::vector<std::int64_t> shape(tensor.shape(), tensor.shape() + tensor.ndim());
            std::vector<Tensor> tensors;
            const auto values = view(tensor);
            {
              const Unlocked unlocked;
              tensors = extractor.session().run(values, shape, outputs, cancel);
            }
            return to_arrays(tensors);
          },
          py::arg("tensor"), py::arg("outputs"), py::arg("cancel"),
          "The named outputs for ready image tensors, float32 (n, 3, height, width).");
}

}  // namespace silverprint::bindings
