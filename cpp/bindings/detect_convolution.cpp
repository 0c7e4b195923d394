// Convolutions on arrays, for tests: maps are (pictures, height, width, channels).
#include <algorithm>

#include "bindings/bindings.h"
#include "detect/convolution.h"

namespace silverprint::bindings {
namespace {

void check(bool holds) {
  if (!holds) invalid("expected maps (pictures, height, width, channels) and kernels to match");
}

FeatureMap to_map(const Array<float>& x) {
  check(x.ndim() == 4);
  FeatureMap map({extent(x, 1), extent(x, 2)}, extent(x, 3), extent(x, 0));
  const std::size_t row = map.grid.width * map.channels;
  for (std::size_t i = 0; i < extent(x, 0) * map.grid.height; ++i)
    std::copy_n(x.data() + i * row, row, map.at(i / map.grid.height, i % map.grid.height));
  return map;
}

Array<float> from_map(const FeatureMap& map, std::size_t pictures) {
  Array<float> x({pictures, map.grid.height, map.grid.width, map.channels});
  const std::size_t row = map.grid.width * map.channels;
  for (std::size_t i = 0; i < pictures * map.grid.height; ++i)
    std::copy_n(map.at(i / map.grid.height, i % map.grid.height), row, x.mutable_data() + i * row);
  return x;
}

// Calls task(band) for bands of `rows` rows.
template <class Task>
void for_bands(const Grid& grid, std::size_t pictures, std::size_t rows, const Task& task) {
  if (rows < 1) invalid("rows: expected at least 1");
  for (std::size_t picture = 0; picture < pictures; ++picture)
    for (std::size_t y = 0; y < grid.height; y += rows) task(Band{picture, y, std::min(y + rows, grid.height)});
}

void check_kernel(const Array<float>& kernel, std::size_t inputs) {
  check(kernel.ndim() == 4 && kernel.shape(0) == 3 && kernel.shape(1) == 3 && extent(kernel, 2) == inputs);
}

Array<float> convolve3x3(const Array<float>& x, const Array<float>& kernel, std::size_t stride, std::size_t rows) {
  const FeatureMap in = to_map(x);
  check_kernel(kernel, in.channels);
  const std::size_t pictures = extent(x, 0), outputs = extent(kernel, 3);
  if (stride == 1) {
    FeatureMap out(in.grid, outputs, pictures);
    for_bands(out.grid, pictures, rows, [&](const Band& band) { convolve(in, band, kernel.data(), out); });
    return from_map(out, pictures);
  }
  if (stride != 2) invalid("stride: expected 1 or 2");
  StridedConvolution strided(in.grid, in.channels, pictures);
  FeatureMap out(strided.grid(), outputs, pictures);
  for_bands(out.grid, pictures, rows, [&](const Band& band) { strided.convolve(in, band, kernel.data(), out); });
  return from_map(out, pictures);
}

py::typing::Tuple<Array<float>, Array<float>> convolve3x3_back(const Array<float>& x, const Array<float>& kernel,
                                                               const Array<float>& by_output, std::size_t stride,
                                                               std::size_t rows) {
  const FeatureMap in = to_map(x), signal = to_map(by_output);
  check_kernel(kernel, in.channels);
  const std::size_t pictures = extent(x, 0), outputs = extent(kernel, 3);
  check(extent(by_output, 0) == pictures && signal.channels == outputs);
  FeatureMap by_x(in.grid, in.channels, pictures);
  Array<float> by_kernel({std::size_t{3}, std::size_t{3}, in.channels, outputs});
  std::fill_n(by_kernel.mutable_data(), by_kernel.size(), 0.0f);
  AlignedVector<float> turned(static_cast<std::size_t>(kernel.size()));
  if (stride == 1) {
    check(signal.grid == in.grid);
    mirror_kernel(kernel.data(), in.channels, outputs, turned.data());
    for_bands(in.grid, pictures, rows, [&](const Band& band) {
      convolve_by_kernel(in, signal, band, by_kernel.mutable_data());
      convolve(signal, band, turned.data(), by_x);
    });
  } else {
    if (stride != 2) invalid("stride: expected 1 or 2");
    StridedConvolution strided(in.grid, in.channels, pictures);
    check(signal.grid == strided.grid());
    FeatureMap out(strided.grid(), outputs, pictures);
    transpose(kernel.data(), 9 * in.channels, outputs, turned.data());
    for_bands(out.grid, pictures, rows, [&](const Band& band) {
      strided.convolve(in, band, kernel.data(), out);
      strided.convolve_by_kernel(signal, band, by_kernel.mutable_data());
      strided.convolve_by_input(signal, band, turned.data(), by_x);
    });
  }
  return py::make_tuple(from_map(by_x, pictures), by_kernel);
}

PlanarMap to_planes(const Array<float>& planes) {
  check(planes.ndim() == 4);
  PlanarMap map({extent(planes, 2), extent(planes, 3)}, extent(planes, 1), extent(planes, 0));
  for (std::size_t i = 0; i < extent(planes, 0) * map.channels * map.grid.height; ++i)
    std::copy_n(planes.data() + i * map.grid.width, map.grid.width, map.values.data() + i * map.grid.row());
  return map;
}

Array<float> project_planes(const Array<float>& planes, const Array<float>& kernel, std::size_t rows) {
  const PlanarMap in = to_planes(planes);
  check(kernel.ndim() == 2 && extent(kernel, 0) == in.channels);
  FeatureMap out(in.grid, extent(kernel, 1), extent(planes, 0));
  for_bands(in.grid, extent(planes, 0), rows, [&](const Band& band) { project(in, band, kernel.data(), out); });
  return from_map(out, extent(planes, 0));
}

Array<float> project_planes_by_kernel(const Array<float>& planes, const Array<float>& by_output, std::size_t rows) {
  const PlanarMap in = to_planes(planes);
  const FeatureMap signal = to_map(by_output);
  check(extent(planes, 0) == extent(by_output, 0) && in.grid == signal.grid);
  Array<float> by_kernel({in.channels, signal.channels});
  std::fill_n(by_kernel.mutable_data(), by_kernel.size(), 0.0f);
  for_bands(in.grid, extent(planes, 0), rows,
            [&](const Band& band) { project_by_kernel(in, signal, band, by_kernel.mutable_data()); });
  return by_kernel;
}

}  // namespace

void bind_detect_convolution(py::module_& module) {
  module.def("convolve3x3", &convolve3x3, py::arg("x"), py::arg("kernel"), py::arg("stride"), py::arg("rows"),
             "For tests: x (n, h, w, i) and kernel (3, 3, i, o) to (n, h / stride rounded up, w likewise, o),\n"
             "`rows` rows at once; one cell of zeros around the picture.");
  module.def("convolve3x3_back", &convolve3x3_back, py::arg("x"), py::arg("kernel"), py::arg("by_output"),
             py::arg("stride"), py::arg("rows"), "For tests: the derivatives by x and by the kernel.");
  module.def("project_planes", &project_planes, py::arg("planes"), py::arg("kernel"), py::arg("rows"),
             "For tests: planes (n, i, h, w) and kernel (i, o) to (n, h, w, o).");
  module.def("project_planes_by_kernel", &project_planes_by_kernel, py::arg("planes"), py::arg("by_output"),
             py::arg("rows"), "For tests: the derivative by the kernel.");
}

}  // namespace silverprint::bindings
