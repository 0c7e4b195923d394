#pragma once
#include <cstddef>
#include <span>

namespace silverprint {

// A smooth convex function of a parameter vector, as an optimiser sees it. Where the data lie and
// how many threads work on them is the objective's own affair; equal inputs give equal bytes.
class Objective {
 public:
  virtual ~Objective() = default;

  virtual std::size_t dimension() const = 0;

  // The value and gradient at w. Derivatives below are taken at the w of the last call.
  virtual double value_gradient(std::span<const float> w, std::span<float> gradient) = 0;

  // product = H v with the Hessian H.
  virtual void hessian_vector(std::span<const float> v, std::span<float> product) = 0;

  // Rebuilds the preconditioner M, an approximation of H that is cheap to solve with.
  virtual void refresh_preconditioner() = 0;

  // z = M^-1 r.
  virtual void precondition(std::span<const float> r, std::span<float> z) = 0;
};

}  // namespace silverprint
