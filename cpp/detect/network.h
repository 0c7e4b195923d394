#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "detect/assignment.h"
#include "detect/convolution.h"
#include "detect/predictor.h"

namespace silverprint {

// A detection head on a frozen backbone's maps. "3x3" stands for a convolution without bias, batch
// normalisation and rectification.
//
//   each input: standardised by channel, 1x1 to `channels`, normalised and rectified
//   the coarsest: `context` times x + 3x3(x)
//   `coarser`: a further level by a 3x3 of stride 2 from there
//   each finer one: + the next coarser one's cells, each repeated 2x2, from the coarsest down
//   each input's level: a 3x3; then all levels: `tower` 3x3 that they share, statistics included
//   all levels: a Predictor
//
// It follows RetinaNet's and FCOS's heads on a feature pyramid (Lin et al., 2017; Tian et al., 2019).
struct NetworkOptions {
  struct Input {
    std::size_t stride, channels, height, width;
  };
  std::vector<Input> inputs;  // finest first, each stride twice the last, all of one picture size
  std::size_t classes;
  std::size_t channels = 64;  // a multiple of kLanes
  std::size_t context = 4, tower = 2;
  bool coarser = true;
  std::size_t batch = 16;  // most pictures at once
};

// One caller at a time.
class Network {
 public:
  // The inputs' channels, one after the other, are taken as (x - mean) / deviation. Throws
  // invalid_argument where the options fit no network. `threads` 0: all.
  Network(const NetworkOptions& options, std::span<const float> mean, std::span<const float> deviation, int threads);

  // From rows of inputs in half precision, each input's (channels, height, width) after the other.
  // `training` normalises by the batch and moves the running statistics.
  void forward(std::span<const std::uint16_t* const> rows, bool training);
  // Of the last forward(): (pictures, cells, classes), and (pictures, cells, 4) in pixels of the
  // picture that the backbone saw: left, top, right and bottom of a box from the cell's centre.
  std::span<const float> logits() const noexcept { return {logits_.data(), pictures_ * cells() * options_.classes}; }
  std::span<const float> distances() const noexcept { return {distances_.data(), pictures_ * cells() * 4}; }

  // Sets gradient() from the derivatives by both, of the last forward(). Throws invalid_argument where
  // there was none, or not a training one.
  void backward(std::span<const float> by_logits, std::span<const float> by_distances);

  // Weights as by Kaiming He et al. (ICCV 2015), uniform; statistics 0 and 1.
  void initialise(std::uint64_t seed);

  const std::vector<Parameter>& parameter_list() const noexcept { return parameter_list_.all(); }
  const std::vector<Parameter>& statistic_list() const noexcept { return statistic_list_.all(); }
  std::span<float> parameters() noexcept { return parameters_; }
  std::span<float> statistics() noexcept { return statistics_; }
  std::span<const float> gradient() const noexcept { return gradient_; }

  const NetworkOptions& options() const noexcept { return options_; }
  std::size_t row_size() const noexcept;  // values of one picture's inputs
  const std::vector<GridLevel>& levels() const noexcept { return levels_; }
  std::size_t cells() const noexcept { return predictor_->cells(); }
  // Multiply-adds of all convolutions for one picture, forward.
  std::size_t multiply_adds() const noexcept;

 private:
  using Maps = std::vector<FeatureMap>;

  Pass pass(bool training);
  void widen(std::span<const std::uint16_t* const> rows);
  void project_inputs(const Pass& pass);
  void add_context(const Pass& pass);
  void apply_tower(const Pass& pass);
  void context_back(const Pass& pass);
  void pyramid_back(const Pass& pass);
  void convolution_back(const Pass& pass, Layer& layer, std::span<const FeatureMap> in, std::span<FeatureMap> d,
                        std::span<FeatureMap> by_z, bool add);
  Layer add_layer(const std::string& name, std::vector<std::size_t> kernel, std::vector<Grid> grids);

  NetworkOptions options_;
  int threads_;
  std::size_t pictures_ = 0;  // of the last forward()
  bool trained_ = false;      // it was a training one
  std::vector<GridLevel> levels_;
  std::vector<float> scale_, shift_;  // of each input channel
  ParameterList parameter_list_, statistic_list_;

  std::vector<PlanarMap> inputs_;
  std::vector<Layer> laterals_, context_, own_, tower_;  // own_: the 3x3 of each input's level
  std::unique_ptr<StridedConvolution> strided_;
  std::vector<Layer> coarser_;  // one or none
  std::unique_ptr<Predictor> predictor_;
  Maps context_maps_;           // the coarsest input's, before, between and after its context layers
  Maps merged_;                 // of the finer inputs, after the addition from above
  std::vector<Maps> towers_;    // of all levels, before, between and after the tower's layers
  Maps signals_, by_z_;         // derivatives on all levels, by rectified and by raw outputs
  PartialGradients partials_;
  AlignedVector<float> mirrored_;
  AlignedVector<float> parameters_, statistics_, gradient_, logits_, distances_;
};

}  // namespace silverprint
