// Every kernel of every table, on arrays, so that tests can hold each against the plain one.
#include "kernels/kernels.h"

#include <algorithm>
#include <initializer_list>
#include <optional>

#include "base/process.h"
#include "image/geometry.h"
#include "bindings/bindings.h"

namespace silverprint::bindings {
namespace {

const Kernels& table(const std::string& wanted) {
  for (const Isa isa : available_isas())
    if (wanted == name(isa)) return kernels(isa);
  invalid("isa='" + wanted + "': not available on this machine");
}

Array<float> gemm(const std::string& isa, const py::array_t<float>& a, const Array<float>& b,
                  const Array<float>& c) {
  if (a.ndim() != 2 || b.ndim() != 2 || c.ndim() != 2 || a.shape(1) != b.shape(0) || a.shape(0) != c.shape(0) ||
      b.shape(1) != c.shape(1))
    invalid("gemm: expected A (m, k), B (k, n), C (m, n)");
  Array<float> result(std::vector<py::ssize_t>{c.shape(0), c.shape(1)}, c.data());
  const auto item = static_cast<py::ssize_t>(sizeof(float));
  table(isa).gemm(extent(a, 0), extent(b, 1), extent(a, 1), a.data(), a.strides(0) / item, a.strides(1) / item,
                  b.data(), b.shape(1), result.mutable_data(), c.shape(1));
  return result;
}

py::typing::Tuple<Array<float>, Array<float>, Array<float>> softmax(const std::string& isa, const Array<float>& scores, std::size_t classes) {
  if (scores.ndim() != 2 || classes < 1 || classes > extent(scores, 1)) invalid("softmax: expected (rows, stride)");
  Array<float> result(std::vector<py::ssize_t>{scores.shape(0), scores.shape(1)}, scores.data());
  Array<float> largest(scores.shape(0)), sum(scores.shape(0));
  table(isa).softmax(extent(scores, 0), classes, extent(scores, 1), result.mutable_data(), largest.mutable_data(),
                     sum.mutable_data());
  return py::make_tuple(result, largest, sum);
}

Array<float> softmax_jacobian(const std::string& isa, const Array<float>& p, const Array<float>& weight,
                              const Array<float>& u, std::size_t classes) {
  if (p.ndim() != 2 || u.ndim() != 2 || p.shape(0) != u.shape(0) || p.shape(1) != u.shape(1) ||
      weight.size() != p.shape(0) || classes < 1 || classes > extent(p, 1))
    invalid("softmax_jacobian: expected p and u (rows, stride), weight (rows)");
  Array<float> result(std::vector<py::ssize_t>{u.shape(0), u.shape(1)}, u.data());
  table(isa).softmax_jacobian(extent(p, 0), classes, extent(p, 1), p.data(), weight.data(), result.mutable_data());
  return result;
}

py::typing::Tuple<Array<float>, Array<float>, Array<float>> adam(const std::string& isa, const Array<float>& gradient,
                                                                 float length, float scale, const Array<float>& w,
                                                                 const Array<float>& first,
                                                                 const Array<float>& second) {
  const py::ssize_t n = gradient.size();
  if (w.size() != n || first.size() != n || second.size() != n) invalid("adam: expected four arrays of one size");
  Array<float> results[] = {Array<float>(n, w.data()), Array<float>(n, first.data()), Array<float>(n, second.data())};
  table(isa).adam(extent(gradient, 0), gradient.data(), length, scale, results[0].mutable_data(),
                  results[1].mutable_data(), results[2].mutable_data());
  return py::make_tuple(results[0], results[1], results[2]);
}

// Feature maps (positions, channels); the vectors have one value for each channel.
void check_maps(std::initializer_list<const Array<float>*> maps, std::initializer_list<const Array<float>*> vectors) {
  const Array<float>& map = **maps.begin();
  if (map.ndim() != 2 || map.shape(1) % static_cast<py::ssize_t>(kLanes) != 0)
    invalid("expected maps (positions, channels), channels a multiple of 16");
  for (const Array<float>* other : maps)
    if (other->ndim() != 2 || other->shape(0) != map.shape(0) || other->shape(1) != map.shape(1))
      invalid("expected maps of one shape");
  for (const Array<float>* vector : vectors)
    if (vector->size() != map.shape(1)) invalid("expected one value for each channel");
}

Array<float> copy_of(const Array<float>& array) {
  return Array<float>(std::vector<py::ssize_t>(array.shape(), array.shape() + array.ndim()), array.data());
}

py::typing::Tuple<Array<float>, Array<float>> map_moments(const std::string& isa, const Array<float>& x,
                                                          const Array<float>& origin, const Array<float>& sum,
                                                          const Array<float>& squares) {
  check_maps({&x}, {&origin, &sum, &squares});
  Array<float> results[] = {copy_of(sum), copy_of(squares)};
  table(isa).map_moments(extent(x, 0), extent(x, 1), x.data(), origin.data(), results[0].mutable_data(),
                         results[1].mutable_data());
  return py::make_tuple(results[0], results[1]);
}

Array<float> map_rectify(const std::string& isa, const Array<float>& z, const Array<float>& scale,
                         const Array<float>& shift, const std::optional<Array<float>>& residual) {
  check_maps({&z, residual ? &*residual : &z}, {&scale, &shift});
  Array<float> out = copy_of(z);
  table(isa).map_rectify(extent(z, 0), extent(z, 1), z.data(), scale.data(), shift.data(),
                         residual ? residual->data() : nullptr, out.mutable_data());
  return out;
}

py::typing::Tuple<Array<float>, Array<float>> map_rectify_sums(const std::string& isa, const Array<float>& z,
                                                               const Array<float>& scale, const Array<float>& shift,
                                                               const Array<float>& mean, const Array<float>& d,
                                                               const Array<float>& sum, const Array<float>& products) {
  check_maps({&z, &d}, {&scale, &shift, &mean, &sum, &products});
  Array<float> results[] = {copy_of(sum), copy_of(products)};
  table(isa).map_rectify_sums(extent(z, 0), extent(z, 1), z.data(), scale.data(), shift.data(), mean.data(), d.data(),
                              results[0].mutable_data(), results[1].mutable_data());
  return py::make_tuple(results[0], results[1]);
}

Array<float> map_rectify_back(const std::string& isa, const Array<float>& z, const Array<float>& scale,
                              const Array<float>& shift, const Array<float>& d, const Array<float>& by_signal,
                              const Array<float>& by_z, const Array<float>& constant) {
  check_maps({&z, &d}, {&scale, &shift, &by_signal, &by_z, &constant});
  Array<float> out = copy_of(z);
  table(isa).map_rectify_back(extent(z, 0), extent(z, 1), z.data(), scale.data(), shift.data(), d.data(),
                              by_signal.data(), by_z.data(), constant.data(), out.mutable_data());
  return out;
}

Array<float> widen(const std::string& isa, const Array<std::uint16_t>& half, float scale, float shift,
                   std::size_t padding) {
  if (half.ndim() != 2) invalid("widen: expected the bits of rows (rows, width)");
  Array<float> out({extent(half, 0), extent(half, 1) + padding});
  std::fill_n(out.mutable_data(), out.size(), 0.0f);
  table(isa).widen(extent(half, 0), extent(half, 1), half.data(), scale, shift, out.mutable_data(), extent(out, 1));
  return out;
}

// A filter of weights (outputs, taps) in 2^-22ths.
Filter filter_of(const Array<std::int32_t>& first, const Array<std::int32_t>& weight, std::size_t taps) {
  for (const std::int32_t w : view(weight))
    if (w < 0 || w > 1 << 22) invalid("weights lie between 0 and 2^22");
  return {taps, {first.data(), first.data() + first.size()}, {weight.data(), weight.data() + weight.size()}};
}

Array<float> resample_rows(const std::string& isa, const Array<std::uint8_t>& rows,
                           const Array<std::int32_t>& weight) {
  if (rows.ndim() != 2 || weight.size() != rows.shape(0)) invalid("resample_rows: expected rows (taps, count)");
  const auto weights = KernelWeights::for_rows(filter_of(Array<std::int32_t>(1), weight, extent(rows, 0)));
  Array<float> result(rows.shape(1));
  table(isa).resample_rows(rows.data(), rows.shape(1), weights.from(0), extent(rows, 0), extent(rows, 1),
                           result.mutable_data());
  return result;
}

Array<float> split_pixels(const std::string& isa, const Array<std::uint8_t>& pixels) {
  if (pixels.ndim() != 2 || pixels.shape(1) != 3) invalid("split_pixels: expected pixels (count, 3)");
  const py::ssize_t count = pixels.shape(0);
  Array<float> result({py::ssize_t{3}, count});
  float* planes = result.mutable_data();
  table(isa).split_pixels(pixels.data(), extent(pixels, 0), planes, planes + count, planes + 2 * count);
  return result;
}

Array<std::uint8_t> resample_columns(const std::string& isa, const Array<std::uint8_t>& row,
                                     const Array<std::int32_t>& first, const Array<std::int32_t>& weight) {
  if (row.ndim() != 2 || row.shape(1) != 3 || weight.ndim() != 2 || weight.shape(0) != first.size() ||
      weight.shape(1) % 2 != 0)
    invalid("resample_columns: expected row (pixels, 3), first (width), weight (width, even taps)");
  std::vector<std::uint8_t> readable(row.data(), row.data() + row.size());
  readable.resize(readable.size() + 3 * extent(weight, 1) + 8);
  for (py::ssize_t x = 0; x < first.size(); ++x)
    if (first.at(x) < 0 || first.at(x) >= row.shape(0)) invalid("resample_columns: a first pixel outside the row");
  const auto weights = KernelWeights::for_columns(filter_of(first, weight, extent(weight, 1)));
  Array<std::uint8_t> result({py::ssize_t{3}, first.size()});
  std::uint8_t* out = result.mutable_data();
  table(isa).resample_columns(readable.data(), first.data(), weights.from(0), extent(weight, 1), extent(first, 0), out,
                              out + first.size(), out + 2 * first.size());
  return result;
}

}  // namespace

void bind_kernels(py::module_& module) {
  module.def("gemm", &gemm, py::arg("isa"), py::arg("a"), py::arg("b"), py::arg("c"), "C + A B; A may be strided.");
  module.def("softmax", &softmax, py::arg("isa"), py::arg("scores"), py::arg("classes"),
             "Probabilities, largest score and sum of exponentials of the first `classes` columns.");
  module.def("softmax_jacobian", &softmax_jacobian, py::arg("isa"), py::arg("p"), py::arg("weight"), py::arg("u"),
             py::arg("classes"), "weight * p * (u - sum(p u)), row by row.");
  module.def("adam", &adam, py::arg("isa"), py::arg("gradient"), py::arg("length"), py::arg("scale"), py::arg("w"),
             py::arg("first"), py::arg("second"), "w and both moments after one step of Adam.");
  module.def("map_moments", &map_moments, py::arg("isa"), py::arg("x"), py::arg("origin"), py::arg("sum"),
             py::arg("squares"), "sum and squares, with those of x - origin added, by channel.");
  module.def("map_rectify", &map_rectify, py::arg("isa"), py::arg("z"), py::arg("scale"), py::arg("shift"),
             py::arg("residual") = py::none(), "max(z * scale + shift, 0), plus the residual.");
  module.def("map_rectify_sums", &map_rectify_sums, py::arg("isa"), py::arg("z"), py::arg("scale"), py::arg("shift"),
             py::arg("mean"), py::arg("d"), py::arg("sum"), py::arg("products"),
             "sum and products, with those of g and g (z - mean) added; g = d where z * scale + shift > 0.");
  module.def("map_rectify_back", &map_rectify_back, py::arg("isa"), py::arg("z"), py::arg("scale"), py::arg("shift"),
             py::arg("d"), py::arg("by_signal"), py::arg("by_z"), py::arg("constant"),
             "by_signal * g + by_z * z + constant, with the same g.");
  module.def("widen", &widen, py::arg("isa"), py::arg("half"), py::arg("scale"), py::arg("shift"), py::arg("padding"),
             "x * scale + shift of float16 rows, given as uint16, with columns of 0 after them.");
  module.def("resample_rows", &resample_rows, py::arg("isa"), py::arg("rows"), py::arg("weight"),
             "One row of levels, float32 (count), from uint8 rows (taps, count).");
  module.def("resample_columns", &resample_columns, py::arg("isa"), py::arg("row"), py::arg("first"),
             py::arg("weight"), "Levels, uint8 (3, width), from one row of RGB (pixels, 3).");
  module.def("split_pixels", &split_pixels, py::arg("isa"), py::arg("pixels"),
             "Planes, float32 (3, count), of RGB pixels, uint8 (count, 3).");
}

}  // namespace silverprint::bindings
