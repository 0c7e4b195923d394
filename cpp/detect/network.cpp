#include "detect/network.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/process.h"
#include "base/random.h"

namespace silverprint {
namespace {

void check(bool holds, const char* message) {
  if (!holds) throw Error(ErrorCode::invalid_argument, message);
}

void check_options(const NetworkOptions& o) {
  check(!o.inputs.empty(), "inputs: expected at least one");
  for (const auto& input : o.inputs)
    check(input.stride > 0 && input.channels > 0 && input.height > 0 && input.width > 0,
          "inputs: expected positive strides, channels and sizes");
  for (std::size_t i = 1; i < o.inputs.size(); ++i)
    check(o.inputs[i].stride == 2 * o.inputs[i - 1].stride && 2 * o.inputs[i].height == o.inputs[i - 1].height &&
              2 * o.inputs[i].width == o.inputs[i - 1].width,
          "inputs: expected twice the stride and half the size of the one before");
  check(o.classes > 0, "classes: expected at least 1");
  check(o.channels > 0 && o.channels % kLanes == 0, "channels: expected a multiple of 16");
  check(o.tower > 0, "tower: expected at least 1");
  check(o.batch > 0, "batch: expected at least 1");
}

}  // namespace

Layer Network::add_layer(const std::string& name, std::vector<std::size_t> kernel, std::vector<Grid> grids) {
  Layer layer(name, std::move(kernel), std::move(grids), options_.batch, parameter_list_, statistic_list_);
  partials_.reserve(layer.kernel_size());
  return layer;
}

Network::Network(const NetworkOptions& options, std::span<const float> mean, std::span<const float> deviation,
                 int threads)
    : options_(options), threads_(threads) {
  check_options(options);
  const std::size_t channels = options.channels, batch = options.batch;
  const std::vector<std::size_t> square{3, 3, channels, channels};
  std::vector<Grid> grids;
  std::vector<float> strides;
  std::size_t planes = 0;
  for (const auto& input : options.inputs) {
    grids.push_back({input.height, input.width});
    strides.push_back(static_cast<float>(input.stride));
    inputs_.emplace_back(grids.back(), input.channels, batch);
    laterals_.push_back(add_layer("lateral" + std::to_string(input.stride), {input.channels, channels}, {grids.back()}));
    planes += input.channels;
  }
  check(mean.size() == planes && deviation.size() == planes, "mean, deviation: expected one of each input channel");
  for (std::size_t c = 0; c < planes; ++c) {
    check(std::isfinite(mean[c]) && deviation[c] > 0 && std::isfinite(1 / deviation[c]),
          "mean, deviation: expected finite means and positive deviations");
    scale_.push_back(1 / deviation[c]);
    shift_.push_back(-mean[c] / deviation[c]);
  }
  const Grid top = grids.back();
  for (std::size_t i = 0; i < options.context; ++i)
    context_.push_back(add_layer("context" + std::to_string(i), square, {top}));
  for (std::size_t i = 0; i <= options.context; ++i) context_maps_.emplace_back(top, channels, batch);
  for (std::size_t l = 0; l + 1 < grids.size(); ++l) merged_.emplace_back(grids[l], channels, batch);
  for (std::size_t l = 0; l < grids.size(); ++l)
    own_.push_back(add_layer("level" + std::to_string(options.inputs[l].stride), square, {grids[l]}));
  if (options.coarser) {
    strided_ = std::make_unique<StridedConvolution>(top, channels, batch);
    grids.push_back(strided_->grid());
    strides.push_back(2 * strides.back());
    coarser_.push_back(add_layer("level" + std::to_string(2 * options.inputs.back().stride), square, {grids.back()}));
  }
  for (std::size_t i = 0; i < options.tower; ++i) tower_.push_back(add_layer("tower" + std::to_string(i), square, grids));
  towers_.resize(options.tower + 1);
  for (std::size_t l = 0; l < grids.size(); ++l) {
    for (Maps& maps : towers_) maps.emplace_back(grids[l], channels, batch);
    signals_.emplace_back(grids[l], channels, batch);
    by_z_.emplace_back(grids[l], channels, batch);
    levels_.push_back({grids[l].width, grids[l].height, strides[l]});
  }
  predictor_ = std::make_unique<Predictor>(grids, strides, channels, options.classes, batch, parameter_list_);
  partials_.reserve(predictor_->kernel_size());
  mirrored_.resize(9 * channels * channels);
  parameters_.resize(parameter_list_.size());
  gradient_.resize(parameter_list_.size());
  statistics_.resize(statistic_list_.size());
  logits_.resize(batch * cells() * options.classes);
  distances_.resize(batch * cells() * 4);
  initialise(0);
}

std::size_t Network::row_size() const noexcept {
  std::size_t size = 0;
  for (const auto& input : options_.inputs) size += input.channels * input.height * input.width;
  return size;
}

std::size_t Network::multiply_adds() const noexcept {
  const std::size_t channels = options_.channels, square = 9 * channels * channels;
  std::size_t sum = cells() * (options_.tower * square + predictor_->kernel_size());
  for (const auto& input : options_.inputs)
    sum += input.height * input.width * (input.channels * channels + square);
  sum += inputs_.back().grid.cells() * options_.context * square;
  return sum + (strided_ ? strided_->grid().cells() * square : 0);
}

void Network::initialise(std::uint64_t seed) {
  SplitMix64 random(seed);
  const std::span<float> all = parameters_;
  for (const Parameter& p : parameter_list()) {
    const auto values = all.subspan(p.offset, p.size());
    if (p.decays) {
      const double bound = std::sqrt(6.0 / static_cast<double>(p.size() / p.shape.back()));
      for (float& w : values) w = static_cast<float>(bound * (2 * random.uniform() - 1));
    } else {
      std::fill(values.begin(), values.end(), p.name.ends_with(".gamma") ? 1.0f : 0.0f);
    }
  }
  predictor_->initialise(all, random);
  for (const Parameter& p : statistic_list())
    std::fill_n(statistics_.begin() + static_cast<std::ptrdiff_t>(p.offset), p.size(),
                p.name.ends_with(".variance") ? 1.0f : 0.0f);
}

Pass Network::pass(bool training) { return {pictures_, training, threads_, parameters_, statistics_, gradient_}; }

void Network::widen(std::span<const std::uint16_t* const> rows) {
  pool().run(rows.size(), threads_, [&](std::size_t picture) {
    const std::uint16_t* from = rows[picture];
    std::size_t channel = 0;
    for (PlanarMap& map : inputs_)
      for (std::size_t c = 0; c < map.channels; ++c, ++channel, from += map.grid.cells())
        kernels().widen(map.grid.height, map.grid.width, from, scale_[channel], shift_[channel],
                        map.at(picture) + c * map.plane(), map.grid.row());
  });
}

}  // namespace silverprint
