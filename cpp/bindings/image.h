#pragma once
#include <tuple>

#include "bindings/bindings.h"
#include "image/augment.h"

namespace silverprint::bindings {

// A rule from its three values; throws invalid_argument for an unknown mode or an empty size.
PictureRule make_rule(std::size_t height, std::size_t width, const std::string& crop_and_scale);

// A view of a uint8 (height, width, 3 or 4) array whose rows may be strided.
Pixels make_pixels(const py::array_t<std::uint8_t>& picture, const std::string& order);

// (option, number, seed), such as ("crop", 2, 7); throws invalid_argument for what there is not.
using ViewTuple = std::tuple<std::string, int, std::uint64_t>;
View make_view(const ViewTuple& view);

}  // namespace silverprint::bindings
