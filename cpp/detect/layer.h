#pragma once
#include <algorithm>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "detect/batch_norm.h"
#include "detect/feature_map.h"
#include "detect/parameters.h"

namespace silverprint {

// What all layers of one pass work on.
struct Pass {
  std::size_t pictures;
  bool training;
  int threads;
  std::span<const float> parameters;
  std::span<float> statistics, gradient;
};

// Partial gradients of a kernel, one for each group of pictures, added up in order.
class PartialGradients {
 public:
  static constexpr std::size_t kGroups = 16;

  void reserve(std::size_t size) { values_.resize(std::max(values_.size(), kGroups * size)); }

  // Calls task(picture, partial) for every picture, where all pictures of a group have one `partial`
  // of `size` floats, and adds the partials to `gradient`.
  void run(const Pass& pass, std::size_t size, const std::function<void(std::size_t, float*)>& task,
           float* gradient);

 private:
  AlignedVector<float> values_;
};

// A convolution, batch normalisation and rectification, with one kernel and one set of statistics
// for one or several maps. The convolutions themselves are the caller's.
class Layer {
 public:
  using Task = std::function<void(std::size_t map, const Band& band)>;
  using KernelTask = std::function<void(std::size_t map, const Band& band, float* partial)>;

  // `name`.kernel, .gamma and .beta become parameters, .mean and .variance statistics.
  Layer(const std::string& name, std::vector<std::size_t> kernel, std::vector<Grid> grids, std::size_t pictures,
        ParameterList& parameters, ParameterList& statistics);

  const float* kernel(const Pass& pass) const noexcept { return pass.parameters.data() + kernel_; }
  std::size_t kernel_size() const noexcept { return gamma_ - kernel_; }
  FeatureMap& z(std::size_t map) noexcept { return z_[map]; }

  // `convolve` adds a band of outputs to z, which starts at 0; `apply` then calls apply().
  void forward(const Pass& pass, const Task& convolve, const Task& apply);
  void apply(std::size_t map, const Band& band, const FeatureMap* residual, FeatureMap& out) const {
    norm_.apply(z_[map], band, residual, out);
  }

  // From `d`, the derivative by each map of rectified outputs, to `by_z`, that by the convolution's.
  // Then, for each band, by_kernel, which adds to a partial gradient, and by_input.
  void backward(const Pass& pass, std::span<const FeatureMap> d, std::span<FeatureMap> by_z,
                PartialGradients& partials, const KernelTask& by_kernel, const Task& by_input);

 private:
  // Of one picture; the same for all.
  struct Strip {
    std::size_t map, first, last;
  };

  Band band(std::size_t picture, const Strip& strip) const noexcept { return {picture, strip.first, strip.last}; }
  // Calls task(number of the band, map, band) for every band of the batch.
  void run(const Pass& pass, const std::function<void(std::size_t, std::size_t, const Band&)>& task) const;

  std::size_t kernel_, gamma_, beta_, statistics_;  // offsets
  std::size_t channels_;
  std::vector<Strip> strips_;
  std::vector<FeatureMap> z_;
  BatchNorm norm_;
};

}  // namespace silverprint
