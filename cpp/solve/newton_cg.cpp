#include "solve/newton_cg.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "solve/vector_math.h"

namespace silverprint {
namespace {

// Inner solves stop when the preconditioned residual norm has fallen to this share: measured on
// backbone features, 0.3 takes fewer passes in all than 0.1.
constexpr double kForcing = 0.3;
constexpr int kMostInner = 250;
// An inner solve longer than this pays for a new preconditioner.
constexpr int kSlowInner = 6;
constexpr double kArmijo = 1e-4;
// Values are sums of float32 terms: smaller rises are rounding.
constexpr double kNoise = 1e-7;
constexpr int kMostHalvings = 20;
constexpr int kMostIdle = 3;

}  // namespace

NewtonCg::NewtonCg(Objective& objective, double tolerance) : objective_(objective), tolerance_(tolerance) {
  const std::size_t n = objective.dimension();
  state_.w.assign(n, 0.0f);
  for (auto* v : {&gradient_, &direction_, &residual_, &search_, &product_, &trial_, &trial_gradient_})
    v->assign(n, 0.0f);
}

void NewtonCg::restart() {
  state_.converged = false;
  state_.inner_iterations = state_.idle_iterations = 0;
  state_.anchor.clear();
  evaluated_ = preconditioned_ = false;
}

void NewtonCg::restore(State state) {
  if (state.w.size() != objective_.dimension() ||
      (!state.anchor.empty() && state.anchor.size() != objective_.dimension()))
    throw Error(ErrorCode::invalid_argument, "this state belongs to a problem of another size");
  state_ = std::move(state);
  evaluated_ = preconditioned_ = false;
}

void NewtonCg::evaluate() {
  if (!preconditioned_ && !state_.anchor.empty()) {
    objective_.value_gradient(state_.anchor, gradient_);
    objective_.refresh_preconditioner();
    preconditioned_ = true;
    evaluated_ = false;
  }
  if (!evaluated_) value_ = objective_.value_gradient(state_.w, gradient_);
  evaluated_ = true;
}

double NewtonCg::value() {
  evaluate();
  return value_;
}

void NewtonCg::solve_newton_system(const CancelToken& cancel) {
  std::fill(direction_.begin(), direction_.end(), 0.0f);
  for (std::size_t i = 0; i < residual_.size(); ++i) residual_[i] = -gradient_[i];
  auto& preconditioned = trial_;
  objective_.precondition(residual_, preconditioned);
  std::copy(preconditioned.begin(), preconditioned.end(), search_.begin());
  const double initial = dot(residual_, preconditioned);
  double current = initial;
  state_.inner_iterations = 0;
  while (state_.inner_iterations < kMostInner && current > 0) {
    cancel.check();
    objective_.hessian_vector(search_, product_);
    ++state_.inner_iterations;
    const double curvature = dot(search_, product_);
    if (!(curvature > 0)) break;
    const float length = static_cast<float>(current / curvature);
    add_scaled(direction_, length, search_);
    add_scaled(residual_, -length, product_);
    objective_.precondition(residual_, preconditioned);
    const double next = dot(residual_, preconditioned);
    if (next <= kForcing * kForcing * initial) break;
    const float ratio = static_cast<float>(next / current);
    for (std::size_t i = 0; i < search_.size(); ++i) search_[i] = preconditioned[i] + ratio * search_[i];
    current = next;
  }
}

bool NewtonCg::step(const CancelToken& cancel) {
  if (state_.converged) return false;
  cancel.check();
  const std::int64_t last_inner = state_.inner_iterations;
  evaluate();
  if (state_.anchor.empty() || last_inner > kSlowInner) {
    objective_.refresh_preconditioner();
    state_.anchor = state_.w;
    preconditioned_ = true;
  }
  try {
    solve_newton_system(cancel);
  } catch (...) {
    state_.inner_iterations = last_inner;
    throw;
  }
  const double slope = dot(gradient_, direction_);
  const double promise = -0.5 * slope;
  bool moved = false;
  double length = 1;
  for (int halvings = 0; slope < 0 && halvings < kMostHalvings; ++halvings, length *= 0.5) {
    for (std::size_t i = 0; i < trial_.size(); ++i)
      trial_[i] = state_.w[i] + static_cast<float>(length) * direction_[i];
    const double value = objective_.value_gradient(trial_, trial_gradient_);
    if (value <= value_ + kArmijo * length * slope + kNoise * std::abs(value_)) {
      std::swap(state_.w, trial_);
      std::swap(gradient_, trial_gradient_);
      state_.idle_iterations = value_ - value > kNoise * std::abs(value_) ? 0 : state_.idle_iterations + 1;
      value_ = value;
      moved = true;
      break;
    }
  }
  if (!moved) evaluated_ = false;  // the objective stands at a rejected point
  ++state_.iteration;
  state_.converged =
      !moved || promise <= tolerance_ * std::abs(value_) || state_.idle_iterations >= kMostIdle;
  return !state_.converged;
}

}  // namespace silverprint
