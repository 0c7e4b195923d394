#include <cmath>
#include <optional>

#include "bindings/detect.h"
#include "detect/trainer.h"

namespace silverprint::bindings {
namespace {

using State = py::typing::Dict<py::str, py::object>;

// A trainer and the arrays that it reads.
struct Trainer {
  py::array rows;
  Array<float> geometry, boxes;
  Array<std::int64_t> chosen;
  Array<std::int32_t> labels;
  std::vector<std::size_t> first;
  std::unique_ptr<DetectionTrainer> trainer;
};

void check(const Trainer& t, const Array<std::int64_t>& counts, std::size_t classes) {
  if (!t.rows.dtype().equal(py::dtype("e")) || t.rows.ndim() != 3 || !(t.rows.flags() & py::array::c_style))
    invalid("rows: expected contiguous float16 (pictures, views, row)");
  const std::size_t pictures = extent(t.rows, 0), views = extent(t.rows, 1);
  if (t.geometry.ndim() != 3 || extent(t.geometry, 0) != pictures || extent(t.geometry, 1) != views ||
      t.geometry.shape(2) != 5)
    invalid("geometry: expected float32 (pictures, views, 5)");
  const float* g = t.geometry.data();
  for (std::size_t i = 0; i < pictures * views; ++i, g += 5)
    if (!(g[2] - g[0] > 0) || !(g[3] - g[1] > 0) || !std::isfinite(g[2] - g[0]) || !std::isfinite(g[3] - g[1]))
      invalid("geometry: a view of nothing");
  if (t.boxes.ndim() != 2 || t.boxes.shape(1) != 4 || t.labels.size() != t.boxes.shape(0))
    invalid("expected boxes (b, 4) and one label for each");
  for (const float edge : view(t.boxes))
    if (!(edge >= 0 && edge <= 1)) invalid("boxes: an edge outside 0..1");
  for (const std::int32_t label : view(t.labels))
    if (label < 0 || static_cast<std::size_t>(label) >= classes) invalid("a label outside 0..classes-1");
  for (const std::int64_t picture : view(t.chosen))
    if (picture < 0 || static_cast<std::size_t>(picture) >= pictures) invalid("chosen: no such picture");
  if (static_cast<std::size_t>(counts.size()) != pictures) invalid("counts: expected one for each picture");
}

std::unique_ptr<Trainer> make_trainer(const std::vector<Input>& inputs, std::size_t classes, const Array<float>& mean,
                                      const Array<float>& deviation, const py::array& rows,
                                      const Array<float>& geometry, const Array<std::int64_t>& chosen,
                                      const Array<std::int64_t>& counts, const Array<float>& boxes,
                                      const Array<std::int32_t>& labels, double rate, std::int64_t steps,
                                      std::size_t channels, std::size_t context, std::size_t tower, bool coarser,
                                      std::size_t batch, std::uint64_t seed, int threads) {
  const auto options = network_options(inputs, classes, channels, context, tower, coarser, batch);
  check_threads(threads);
  if (!(rate > 0) || !std::isfinite(rate)) invalid("rate must be positive and finite");
  if (steps < 1) invalid("steps must be positive");
  const auto all = static_cast<std::size_t>(labels.size());
  auto made = std::make_unique<Trainer>(Trainer{rows, geometry, boxes, chosen, labels, first_of(counts, all), nullptr});
  check(*made, counts, classes);
  const DetectionProblem problem{static_cast<const std::uint16_t*>(rows.data()),
                                 extent(rows, 0),
                                 extent(rows, 1),
                                 view(made->geometry),
                                 view(made->chosen),
                                 made->first,
                                 {reinterpret_cast<const Box*>(made->boxes.data()), all},
                                 view(made->labels)};
  Optimiser::Settings settings;
  settings.rate = rate;
  settings.steps = steps;
  const auto means = view(mean), deviations = view(deviation);
  const std::size_t row = extent(rows, 2);
  const Unlocked unlocked;
  made->trainer = std::make_unique<DetectionTrainer>(options, means, deviations, problem, settings, seed, threads);
  if (made->trainer->network().row_size() != row) invalid("rows: not of the length that the inputs say");
  return made;
}

template <class Range>
Array<float> flat(const Range& values) {
  return Array<float>(static_cast<py::ssize_t>(values.size()), values.data());
}

std::vector<float> floats(const State& dict, const char* name) {
  const auto array = dict[name].cast<Array<float>>();
  return {array.data(), array.data() + array.size()};
}

State get_state(const Trainer& t) {
  const DetectionTrainer::State state = t.trainer->state();
  State dict;
  dict["parameters"] = flat(state.parameters);
  dict["statistics"] = flat(state.statistics);
  dict["first"] = flat(state.optimiser.first);
  dict["second"] = flat(state.optimiser.second);
  dict["steps"] = state.optimiser.steps;
  dict["average"] = flat(state.average.values);
  dict["updates"] = state.average.updates;
  return dict;
}

void set_state(Trainer& t, const State& dict) {
  t.trainer->restore({floats(dict, "parameters"),
                      floats(dict, "statistics"),
                      {floats(dict, "first"), floats(dict, "second"), dict["steps"].cast<std::int64_t>()},
                      {floats(dict, "average"), dict["updates"].cast<std::int64_t>()}});
}

}  // namespace

void bind_detect_trainer(py::module_& module) {
  module.def(
      "seen_in_view",
      [](const Array<float>& box, const Array<float>& geometry) -> std::optional<Array<float>> {
        if (box.size() != 4 || geometry.size() != 5) invalid("expected a box of 4 and a geometry of 5 numbers");
        Box seen{};
        if (!seen_in_view({box.data()[0], box.data()[1], box.data()[2], box.data()[3]}, geometry.data(), seen))
          return std::nullopt;
        const float edges[] = {seen.x0, seen.y0, seen.x1, seen.y1};
        return Array<float>(4, edges);
      },
      py::arg("box"), py::arg("geometry"),
      "A box (x0, y0, x1, y1) of the whole picture as a view shows it, both from 0 to 1; None where less than\n"
      "0.4 of its area is left. geometry: left, top, right, bottom, 1 where mirrored.");
  py::class_<Trainer>(module, "Trainer", "Trains a detection head step by step; cpp/detect/trainer.h describes it.")
      .def(py::init(&make_trainer), py::arg("inputs"), py::arg("classes"), py::arg("mean"), py::arg("deviation"),
           py::arg("rows"), py::arg("geometry"), py::arg("chosen"), py::arg("counts"), py::arg("boxes"),
           py::arg("labels"), py::kw_only(), py::arg("rate") = 2e-3, py::arg("steps") = 600, py::arg("channels") = 64,
           py::arg("context") = 4, py::arg("tower") = 2, py::arg("coarser") = true, py::arg("batch") = 16,
           py::arg("seed") = 0, py::arg("threads") = 0,
           "rows float16 (pictures, views, row), geometry float32 (pictures, views, 5), chosen int64: pictures to\n"
           "train on; counts int64 (pictures,) of the boxes float32 (b, 4), from 0 to 1, and labels int32 (b,).")
      .def(
          "step", [](Trainer& t, const CancelToken& cancel) { return t.trainer->step(cancel); }, py::arg("cancel"),
          py::call_guard<Unlocked>(), "One batch; False after the last.")
      .def_property_readonly("steps", [](const Trainer& t) { return t.trainer->steps(); }, "Done so far.")
      .def_property_readonly(
          "loss",
          [](const Trainer& t) { return std::pair(t.trainer->loss().classification, t.trainer->loss().boxes); },
          "Of the last step: classification, boxes.")
      .def_property_readonly(
          "average",
          [](const Trainer& t) {
            const auto both = t.trainer->average();
            const std::size_t statistics = t.trainer->statistics_size(), middle = both.size() - statistics;
            return std::pair(flat(both.first(middle)), flat(both.last(statistics)));
          },
          "Averaged parameters and statistics, as a Network takes them.")
      .def("state", &get_state, "All that the next step depends on, as a dict of arrays and numbers.")
      .def("restore", &set_state, py::arg("state"), "Continue from a state(), bit for bit.");
}

}  // namespace silverprint::bindings
