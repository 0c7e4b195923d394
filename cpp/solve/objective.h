#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace silverprint {

// Functions of a parameter vector, as optimisers see them. Where the data lie and how many threads
// work on them is the objective's own affair; equal inputs give equal bytes.

// A smooth convex function.
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

// A function that is a mean over rows of data, which some of the rows estimate.
class BatchObjective {
 public:
  virtual ~BatchObjective() = default;

  virtual std::size_t dimension() const = 0;
  virtual std::size_t rows() const = 0;

  // The value and gradient at w as the rows of `batch`, at most kLargestBatch of them, show them.
  virtual double value_gradient(std::span<const float> w, std::span<const std::uint32_t> batch,
                                std::span<float> gradient) = 0;

  static constexpr std::size_t kLargestBatch = 64;
};

}  // namespace silverprint
