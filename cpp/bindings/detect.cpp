#include <algorithm>

#include "bindings/detect.h"

namespace silverprint::bindings {
namespace {

std::unique_ptr<Network> make_network(const std::vector<Input>& inputs, std::size_t classes, const Array<float>& mean,
                                      const Array<float>& deviation, std::size_t channels, std::size_t context,
                                      std::size_t tower, bool coarser, std::size_t batch, std::uint64_t seed,
                                      int threads) {
  const auto options = network_options(inputs, classes, channels, context, tower, coarser, batch);
  check_threads(threads);
  const auto means = view(mean), deviations = view(deviation);
  const Unlocked unlocked;
  auto network = std::make_unique<Network>(options, means, deviations, threads);
  network->initialise(seed);
  return network;
}

py::typing::Tuple<Array<float>, Array<float>> forward(Network& network, const py::array& rows, bool training) {
  const std::size_t size = network.row_size();
  if (!rows.dtype().equal(py::dtype("e")) || rows.ndim() != 2 ||
      static_cast<std::size_t>(rows.shape(1)) != size || !(rows.flags() & py::array::c_style))
    invalid("rows: expected contiguous float16 (pictures, " + std::to_string(size) + ")");
  std::vector<const std::uint16_t*> pointers;
  for (py::ssize_t i = 0; i < rows.shape(0); ++i)
    pointers.push_back(static_cast<const std::uint16_t*>(rows.data()) + static_cast<std::size_t>(i) * size);
  {
    const Unlocked unlocked;
    network.forward(pointers, training);
  }
  const auto n = pointers.size(), cells = network.cells();
  return py::make_tuple(Array<float>({n, cells, network.options().classes}, network.logits().data()),
                        Array<float>({n, cells, std::size_t{4}}, network.distances().data()));
}

Array<float> flat(std::span<const float> values) {
  return Array<float>(static_cast<py::ssize_t>(values.size()), values.data());
}

Array<float> backward(Network& network, const Array<float>& by_logits, const Array<float>& by_distances) {
  const auto logits = view(by_logits), distances = view(by_distances);
  {
    const Unlocked unlocked;
    network.backward(logits, distances);
  }
  return flat(network.gradient());
}

void set(std::span<float> to, const Array<float>& values, const char* name) {
  if (static_cast<std::size_t>(values.size()) != to.size())
    invalid(std::string(name) + ": expected " + std::to_string(to.size()) + " values");
  std::copy_n(values.data(), to.size(), to.data());
}

using Listed = py::typing::Tuple<py::int_, py::typing::Tuple<py::int_, py::ellipsis>, py::bool_>;

py::typing::Dict<py::str, Listed> listed(const std::vector<Parameter>& list) {
  py::dict all;
  for (const Parameter& p : list) all[py::str(p.name)] = py::make_tuple(p.offset, py::tuple(py::cast(p.shape)), p.decays);
  return all;
}

py::typing::List<py::typing::Tuple<py::int_, py::int_, py::int_>> levels(const Network& network) {
  py::list all;
  for (const GridLevel& level : network.levels()) all.append(py::make_tuple(static_cast<std::size_t>(level.stride), level.height, level.width));
  return all;
}

}  // namespace

void bind_detect(py::module_& module) {
  py::class_<Network>(module, "Network",
                      "A detection head on a frozen backbone's maps; cpp/detect/network.h describes it.")
      .def(py::init(&make_network), py::arg("inputs"), py::arg("classes"), py::arg("mean"), py::arg("deviation"),
           py::kw_only(), py::arg("channels") = 64, py::arg("context") = 4, py::arg("tower") = 2,
           py::arg("coarser") = true, py::arg("batch") = 16, py::arg("seed") = 0, py::arg("threads") = 0,
           "inputs: (stride, channels, height, width) of each map, finest first; mean and deviation float32\n"
           "of their channels, one input's after the other.")
      .def("forward", &forward, py::arg("rows"), py::arg("training"),
           "Logits (n, cells, classes) and distances (n, cells, 4) in pixels of the tensor, from float16 rows\n"
           "(n, row_size). Training normalises by the batch and moves the running statistics.")
      .def("backward", &backward, py::arg("by_logits"), py::arg("by_distances"),
           "Gradient by the parameters, from the derivatives by the last forward's results.")
      .def_property(
          "parameters", [](Network& n) { return flat(n.parameters()); },
          [](Network& n, const Array<float>& values) { set(n.parameters(), values, "parameters"); },
          "A copy of all weights, flat; parameter_list says where each lies.")
      .def_property(
          "statistics", [](Network& n) { return flat(n.statistics()); },
          [](Network& n, const Array<float>& values) { set(n.statistics(), values, "statistics"); },
          "A copy of the running means and variances, flat; statistic_list says where each lies.")
      .def_property_readonly("parameter_list", [](const Network& n) { return listed(n.parameter_list()); },
                             "By name: offset, shape, and whether weight decay applies.")
      .def_property_readonly("statistic_list", [](const Network& n) { return listed(n.statistic_list()); },
                             "By name: offset, shape, False.")
      .def_property_readonly("levels", &levels, "Stride, height and width of each level of cells.")
      .def_property_readonly("cells", &Network::cells)
      .def_property_readonly("row_size", &Network::row_size)
      .def_property_readonly("multiply_adds", &Network::multiply_adds,
                             "Of all convolutions for one picture, forward.");
}

}  // namespace silverprint::bindings
