#include <cmath>
#include <optional>

#include "bindings/bindings.h"
#include "solve/logistic_regression.h"

namespace silverprint::bindings {
namespace {

using State = py::typing::Dict<py::str, py::object>;

// Differences of larger ones would overflow.
constexpr float kLargestFeature = 1e38f;

void check_l2(double l2) {
  if (!(l2 > 0) || !std::isfinite(l2)) invalid("l2 must be positive and finite");
}

std::unique_ptr<LogisticRegression> make_solver(const Array<float>& features, const Array<std::int64_t>& rows,
                                                const Array<std::int32_t>& labels, std::size_t classes, double l2,
                                                const std::optional<Array<float>>& class_weights, double tolerance,
                                                int threads) {
  if (features.ndim() != 2 || features.shape(1) < 1) invalid("features: expected float32 (rows, columns)");
  if (rows.size() < 1 || rows.size() != labels.size()) invalid("expected one label per row, and at least one row");
  if (classes < 2) invalid("expected at least 2 classes");
  check_l2(l2);
  if (!(tolerance > 0) || !std::isfinite(tolerance)) invalid("tolerance must be positive and finite");
  if (threads < 0 || threads > 1024) invalid("threads must be 0, for all, to 1024");
  if (class_weights && class_weights->size() != static_cast<py::ssize_t>(classes))
    invalid("expected one weight per class");
  if (class_weights)
    for (const float weight : view(*class_weights))
      if (!(weight > 0) || !std::isfinite(weight)) invalid("class weights must be positive");
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
  const LogisticRegression::Problem problem{view(features),
                                            columns,
                                            view(rows),
                                            view(labels),
                                            classes,
                                            class_weights ? view(*class_weights) : std::span<const float>()};
  py::gil_scoped_release unlocked;
  return std::make_unique<LogisticRegression>(problem, l2, tolerance, threads);
}

State get_state(const LogisticRegression& solver) {
  const NewtonCg::State& state = solver.state();
  State dict;
  dict["w"] = Array<float>(static_cast<py::ssize_t>(state.w.size()), state.w.data());
  dict["anchor"] = Array<float>(static_cast<py::ssize_t>(state.anchor.size()), state.anchor.data());
  dict["iteration"] = state.iteration;
  dict["inner_iterations"] = state.inner_iterations;
  dict["idle_iterations"] = state.idle_iterations;
  dict["converged"] = state.converged;
  dict["l2"] = solver.l2();
  return dict;
}

void set_state(LogisticRegression& solver, const State& dict) {
  const auto w = dict["w"].cast<Array<float>>(), anchor = dict["anchor"].cast<Array<float>>();
  NewtonCg::State state{{w.data(), w.data() + w.size()},
                        {anchor.data(), anchor.data() + anchor.size()},
                        dict["iteration"].cast<std::int64_t>(),
                        dict["inner_iterations"].cast<std::int64_t>(),
                        dict["idle_iterations"].cast<std::int64_t>(),
                        dict["converged"].cast<bool>()};
  const double l2 = dict["l2"].cast<double>();
  check_l2(l2);
  solver.restore(std::move(state), l2);
}

py::typing::Tuple<Array<float>, Array<float>> get_weights(const LogisticRegression& solver) {
  Array<float> weights({solver.mean().size(), solver.classes()});
  Array<float> intercepts(static_cast<py::ssize_t>(solver.classes()));
  solver.weights(mutable_view(weights), mutable_view(intercepts));
  return py::make_tuple(weights, intercepts);
}

}  // namespace

void bind_solve(py::module_& module) {
  using release = py::call_guard<py::gil_scoped_release>;
  py::class_<LogisticRegression>(
      module, "LogisticRegression",
      "Multinomial logistic regression on standardised features, one Newton iteration at a time:\n"
      "(weighted) mean log loss + l2/2 |W|^2, intercepts free. Equal bytes for any number of threads.")
      .def(py::init(&make_solver), py::arg("features"), py::arg("rows"), py::arg("labels"), py::arg("classes"),
           py::arg("l2"), py::arg("class_weights") = py::none(), py::arg("tolerance") = 1e-5, py::arg("threads") = 0,
           "features float32 (n, d); rows int64 (m,), those to train on; labels int32 (m,).")
      .def(
          "step", [](LogisticRegression& solver, const CancelToken& cancel) { return solver.step(cancel); },
          py::arg("cancel"), release(), "One outer iteration; False once converged.")
      .def(
          "set_l2",
          [](LogisticRegression& solver, double l2) {
            check_l2(l2);
            solver.set_l2(l2);
          },
          py::arg("l2"), "Continue from these weights with another penalty.")
      .def("value", &LogisticRegression::value, release(), "The objective at the present weights.")
      .def_property_readonly("l2", &LogisticRegression::l2)
      .def_property_readonly("iteration", [](const LogisticRegression& s) { return s.state().iteration; })
      .def_property_readonly("converged", [](const LogisticRegression& s) { return s.state().converged; })
      .def_property_readonly("constant_features", &LogisticRegression::constant_features,
                             "How many features hardly vary; their weights are fixed at 0.")
      .def_property_readonly("mean",
                             [](const LogisticRegression& s) {
                               return Array<double>(static_cast<py::ssize_t>(s.mean().size()), s.mean().data());
                             })
      .def_property_readonly("deviation",
                             [](const LogisticRegression& s) {
                               return Array<double>(static_cast<py::ssize_t>(s.deviation().size()),
                                                    s.deviation().data());
                             })
      .def("state", &get_state, "All that the next step depends on, as a dict of arrays and numbers.")
      .def("restore", &set_state, py::arg("state"), "Continue from a state(), bit for bit.")
      .def("weights", &get_weights,
           "Weights on standardised features (d, classes) and intercepts (classes,), float32.")
      .def(
          "probabilities",
          [](const LogisticRegression& solver, const Array<float>& features) {
            if (features.ndim() != 2 || features.shape(1) != static_cast<py::ssize_t>(solver.mean().size()))
              invalid("features: expected (rows, " + std::to_string(solver.mean().size()) + ")");
            for (const float x : view(features))
              if (!std::isfinite(x)) invalid("features: not finite");
            Array<float> out({static_cast<std::size_t>(features.shape(0)), solver.classes()});
            const auto from = view(features);
            const auto to = mutable_view(out);
            py::gil_scoped_release unlocked;
            solver.probabilities(from, to);
            return out;
          },
          py::arg("features"), "Probabilities float32 (rows, classes) of raw features.");
}

}  // namespace silverprint::bindings
