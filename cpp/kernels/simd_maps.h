// The kernels of feature maps over V16, for whichever instruction set includes this file after
// simd_floats.h. No include guard: one copy each.

namespace silverprint::SILVERPRINT_KERNELS {
namespace {

template <std::size_t Vectors>
struct VectorCount {
  static constexpr std::size_t count = Vectors;
};

// Calls task(number of vectors, first channel), with as many vectors at once as sums have registers.
template <std::size_t Vectors = kWidestTile, class Task>
void for_widest(std::size_t channels, const Task& task, std::size_t j = 0) {
  for (; j + Vectors * kLanes <= channels; j += Vectors * kLanes) task(VectorCount<Vectors>{}, j);
  if constexpr (Vectors > 1) for_widest<Vectors - 1>(channels, task, j);
}

template <std::size_t Vectors>
void map_moments_of(std::size_t positions, std::size_t channels, const float* x, const float* origin, float* sum,
                    float* squares) {
  V16 o[Vectors], s[Vectors], q[Vectors];
#pragma GCC unroll 4
  for (std::size_t v = 0; v < Vectors; ++v) {
    o[v] = load(origin + v * kLanes);
    s[v] = load(sum + v * kLanes);
    q[v] = load(squares + v * kLanes);
  }
  for (std::size_t i = 0; i < positions; ++i, x += channels)
#pragma GCC unroll 4
    for (std::size_t v = 0; v < Vectors; ++v) {
      const V16 d = subtract(load(x + v * kLanes), o[v]);
      s[v] = add(s[v], d);
      q[v] = fma(d, d, q[v]);
    }
#pragma GCC unroll 4
  for (std::size_t v = 0; v < Vectors; ++v) {
    store(sum + v * kLanes, s[v]);
    store(squares + v * kLanes, q[v]);
  }
}

void map_moments(std::size_t positions, std::size_t channels, const float* x, const float* origin, float* sum,
                 float* squares) {
  for_widest(channels, [&](auto vectors, std::size_t j) {
    map_moments_of<vectors.count>(positions, channels, x + j, origin + j, sum + j, squares + j);
  });
}

void map_rectify(std::size_t positions, std::size_t channels, const float* z, const float* scale, const float* shift,
                 const float* residual, float* out) {
  for (std::size_t i = 0; i < positions; ++i, z += channels, out += channels) {
    if (residual == nullptr) {
      for (std::size_t j = 0; j < channels; j += kLanes)
        store(out + j, larger(fma(load(z + j), load(scale + j), load(shift + j)), zero()));
    } else {
      for (std::size_t j = 0; j < channels; j += kLanes)
        store(out + j, add(load(residual + j), larger(fma(load(z + j), load(scale + j), load(shift + j)), zero())));
      residual += channels;
    }
  }
}

template <std::size_t Vectors>
void map_rectify_sums_of(std::size_t positions, std::size_t channels, const float* z, const float* scale,
                         const float* shift, const float* mean, const float* d, float* sum, float* products) {
  V16 s[Vectors], q[Vectors];
#pragma GCC unroll 4
  for (std::size_t v = 0; v < Vectors; ++v) {
    s[v] = load(sum + v * kLanes);
    q[v] = load(products + v * kLanes);
  }
  for (std::size_t i = 0; i < positions; ++i, z += channels, d += channels)
#pragma GCC unroll 4
    for (std::size_t v = 0; v < Vectors; ++v) {
      const V16 z_v = load(z + v * kLanes);
      const V16 y = fma(z_v, load(scale + v * kLanes), load(shift + v * kLanes));
      const V16 g = where_positive(y, load(d + v * kLanes));
      s[v] = add(s[v], g);
      q[v] = fma(g, subtract(z_v, load(mean + v * kLanes)), q[v]);
    }
#pragma GCC unroll 4
  for (std::size_t v = 0; v < Vectors; ++v) {
    store(sum + v * kLanes, s[v]);
    store(products + v * kLanes, q[v]);
  }
}

void map_rectify_sums(std::size_t positions, std::size_t channels, const float* z, const float* scale,
                      const float* shift, const float* mean, const float* d, float* sum, float* products) {
  for_widest(channels, [&](auto vectors, std::size_t j) {
    map_rectify_sums_of<vectors.count>(positions, channels, z + j, scale + j, shift + j, mean + j, d + j, sum + j,
                                       products + j);
  });
}

void map_rectify_back(std::size_t positions, std::size_t channels, const float* z, const float* scale,
                      const float* shift, const float* d, const float* by_signal, const float* by_z,
                      const float* constant, float* out) {
  for (std::size_t i = 0; i < positions; ++i, z += channels, d += channels, out += channels)
    for (std::size_t j = 0; j < channels; j += kLanes) {
      const V16 z_j = load(z + j);
      const V16 g = where_positive(fma(z_j, load(scale + j), load(shift + j)), load(d + j));
      store(out + j, fma(load(by_signal + j), g, fma(load(by_z + j), z_j, load(constant + j))));
    }
}

void widen(std::size_t rows, std::size_t width, const std::uint16_t* half, float scale, float shift, float* out,
           std::size_t out_row) {
  const V16 scales = broadcast(scale), shifts = broadcast(shift);
  const std::size_t whole = width / kLanes * kLanes, last = width - whole;
  for (std::size_t i = 0; i < rows; ++i, half += width, out += out_row) {
    for (std::size_t j = 0; j < whole; j += kLanes) store(out + j, fma(load_half(half + j), scales, shifts));
    if (last > 0) store_first(out + whole, fma(load_half_first(half + whole, last), scales, shifts), last);
  }
}

}  // namespace
}  // namespace silverprint::SILVERPRINT_KERNELS
