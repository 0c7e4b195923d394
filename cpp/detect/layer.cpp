#include "detect/layer.h"

#include <algorithm>

#include "base/process.h"

namespace silverprint {
namespace {

// Positions that one task takes: with them and what they read, its caches are about full.
constexpr std::size_t kPositions = 512;
// Values of a gradient that one task adds up.
constexpr std::size_t kSlice = 4096;

std::vector<FeatureMap> maps(std::span<const Grid> grids, std::size_t channels, std::size_t pictures) {
  std::vector<FeatureMap> all;
  for (const Grid& grid : grids) all.emplace_back(grid, channels, pictures);
  return all;
}

std::size_t strip_rows(const Grid& grid) { return std::max<std::size_t>(1, kPositions / grid.row()); }

std::size_t count_strips(std::span<const Grid> grids) {
  std::size_t count = 0;
  for (const Grid& grid : grids) count += (grid.height + strip_rows(grid) - 1) / strip_rows(grid);
  return count;
}

}  // namespace

void PartialGradients::run(const Pass& pass, std::size_t size, const std::function<void(std::size_t, float*)>& task,
                           float* gradient) {
  const std::size_t groups = std::min(kGroups, pass.pictures);
  pool().run(groups, pass.threads, [&](std::size_t g) {
    float* partial = values_.data() + g * size;
    std::fill_n(partial, size, 0.0f);
    for (std::size_t i = g * pass.pictures / groups; i < (g + 1) * pass.pictures / groups; ++i) task(i, partial);
  });
  pool().run((size + kSlice - 1) / kSlice, pass.threads, [&](std::size_t slice) {
    const std::size_t begin = slice * kSlice, end = std::min(begin + kSlice, size);
    for (std::size_t g = 0; g < groups; ++g)
      for (std::size_t i = begin; i < end; ++i) gradient[i] += values_[g * size + i];
  });
}

Layer::Layer(const std::string& name, std::vector<std::size_t> kernel, std::vector<Grid> grids, std::size_t pictures,
             ParameterList& parameters, ParameterList& statistics)
    : channels_(kernel.back()),
      z_(maps(grids, channels_, pictures)),
      norm_(channels_, pictures * count_strips(grids)) {
  for (std::size_t m = 0; m < grids.size(); ++m)
    for (std::size_t y = 0; y < grids[m].height; y += strip_rows(grids[m]))
      strips_.push_back({m, y, std::min(y + strip_rows(grids[m]), grids[m].height)});
  kernel_ = parameters.add(name + ".kernel", std::move(kernel), true);
  gamma_ = parameters.add(name + ".gamma", {channels_});
  beta_ = parameters.add(name + ".beta", {channels_});
  statistics_ = statistics.add(name + ".mean", {channels_});
  statistics.add(name + ".variance", {channels_});
}

void Layer::run(const Pass& pass, const std::function<void(std::size_t, std::size_t, const Band&)>& task) const {
  pool().run(pass.pictures * strips_.size(), pass.threads, [&](std::size_t i) {
    const Strip& strip = strips_[i % strips_.size()];
    task(i, strip.map, band(i / strips_.size(), strip));
  });
}

void Layer::forward(const Pass& pass, const Task& convolve, const Task& apply) {
  run(pass, [&](std::size_t i, std::size_t map, const Band& band) {
    FeatureMap& z = z_[map];
    std::fill_n(z.at(band.picture, band.first), band.positions(z.grid) * channels_, 0.0f);
    convolve(map, band);
    if (pass.training) norm_.collect(i, z, band);
  });
  const float *gamma = pass.parameters.data() + gamma_, *beta = pass.parameters.data() + beta_;
  const auto running = pass.statistics.subspan(statistics_, 2 * channels_);
  if (pass.training)
    norm_.use_batch(pass.pictures * strips_.size(), gamma, beta, running);
  else
    norm_.use_running(gamma, beta, running);
  run(pass, [&](std::size_t, std::size_t map, const Band& band) { apply(map, band); });
}

void Layer::backward(const Pass& pass, std::span<const FeatureMap> d, std::span<FeatureMap> by_z,
                     PartialGradients& partials, const KernelTask& by_kernel, const Task& by_input) {
  run(pass, [&](std::size_t i, std::size_t map, const Band& band) { norm_.collect_back(i, z_[map], d[map], band); });
  float* gradient = pass.gradient.data();
  norm_.finish_back(pass.pictures * strips_.size(), pass.parameters.data() + gamma_, gradient + gamma_,
                    gradient + beta_);
  partials.run(
      pass, kernel_size(),
      [&](std::size_t picture, float* partial) {
        for (const Strip& strip : strips_)
          norm_.apply_back(z_[strip.map], d[strip.map], band(picture, strip), by_z[strip.map]);
        for (const Strip& strip : strips_) {
          by_kernel(strip.map, band(picture, strip), partial);
          by_input(strip.map, band(picture, strip));
        }
      },
      gradient + kernel_);
}

}  // namespace silverprint
