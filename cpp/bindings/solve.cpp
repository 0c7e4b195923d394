#include <cmath>
#include <optional>

#include "bindings/bindings.h"
#include "solve/head_solver.h"

namespace silverprint::bindings {
namespace {

using State = py::typing::Dict<py::str, py::object>;

// Differences of larger ones would overflow.
constexpr float kLargestFeature = 1e38f;
constexpr std::size_t kLargestLayer = 65536;

void check_l2(double l2) {
  if (!(l2 > 0) || !std::isfinite(l2)) invalid("l2 must be positive and finite");
}

struct Checked {
  Problem problem;
  double l2, tolerance;
  int threads;
};

Checked check_problem(const Array<float>& features, const Array<std::int64_t>& rows, const Array<std::int32_t>& labels,
                      std::size_t classes, double l2, const std::optional<Array<float>>& weights,
                      double tolerance, int threads) {
  if (features.ndim() != 2 || features.shape(1) < 1) invalid("features: expected float32 (rows, columns)");
  if (rows.size() < 1 || rows.size() != labels.size()) invalid("expected one label per row, and at least one row");
  if (classes < 2) invalid("expected at least 2 classes");
  check_l2(l2);
  if (!(tolerance > 0) || !std::isfinite(tolerance)) invalid("tolerance must be positive and finite");
  check_threads(threads);
  if (weights && weights->size() != rows.size()) invalid("expected one weight per row");
  if (weights)
    for (const float weight : view(*weights))
      if (!(weight > 0) || !std::isfinite(weight)) invalid("weights must be positive");
  for (const std::int32_t label : view(labels))
    if (label < 0 || static_cast<std::size_t>(label) >= classes) invalid("a label outside 0..classes-1");
  const auto columns = static_cast<std::size_t>(features.shape(1));
  for (const std::int64_t row : view(rows)) {
    if (row < 0 || row >= features.shape(0)) invalid("a row outside the features");
    const float* x = features.data() + row * features.shape(1);
    for (std::size_t j = 0; j < columns; ++j)
      if (!(std::abs(x[j]) <= kLargestFeature))
        invalid("row " + std::to_string(row) + " of the features is not finite, or beyond 1e38");
  }
  return {{view(features), columns, view(rows), view(labels), classes,
           weights ? view(*weights) : std::span<const float>()},
          l2,
          tolerance,
          threads};
}

std::unique_ptr<LogisticRegression> make_logistic(const Array<float>& features, const Array<std::int64_t>& rows,
                                                  const Array<std::int32_t>& labels, std::size_t classes, double l2,
                                                  const std::optional<Array<float>>& weights, double tolerance,
                                                  int threads) {
  const Checked c = check_problem(features, rows, labels, classes, l2, weights, tolerance, threads);
  const Unlocked unlocked;
  return std::make_unique<LogisticRegression>(c.problem, c.l2, c.tolerance, c.threads);
}

std::unique_ptr<MultilayerPerceptron> make_perceptron(
    const Array<float>& features, const Array<std::int64_t>& rows, const Array<std::int32_t>& labels,
    std::size_t classes, const std::vector<std::size_t>& layer_sizes, double l2,
    const std::optional<Array<float>>& weights, double tolerance, std::uint64_t seed, int threads) {
  const Checked c = check_problem(features, rows, labels, classes, l2, weights, tolerance, threads);
  for (const std::size_t size : layer_sizes)
    if (size < 1 || size > kLargestLayer) invalid("layer_sizes: expected sizes from 1 to 65536");
  const Unlocked unlocked;
  return std::make_unique<MultilayerPerceptron>(c.problem, layer_sizes, c.l2, c.tolerance, seed, c.threads);
}

template <class T>
py::array_t<T> as_array(std::span<const T> values) {
  return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

template <class T>
std::vector<T> as_vector(const State& dict, const char* key) {
  const auto array = dict[key].template cast<Array<T>>();
  return {array.data(), array.data() + array.size()};
}

double checked_l2(const State& dict) {
  const double l2 = dict["l2"].cast<double>();
  check_l2(l2);
  return l2;
}

State get_logistic_state(const LogisticRegression& solver) {
  const NewtonCg::State& state = solver.state();
  State dict;
  dict["w"] = as_array<float>(state.w);
  dict["anchor"] = as_array<float>(state.anchor);
  dict["iteration"] = state.iteration;
  dict["inner_iterations"] = state.inner_iterations;
  dict["idle_iterations"] = state.idle_iterations;
  dict["converged"] = state.converged;
  dict["l2"] = solver.l2();
  return dict;
}

void set_logistic_state(LogisticRegression& solver, const State& dict) {
  solver.restore({as_vector<float>(dict, "w"), as_vector<float>(dict, "anchor"),
                  dict["iteration"].cast<std::int64_t>(), dict["inner_iterations"].cast<std::int64_t>(),
                  dict["idle_iterations"].cast<std::int64_t>(), dict["converged"].cast<bool>()},
                 checked_l2(dict));
}

State get_perceptron_state(const MultilayerPerceptron& solver) {
  const Adam::State& state = solver.state();
  State dict;
  dict["w"] = as_array<float>(state.w);
  dict["first"] = as_array<float>(state.first);
  dict["second"] = as_array<float>(state.second);
  dict["iteration"] = state.iteration;
  dict["steps"] = state.steps;
  dict["values"] = as_array<double>(state.values);
  dict["converged"] = state.converged;
  dict["l2"] = solver.l2();
  return dict;
}

void set_perceptron_state(MultilayerPerceptron& solver, const State& dict) {
  solver.restore({as_vector<float>(dict, "w"), as_vector<float>(dict, "first"), as_vector<float>(dict, "second"),
                  dict["iteration"].cast<std::int64_t>(), dict["steps"].cast<std::int64_t>(),
                  as_vector<double>(dict, "values"), dict["converged"].cast<bool>()},
                 checked_l2(dict));
}

using Layer = py::typing::Tuple<Array<float>, Array<float>>;

py::typing::List<Layer> get_layers(const HeadSolver& solver) {
  py::typing::List<Layer> list;
  for (const DenseLayer& layer : solver.layers()) {
    const Array<float> weights({layer.inputs, layer.outputs}, layer.weights.data());
    list.append(py::make_tuple(weights, Array<float>(static_cast<py::ssize_t>(layer.outputs), layer.bias.data())));
  }
  return list;
}

}  // namespace

void bind_solve(py::module_& module) {
  using release = py::call_guard<Unlocked>;
  py::class_<HeadSolver>(module, "HeadSolver",
                         "A head under training on standardised features, one iteration at a time:\n"
                         "(weighted) mean log loss + l2/2 |W|^2, intercepts free. Equal bytes for any number of threads.")
      .def(
          "step", [](HeadSolver& solver, const CancelToken& cancel) { return solver.step(cancel); }, py::arg("cancel"),
          release(), "One iteration; False once converged.")
      .def(
          "set_l2",
          [](HeadSolver& solver, double l2) {
            check_l2(l2);
            solver.set_l2(l2);
          },
          py::arg("l2"), "Go on with another penalty.")
      .def("value", &HeadSolver::value, release(), "The objective at the present weights.")
      .def_property_readonly("l2", &HeadSolver::l2)
      .def_property_readonly("iteration", &HeadSolver::iteration)
      .def_property_readonly("converged", &HeadSolver::converged)
      .def_property_readonly("constant_features", [](const HeadSolver& s) { return s.set().constant_features(); },
                             "How many features hardly vary; they take no part.")
      .def_property_readonly("mean", [](const HeadSolver& s) { return as_array<double>(s.set().mean()); })
      .def_property_readonly("deviation", [](const HeadSolver& s) { return as_array<double>(s.set().deviation()); })
      .def("layers", &get_layers,
           "Weights (inputs, outputs) and intercepts (outputs,) of each layer, float32; the first takes\n"
           "standardised features, and rectified linear units stand between them.")
      .def(
          "probabilities",
          [](const HeadSolver& solver, const Array<float>& features) {
            if (features.ndim() != 2 || features.shape(1) != static_cast<py::ssize_t>(solver.set().columns()))
              invalid("features: expected (rows, " + std::to_string(solver.set().columns()) + ")");
            for (const float x : view(features))
              if (!std::isfinite(x)) invalid("features: not finite");
            Array<float> out({static_cast<std::size_t>(features.shape(0)), solver.set().classes()});
            const auto from = view(features);
            const auto to = mutable_view(out);
            const Unlocked unlocked;
            solver.probabilities(from, to);
            return out;
          },
          py::arg("features"), "Probabilities float32 (rows, classes) of raw features.");

  const char* rows = "features float32 (n, d); rows int64 (m,), those to train on; labels int32 (m,);\n"
      "weights float32 (m,), how much each row counts.";
  py::class_<LogisticRegression, HeadSolver>(module, "LogisticRegression", "Multinomial logistic regression.")
      .def(py::init(&make_logistic), py::arg("features"), py::arg("rows"), py::arg("labels"), py::arg("classes"),
           py::arg("l2"), py::arg("weights") = py::none(), py::arg("tolerance") = 1e-5, py::arg("threads") = 0,
           rows)
      .def("state", &get_logistic_state, "All that the next step depends on, as a dict of arrays and numbers.")
      .def("restore", &set_logistic_state, py::arg("state"), "Continue from a state(), bit for bit.");
  py::class_<MultilayerPerceptron, HeadSolver>(module, "MultilayerPerceptron",
                                               "Hidden layers of rectified linear units, then a softmax.")
      .def(py::init(&make_perceptron), py::arg("features"), py::arg("rows"), py::arg("labels"), py::arg("classes"),
           py::arg("layer_sizes"), py::arg("l2"), py::arg("weights") = py::none(), py::arg("tolerance") = 0.1,
           py::arg("seed") = 0, py::arg("threads") = 0, rows)
      .def("state", &get_perceptron_state, "All that the next step depends on, as a dict of arrays and numbers.")
      .def("restore", &set_perceptron_state, py::arg("state"), "Continue from a state(), bit for bit.");
}

}  // namespace silverprint::bindings
