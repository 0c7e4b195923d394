// Boxes: overlap, loss, optimiser, suppression and average precision, on arrays.
#include <cmath>

#include "bindings/bindings.h"
#include "bindings/detect.h"
#include "detect/average_precision.h"
#include "detect/loss.h"
#include "detect/optimiser.h"
#include "detect/suppression.h"

namespace silverprint::bindings {
namespace {

using State = py::typing::Dict<py::str, py::object>;

// Boxes (n, 4), their edges in order.
template <class T>
std::vector<BoxOf<T>> boxes_of(const Array<T>& array, const char* name) {
  if (array.ndim() != 2 || array.shape(1) != 4) invalid(std::string(name) + ": expected boxes (n, 4)");
  std::vector<BoxOf<T>> boxes(extent(array, 0));
  const T* edge = array.data();
  for (BoxOf<T>& box : boxes) {
    box = {edge[0], edge[1], edge[2], edge[3]};
    edge += 4;
    if (!std::isfinite(area(box)) || !(box.x0 <= box.x1) || !(box.y0 <= box.y1))
      invalid(std::string(name) + ": expected finite boxes x0, y0, x1, y1 with x0 <= x1 and y0 <= y1");
  }
  return boxes;
}

std::span<const std::int32_t> labels_of(const Array<std::int32_t>& array, std::size_t boxes, std::size_t classes) {
  if (array.ndim() != 1 || extent(array, 0) != boxes) invalid("expected one label per box");
  for (const std::int32_t label : view(array))
    if (label < 0 || static_cast<std::size_t>(label) >= classes) invalid("a label outside 0..classes-1");
  return view(array);
}

template <class T>
Array<T> array_of(const std::vector<py::ssize_t>& shape, std::span<const T> values) {
  return Array<T>(shape, values.data());
}

Box single_box(const Array<float>& array) {
  const auto boxes = boxes_of(array, "box");
  if (boxes.size() != 1) invalid("expected one box (1, 4)");
  return boxes.front();
}

py::typing::Tuple<double, Array<double>> bound_giou(const Array<float>& box, const Array<float>& other) {
  const Giou g = giou(single_box(box), single_box(other));
  const double by[4] = {g.x0, g.y0, g.x1, g.y1};
  return py::make_tuple(g.value, Array<double>(4, by));
}

std::unique_ptr<DetectionLoss> make_loss(const std::vector<std::tuple<float, std::size_t, std::size_t>>& levels,
                                         std::size_t classes, int threads) {
  check_threads(threads);
  if (levels.empty() || classes < 1) invalid("expected at least one level and one class");
  std::vector<GridLevel> grid;
  for (const auto& [stride, height, width] : levels) {
    if (width < 1 || height < 1 || width > 65536 || height > 65536 || !(stride > 0) || !std::isfinite(stride))
      invalid("a level is (stride, height, width), all positive");
    grid.push_back({width, height, stride});
  }
  return std::make_unique<DetectionLoss>(std::move(grid), classes, threads);
}

py::typing::Tuple<double, double, Array<float>, Array<float>> evaluate_loss(
    DetectionLoss& loss, const Array<float>& logits, const Array<float>& distances,
    const Array<std::int64_t>& counts, const Array<float>& boxes, const Array<std::int32_t>& labels) {
  const std::size_t pictures = extent(counts, 0);
  if (logits.ndim() != 3 || extent(logits, 0) != pictures || extent(logits, 1) != loss.cells() ||
      extent(logits, 2) != loss.classes())
    invalid("logits: expected float32 (pictures, cells, classes)");
  if (distances.ndim() != 3 || extent(distances, 0) != pictures || extent(distances, 1) != loss.cells() ||
      extent(distances, 2) != 4)
    invalid("distances: expected float32 (pictures, cells, 4)");
  const auto all = boxes_of(boxes, "boxes");
  const auto first = first_of(counts, all.size());
  const BoxBatch batch{first, all, labels_of(labels, all.size(), loss.classes())};
  Array<float> by_logits(std::vector<py::ssize_t>(logits.shape(), logits.shape() + 3));
  Array<float> by_distances(std::vector<py::ssize_t>(distances.shape(), distances.shape() + 3));
  DetectionLoss::Value value;
  {
    const auto from = view(logits), edges = view(distances);
    const auto to = mutable_view(by_logits), to_edges = mutable_view(by_distances);
    const Unlocked unlocked;
    value = loss.evaluate(from, edges, batch, to, to_edges);
  }
  return py::make_tuple(value.classification, value.boxes, by_logits, by_distances);
}

py::typing::Tuple<Array<std::int32_t>, Array<float>> assignment(const DetectionLoss& loss) {
  const auto cells = static_cast<py::ssize_t>(loss.cells());
  const auto pictures = static_cast<py::ssize_t>(loss.owners().size()) / cells;
  return py::make_tuple(array_of({pictures, cells}, loss.owners()), array_of({pictures, cells}, loss.targets()));
}

std::unique_ptr<Optimiser> make_optimiser(const Array<std::uint8_t>& decays, double rate, std::int64_t steps,
                                          double decay, double largest_gradient, std::int64_t warm_up, double least,
                                          int threads) {
  check_threads(threads);
  for (const double positive : {rate, largest_gradient})
    if (!(positive > 0) || !std::isfinite(positive)) invalid("rate and largest_gradient must be positive and finite");
  if (!(decay >= 0 && decay * rate < 1) || !(least >= 0 && least <= 1)) invalid("decay or least is out of range");
  if (steps < 1 || warm_up < 0) invalid("steps must be at least 1, warm_up at least 0");
  return std::make_unique<Optimiser>(std::vector<std::uint8_t>(decays.data(), decays.data() + decays.size()),
                                     Optimiser::Settings{rate, decay, largest_gradient, warm_up, least, steps},
                                     threads);
}

Array<float> optimiser_step(Optimiser& optimiser, const Array<float>& w, const Array<float>& gradient) {
  const std::size_t n = optimiser.state().first.size();
  if (static_cast<std::size_t>(w.size()) != n || static_cast<std::size_t>(gradient.size()) != n)
    invalid("w and gradient: expected float32 (" + std::to_string(n) + ",)");
  Array<float> next(w.size(), w.data()), cut(gradient.size(), gradient.data());
  const auto to = mutable_view(next), own = mutable_view(cut);
  const Unlocked unlocked;
  optimiser.step(to, own);
  return next;
}

State optimiser_state(const Optimiser& optimiser) {
  const Optimiser::State& state = optimiser.state();
  State dict;
  dict["first"] = Array<float>(static_cast<py::ssize_t>(state.first.size()), state.first.data());
  dict["second"] = Array<float>(static_cast<py::ssize_t>(state.second.size()), state.second.data());
  dict["steps"] = state.steps;
  return dict;
}

State average_state(const MovingAverage& average) {
  const MovingAverage::State& state = average.state();
  State dict;
  dict["values"] = Array<float>(static_cast<py::ssize_t>(state.values.size()), state.values.data());
  dict["updates"] = state.updates;
  return dict;
}

std::vector<float> floats_of(const State& dict, const char* key) {
  const auto array = dict[key].cast<Array<float>>();
  return {array.data(), array.data() + array.size()};
}

py::typing::Tuple<Array<std::int32_t>, Array<std::int32_t>, Array<float>> bound_suppress(
    const Array<float>& boxes, const Array<float>& scores, double score_threshold, double iou_threshold,
    std::size_t top, std::size_t limit) {
  const auto all = boxes_of(boxes, "boxes");
  if (scores.ndim() != 2 || extent(scores, 0) != all.size()) invalid("scores: expected float32 (boxes, classes)");
  if (std::isnan(score_threshold) || std::isnan(iou_threshold)) invalid("thresholds must be numbers");
  const auto kept = suppress(all, view(scores), extent(scores, 1), {score_threshold, iou_threshold, top, limit});
  const auto n = static_cast<py::ssize_t>(kept.size());
  Array<std::int32_t> index(n), label(n);
  Array<float> score(n);
  for (py::ssize_t i = 0; i < n; ++i) {
    const FoundBox& box = kept[static_cast<std::size_t>(i)];
    index.mutable_at(i) = box.index;
    label.mutable_at(i) = box.label;
    score.mutable_at(i) = box.score;
  }
  return py::make_tuple(index, label, score);
}

State bound_average_precision(const Array<std::int64_t>& found_counts, const Array<double>& found_boxes,
                              const Array<std::int32_t>& found_labels, const Array<double>& found_scores,
                              const Array<std::int64_t>& truth_counts, const Array<double>& truth_boxes,
                              const Array<std::int32_t>& truth_labels, const Array<std::uint8_t>& truth_crowd,
                              std::size_t classes, int threads) {
  check_threads(threads);
  if (found_counts.size() != truth_counts.size()) invalid("expected as many pictures of found as of true boxes");
  const auto found = boxes_of(found_boxes, "found_boxes"), truth = boxes_of(truth_boxes, "truth_boxes");
  if (extent(found_scores, 0) != found.size() || extent(truth_crowd, 0) != truth.size())
    invalid("expected one score per found box, and one crowd flag per true box");
  for (const double score : view(found_scores))
    if (std::isnan(score)) invalid("found_scores: not a number");
  const auto found_first = first_of(found_counts, found.size()), truth_first = first_of(truth_counts, truth.size());
  const FoundBatch found_batch{found_first, found, labels_of(found_labels, found.size(), classes), view(found_scores)};
  const TruthBatch truth_batch{truth_first, truth, labels_of(truth_labels, truth.size(), classes), view(truth_crowd)};
  const AveragePrecision measured = [&] {
    const Unlocked unlocked;
    return average_precision(found_batch, truth_batch, classes, threads);
  }();
  const auto k = static_cast<py::ssize_t>(classes);
  State dict;
  dict["average"] = array_of<double>({k, AveragePrecision::kThresholds}, measured.average);
  dict["recall"] = array_of<double>({k, AveragePrecision::kThresholds}, measured.recall);
  dict["precision"] = array_of<double>({k, AveragePrecision::kRecalls}, measured.precision);
  dict["scores"] = array_of<double>({k, AveragePrecision::kRecalls}, measured.scores);
  dict["counts"] = array_of<std::int64_t>({k}, measured.counts);
  dict["matches"] = array_of<std::int64_t>({static_cast<py::ssize_t>(found.size())}, measured.matches);
  return dict;
}

}  // namespace

void bind_detect_boxes(py::module_& module) {
  module.def(
      "iou", [](const Array<float>& a, const Array<float>& b) { return iou(single_box(a), single_box(b)); },
      py::arg("box"), py::arg("other"), "Intersection over union of two boxes, each (1, 4): x0, y0, x1, y1.");
  module.def("giou", &bound_giou, py::arg("box"), py::arg("other"),
             "Generalised IoU of two boxes (1, 4), and its derivatives (4,) by the edges of the first.");
  py::class_<DetectionLoss>(module, "DetectionLoss",
                            "Task-aligned assignment with varifocal and GIoU loss on levels (stride, height, width).")
      .def(py::init(&make_loss), py::arg("levels"), py::arg("classes"), py::arg("threads") = 0)
      .def_property_readonly("cells", &DetectionLoss::cells)
      .def("evaluate", &evaluate_loss, py::arg("logits"), py::arg("distances"), py::arg("counts"), py::arg("boxes"),
           py::arg("labels"),
           "Classification loss, box loss, and the derivatives of classification + 2 * box by logits float32\n"
           "(n, cells, classes) and by distances float32 (n, cells, 4). Picture i has counts[i] of the boxes\n"
           "(b, 4) and labels (b,).")
      .def("assignment", &assignment,
           "Of the last evaluate(), (n, cells): each cell's box in its picture, or -1, and its target.");
  py::class_<Optimiser>(module, "Optimiser",
                        "AdamW with a cut gradient norm, warm-up and a cosine; `decays` uint8 (n,) says which\n"
                        "parameters decay.")
      .def(py::init(&make_optimiser), py::arg("decays"), py::arg("rate"), py::arg("steps"), py::arg("decay") = 0.05,
           py::arg("largest_gradient") = 10.0, py::arg("warm_up") = 50, py::arg("least") = 0.02,
           py::arg("threads") = 0)
      .def("step", &optimiser_step, py::arg("w"), py::arg("gradient"), "The parameters after one step.")
      .def_property_readonly("rate", &Optimiser::rate, "The length of the next step.")
      .def("state", &optimiser_state, "All that the next step depends on, as a dict.")
      .def(
          "restore",
          [](Optimiser& optimiser, const State& dict) {
            optimiser.restore({floats_of(dict, "first"), floats_of(dict, "second"), dict["steps"].cast<std::int64_t>()});
          },
          py::arg("state"), "Continue from a state(), bit for bit.");
  py::class_<MovingAverage>(module, "MovingAverage", "Exponential moving average, decay 0.998.")
      .def(py::init([](const Array<float>& start) { return MovingAverage(view(start)); }), py::arg("start"))
      .def(
          "update",
          [](MovingAverage& average, const Array<float>& values) {
            if (view(values).size() != average.values().size()) invalid("values: of another size than before");
            average.update(view(values));
          },
          py::arg("values"))
      .def("state", &average_state, "All that the next update depends on, as a dict.")
      .def(
          "restore",
          [](MovingAverage& average, const State& dict) {
            average.restore({floats_of(dict, "values"), dict["updates"].cast<std::int64_t>()});
          },
          py::arg("state"), "Continue from a state(), bit for bit.")
      .def_property_readonly("values", [](const MovingAverage& average) {
        return array_of({static_cast<py::ssize_t>(average.values().size())}, average.values());
      });
  module.def("suppress", &bound_suppress, py::arg("boxes"), py::arg("scores"), py::arg("score_threshold"),
             py::arg("iou_threshold"), py::arg("top") = 600, py::arg("limit") = 100,
             "Index, label and score of the boxes (n, 4) that non-maximum suppression per class keeps, of\n"
             "scores (n, classes).");
  module.def("average_precision", &bound_average_precision, py::arg("found_counts"), py::arg("found_boxes"),
             py::arg("found_labels"), py::arg("found_scores"), py::arg("truth_counts"), py::arg("truth_boxes"),
             py::arg("truth_labels"), py::arg("truth_crowd"), py::arg("classes"), py::arg("threads") = 0,
             "COCO's average precision: `average` and `recall` (classes, 10 IoU thresholds), `precision` and\n"
             "`scores` (classes, 101 recalls) at IoU 0.50, `counts` (classes,) of true boxes, `matches` of each\n"
             "found box: its true box, -1 for none, -2 for one that does not count.");
}

}  // namespace silverprint::bindings
