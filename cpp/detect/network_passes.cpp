// What network.h describes, layer by layer: forward, and back.
#include <algorithm>

#include "base/error.h"
#include "base/process.h"
#include "detect/network.h"

namespace silverprint {
namespace {

// fine += each cell of `coarse`, repeated 2x2.
void add_repeated(const FeatureMap& coarse, const Band& band, FeatureMap& fine) {
  const std::size_t channels = fine.channels;
  for (std::size_t y = band.first; y < band.last; ++y) {
    float* to = fine.at(band.picture, y);
    const float* from = coarse.at(band.picture, y / 2);
    for (std::size_t x = 0; x < fine.grid.width; ++x)
      for (std::size_t c = 0; c < channels; ++c) *to++ += from[x / 2 * channels + c];
  }
}

// coarse += the sum of each 2x2 cells of `fine`.
void add_repeated_back(const FeatureMap& fine, std::size_t picture, FeatureMap& coarse) {
  const std::size_t channels = fine.channels;
  for (std::size_t y = 0; y < coarse.grid.height; ++y) {
    float* to = coarse.at(picture, y);
    const float *upper = fine.at(picture, 2 * y), *lower = fine.at(picture, 2 * y + 1);
    for (std::size_t x = 0; x < coarse.grid.width; ++x, upper += channels, lower += channels)
      for (std::size_t c = 0; c < channels; ++c, ++upper, ++lower)
        *to++ += (upper[0] + upper[channels]) + (lower[0] + lower[channels]);
  }
}

void clear(FeatureMap& map, const Band& band) {
  std::fill_n(map.at(band.picture, band.first), band.positions(map.grid) * map.channels, 0.0f);
}

}  // namespace

void Network::project_inputs(const Pass& pass) {
  for (std::size_t l = 0; l < inputs_.size(); ++l) {
    Layer& layer = laterals_[l];
    FeatureMap& out = l + 1 < inputs_.size() ? merged_[l] : context_maps_[0];
    layer.forward(
        pass,
        [&](std::size_t, const Band& band) { project(inputs_[l], band, layer.kernel(pass), layer.z(0)); },
        [&](std::size_t, const Band& band) { layer.apply(0, band, nullptr, out); });
  }
}

void Network::add_context(const Pass& pass) {
  for (std::size_t i = 0; i < context_.size(); ++i) {
    Layer& layer = context_[i];
    layer.forward(
        pass,
        [&](std::size_t, const Band& band) { convolve(context_maps_[i], band, layer.kernel(pass), layer.z(0)); },
        [&](std::size_t, const Band& band) { layer.apply(0, band, &context_maps_[i], context_maps_[i + 1]); });
  }
  for (std::size_t l = merged_.size(); l-- > 0;) {
    const FeatureMap& coarse = l + 1 < merged_.size() ? merged_[l + 1] : context_maps_.back();
    pool().run(pass.pictures, pass.threads, [&](std::size_t picture) {
      add_repeated(coarse, {picture, 0, merged_[l].grid.height}, merged_[l]);
    });
  }
}

void Network::apply_tower(const Pass& pass) {
  for (std::size_t l = 0; l < own_.size(); ++l) {
    const FeatureMap& in = l < merged_.size() ? merged_[l] : context_maps_.back();
    Layer& layer = own_[l];
    layer.forward(
        pass, [&](std::size_t, const Band& band) { convolve(in, band, layer.kernel(pass), layer.z(0)); },
        [&](std::size_t, const Band& band) { layer.apply(0, band, nullptr, towers_[0][l]); });
  }
  for (Layer& layer : coarser_)
    layer.forward(
        pass,
        [&](std::size_t, const Band& band) {
          strided_->convolve(context_maps_.back(), band, layer.kernel(pass), layer.z(0));
        },
        [&](std::size_t, const Band& band) { layer.apply(0, band, nullptr, towers_[0].back()); });
  for (std::size_t i = 0; i < tower_.size(); ++i) {
    Layer& layer = tower_[i];
    layer.forward(
        pass,
        [&](std::size_t map, const Band& band) {
          convolve(towers_[i][map], band, layer.kernel(pass), layer.z(map));
        },
        [&](std::size_t map, const Band& band) { layer.apply(map, band, nullptr, towers_[i + 1][map]); });
  }
}

void Network::forward(std::span<const std::uint16_t* const> rows, bool training) {
  if (rows.empty() || rows.size() > options_.batch)
    throw Error(ErrorCode::invalid_argument, "rows: expected 1 to " + std::to_string(options_.batch) + " pictures, the batch");
  pictures_ = rows.size();
  trained_ = training;
  const Pass now = pass(training);
  widen(rows);
  project_inputs(now);
  add_context(now);
  apply_tower(now);
  predictor_->forward(now, towers_.back(), logits_, distances_);
}

void Network::convolution_back(const Pass& pass, Layer& layer, std::span<const FeatureMap> in,
                               std::span<FeatureMap> d, std::span<FeatureMap> by_z, bool add) {
  const std::size_t channels = options_.channels;
  mirror_kernel(layer.kernel(pass), channels, channels, mirrored_.data());
  layer.backward(
      pass, d, by_z, partials_,
      [&](std::size_t map, const Band& band, float* partial) { convolve_by_kernel(in[map], by_z[map], band, partial); },
      [&](std::size_t map, const Band& band) {
        if (!add) clear(d[map], band);
        convolve(by_z[map], band, mirrored_.data(), d[map]);
      });
}

void Network::context_back(const Pass& pass) {
  const std::span<FeatureMap> signals = signals_, by_z = by_z_;
  const std::size_t top = inputs_.size() - 1;
  for (Layer& layer : coarser_) {
    transpose(layer.kernel(pass), 9 * options_.channels, options_.channels, mirrored_.data());
    layer.backward(
        pass, signals.last(1), by_z.last(1), partials_,
        [&](std::size_t, const Band& band, float* partial) {
          strided_->convolve_by_kernel(by_z_.back(), band, partial);
        },
        [&](std::size_t, const Band& band) {
          strided_->convolve_by_input(by_z_.back(), band, mirrored_.data(), signals_[top]);
        });
  }
  for (std::size_t i = context_.size(); i-- > 0;)
    convolution_back(pass, context_[i], {&context_maps_[i], 1}, signals.subspan(top, 1), by_z.subspan(top, 1), true);
}

void Network::pyramid_back(const Pass& pass) {
  const std::span<FeatureMap> signals = signals_, by_z = by_z_;
  for (std::size_t l = 0; l < own_.size(); ++l) {
    const FeatureMap& in = l < merged_.size() ? merged_[l] : context_maps_.back();
    convolution_back(pass, own_[l], {&in, 1}, signals.subspan(l, 1), by_z.subspan(l, 1), false);
  }
  for (std::size_t l = 0; l < merged_.size(); ++l)
    pool().run(pass.pictures, pass.threads,
               [&](std::size_t picture) { add_repeated_back(signals_[l], picture, signals_[l + 1]); });
  context_back(pass);
  for (std::size_t l = 0; l < inputs_.size(); ++l)
    laterals_[l].backward(
        pass, signals.subspan(l, 1), by_z.subspan(l, 1), partials_,
        [&](std::size_t, const Band& band, float* partial) {
          project_by_kernel(inputs_[l], by_z_[l], band, partial);
        },
        [](std::size_t, const Band&) {});
}

void Network::backward(std::span<const float> by_logits, std::span<const float> by_distances) {
  if (!trained_) throw Error(ErrorCode::invalid_argument, "backward: expected a training forward before");
  if (by_logits.size() != logits().size() || by_distances.size() != distances().size())
    throw Error(ErrorCode::invalid_argument, "backward: expected derivatives shaped as logits and distances");
  const Pass now = pass(true);
  std::fill(gradient_.begin(), gradient_.end(), 0.0f);
  predictor_->backward(now, towers_.back(), distances_, by_logits, by_distances, partials_, signals_);
  for (std::size_t i = tower_.size(); i-- > 0;) convolution_back(now, tower_[i], towers_[i], signals_, by_z_, false);
  pyramid_back(now);
}

}  // namespace silverprint
