#include "bindings/image.h"

#include <optional>
#include <utility>
#include <vector>

#include "base/process.h"
#include "image/scene_view.h"

namespace silverprint::bindings {

PictureRule make_rule(std::size_t height, std::size_t width, const std::string& crop_and_scale) {
  if (height == 0 || width == 0) invalid("a picture rule needs a height and a width of at least 1");
  if (crop_and_scale == "center_crop") return {height, width, CropAndScale::center_crop};
  if (crop_and_scale == "scale_fill") return {height, width, CropAndScale::scale_fill};
  if (crop_and_scale == "scale_fit") return {height, width, CropAndScale::scale_fit};
  invalid("crop_and_scale='" + crop_and_scale + "': expected center_crop, scale_fill or scale_fit");
}

Pixels make_pixels(const py::array_t<std::uint8_t>& picture, const std::string& order) {
  ChannelOrder channel_order = ChannelOrder::rgb;
  if (order == "bgr")
    channel_order = ChannelOrder::bgr;
  else if (order == "rgba")
    channel_order = ChannelOrder::rgba;
  else if (order != "rgb")
    invalid("order='" + order + "': expected rgb, bgr or rgba");
  const py::ssize_t channels = channel_order == ChannelOrder::rgba ? 4 : 3;
  if (picture.ndim() != 3 || picture.shape(2) != channels || picture.shape(0) < 1 || picture.shape(1) < 1)
    invalid("a picture is a uint8 array (height, width, " + std::to_string(channels) + ")");
  if (picture.strides(2) != 1 || picture.strides(1) != channels) invalid("the pixels of a row must be contiguous");
  return {picture.data(), static_cast<std::size_t>(picture.shape(1)), static_cast<std::size_t>(picture.shape(0)),
          picture.strides(0), channel_order};
}

View make_view(const ViewTuple& view) {
  constexpr std::pair<const char*, Augmentation> kNames[] = {
      {"crop", Augmentation::crop},         {"rotation", Augmentation::rotation}, {"blur", Augmentation::blur},
      {"exposure", Augmentation::exposure}, {"noise", Augmentation::noise},       {"flip", Augmentation::flip}};
  const auto& [option, number, seed] = view;
  if (option == "scene") {
    if (number < 0) invalid("view " + std::to_string(number) + " of scene: they count from 0");
    return {Augmentation::scene, number, seed};
  }
  for (const auto& [name, augmentation] : kNames)
    if (option == name) {
      const int last = augmentation == Augmentation::flip ? 3 : 4;
      if (number < 1 || number > last)
        invalid("view " + std::to_string(number) + " of " + option + ": there are 1 to " + std::to_string(last));
      return {augmentation, number, seed};
    }
  invalid("view of '" + option + "': expected crop, rotation, blur, exposure, noise, flip or scene");
}

void bind_image(py::module_& module) {
  module.def(
      "prepare",
      [](const py::array_t<std::uint8_t>& picture, std::size_t height, std::size_t width,
         const std::string& crop_and_scale, const std::string& order, const std::optional<ViewTuple>& view) {
        const PictureRule rule = make_rule(height, width, crop_and_scale);
        const Pixels pixels = make_pixels(picture, order);
        std::optional<View> altered;
        if (view) altered = make_view(*view);
        Array<float> tensor({std::size_t{3}, height, width});
        float* data = tensor.mutable_data();
        {
          const Unlocked unlocked;
          prepare(pixels, rule, kernels(), data);
          if (altered) {
            const std::vector<float> prepared(data, data + 3 * height * width);
            prepare_view(pixels, rule, *altered, kernels(), prepared.data(), data);
          }
        }
        return tensor;
      },
      py::arg("picture"), py::arg("height"), py::arg("width"), py::arg("crop_and_scale"),
      py::arg("order") = "rgb", py::arg("view") = py::none(),
      "The image tensor, float32 (3, height, width), whole levels 0..255, of a uint8 picture (h, w, c),\n"
      "or of its view (option, number, seed).");
  module.def(
      "scene_geometry",
      [](int number, std::uint64_t seed) {
        const SceneGeometry shown = scene_geometry({number, seed});
        return std::tuple(shown.left, shown.top, shown.right, shown.bottom, shown.flip);
      },
      py::arg("number"), py::arg("seed"),
      "Which rectangle of a picture, from 0 to 1 both ways, the view (\"scene\", number, seed) shows: left,\n"
      "top, right, bottom, and whether it is then mirrored left to right.");
}

}  // namespace silverprint::bindings
