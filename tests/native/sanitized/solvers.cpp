// Cholesky, logistic regression and the perceptron on small problems of awkward sizes.
#include <cmath>
#include <memory>

#include "base/error.h"
#include "check.h"
#include "solve/cholesky.h"
#include "solve/head_solver.h"

namespace silverprint::sanitized {
namespace {

void check_cholesky(SplitMix64& random, std::size_t order) {
  constexpr std::size_t columns = 16;
  // A = G G' + order I.
  const auto g = random_floats(random, order * order);
  std::vector<double> a(order * order);
  for (std::size_t i = 0; i < order; ++i)
    for (std::size_t j = 0; j < order; ++j) {
      for (std::size_t p = 0; p < order; ++p) a[i * order + j] += double{g[i * order + p]} * g[j * order + p];
      if (i == j) a[i * order + j] += static_cast<double>(order);
    }
  Cholesky factor(order);
  for (std::size_t i = 0; i < order; ++i)
    for (std::size_t j = 0; j < order; ++j) factor.matrix()[i * factor.stride() + j] = static_cast<float>(a[i * order + j]);
  CHECK(factor.factor(2));
  const auto b = random_floats(random, order * columns);
  auto x = b;
  factor.solve(x.data(), columns, 2);
  for (std::size_t i = 0; i < order; ++i)
    for (std::size_t c = 0; c < columns; ++c) {
      double product = 0;
      for (std::size_t j = 0; j < order; ++j) product += a[i * order + j] * x[j * columns + c];
      CHECK(std::abs(product - b[i * columns + c]) < 1e-2);
    }

  Cholesky indefinite(order);
  for (std::size_t i = 0; i < order; ++i) indefinite.matrix()[i * indefinite.stride() + i] = i + 1 == order ? -1.0f : 1.0f;
  CHECK(!indefinite.factor(2));
}

struct Data {
  std::vector<float> features;
  std::vector<std::int64_t> rows;
  std::vector<std::int32_t> labels;
  std::vector<float> weights;
  std::size_t columns, classes;

  Problem problem() const { return {features, columns, rows, labels, classes, weights}; }
};

// Classes that lie apart, every other row left out of training, sometimes with a constant column.
Data make_data(SplitMix64& random) {
  Data data{{}, {}, {}, {}, between(random, 1, 40), between(random, 2, 19)};
  const std::size_t rows = 2 * data.classes * between(random, 2, 12);
  data.features = random_floats(random, rows * data.columns);
  for (std::size_t i = 0; i < rows; i += 2) {
    const std::size_t label = i / 2 % data.classes;
    data.rows.push_back(static_cast<std::int64_t>(i));
    data.labels.push_back(static_cast<std::int32_t>(label));
    data.features[i * data.columns + label % data.columns] += 3;
  }
  if (random.next() % 2)
    for (std::size_t i = 0; i < rows; ++i) data.features[i * data.columns] = 7;
  if (random.next() % 2) data.weights.assign(data.rows.size(), 0.5f);
  return data;
}

template <class Solver, class Make>
void check_solver(const Data& data, const Make& make) {
  const CancelToken go_on;
  const std::unique_ptr<Solver> one = make(1), two = make(2);
  CHECK(one->step(go_on) == two->step(go_on));
  const auto early = two->state();
  for (int i = 0; i < 60; ++i) {
    const bool more = one->step(go_on);
    CHECK(two->step(go_on) == more);
    if (!more) break;
  }
  CHECK(same_bytes(one->state().w, two->state().w));
  CHECK(std::isfinite(one->value()));

  const std::size_t all = data.features.size() / data.columns;
  std::vector<float> p(all * data.classes), again(p.size());
  one->probabilities(data.features, p);
  two->restore(early, two->l2());
  for (int i = 0; i < 60; ++i)
    if (!two->step(go_on)) break;
  two->probabilities(data.features, again);
  CHECK(same_bytes(p, again));
  CHECK(!one->layers().empty());
  one->set_l2(0.5);
  one->step(go_on);

  CancelToken stop;
  stop.cancel();
  two->set_l2(0.5);
  try {
    two->step(stop);
    CHECK(false);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::cancelled);
  }
}

}  // namespace
}  // namespace silverprint::sanitized

int main() {
  using namespace silverprint;
  using namespace silverprint::sanitized;
  SplitMix64 random(3);
  for (const std::size_t order : {1, 2, 15, 16, 63, 64, 65, 130}) check_cholesky(random, order);
  for (int round = 0; round < 25; ++round) {
    const Data data = make_data(random);
    check_solver<LogisticRegression>(
        data, [&](int threads) { return std::make_unique<LogisticRegression>(data.problem(), 1e-2, 1e-6, threads); });
    const std::vector<std::size_t> layer_sizes(round % 3, between(random, 1, 20));
    check_solver<MultilayerPerceptron>(data, [&](int threads) {
      return std::make_unique<MultilayerPerceptron>(data.problem(), layer_sizes, 1e-2, 1e-4, 5, threads);
    });
  }
  std::puts("solvers: well");
}
