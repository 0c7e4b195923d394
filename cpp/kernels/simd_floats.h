// The float kernels over V16, for whichever instruction set includes this file after defining
// SILVERPRINT_KERNELS, its namespace, with V16 and its operations in it. No include guard: one copy each.

namespace silverprint::SILVERPRINT_KERNELS {
namespace {

// Depth of a panel of B: with 64 columns it fills 32 kB, about a first-level cache.
constexpr std::size_t kPanelDepth = 128;

// One tile of C, (Rows, Vectors * 16) or its first `columns` columns; `b` is a packed panel.
template <std::size_t Rows, std::size_t Vectors>
void gemm_tile(std::size_t k, const float* a, std::ptrdiff_t a_row, std::ptrdiff_t a_column, const float* b,
               std::ptrdiff_t b_row, float* c, std::ptrdiff_t c_row, std::size_t last) {
  V16 sum[Rows][Vectors];
#pragma GCC unroll 24
  for (std::size_t i = 0; i < Rows; ++i)
#pragma GCC unroll 4
    for (std::size_t v = 0; v < Vectors; ++v) {
      const float* p = c + static_cast<std::ptrdiff_t>(i) * c_row + v * kLanes;
      sum[i][v] = v + 1 < Vectors || last == kLanes ? load(p) : load_first(p, last);
    }
  for (std::size_t p = 0; p < k; ++p) {
    V16 b_p[Vectors];
#pragma GCC unroll 4
    for (std::size_t v = 0; v < Vectors; ++v) b_p[v] = load(b + v * kLanes);
#pragma GCC unroll 24
    for (std::size_t i = 0; i < Rows; ++i) {
      const V16 factor = broadcast(a[static_cast<std::ptrdiff_t>(i) * a_row]);
#pragma GCC unroll 4
      for (std::size_t v = 0; v < Vectors; ++v) sum[i][v] = fma(factor, b_p[v], sum[i][v]);
    }
    a += a_column;
    b += b_row;
  }
#pragma GCC unroll 24
  for (std::size_t i = 0; i < Rows; ++i)
#pragma GCC unroll 4
    for (std::size_t v = 0; v < Vectors; ++v) {
      float* p = c + static_cast<std::ptrdiff_t>(i) * c_row + v * kLanes;
      if (v + 1 < Vectors || last == kLanes)
        store(p, sum[i][v]);
      else
        store_first(p, sum[i][v], last);
    }
}

// All rows of C for one panel of B: full tiles, then ever smaller ones.
template <std::size_t Rows, std::size_t Vectors>
void gemm_rows(std::size_t m, std::size_t k, const float* a, std::ptrdiff_t a_row, std::ptrdiff_t a_column,
               const float* b, std::ptrdiff_t b_row, float* c, std::ptrdiff_t c_row, std::size_t last) {
  for (; m >= Rows; m -= Rows) {
    gemm_tile<Rows, Vectors>(k, a, a_row, a_column, b, b_row, c, c_row, last);
    a += static_cast<std::ptrdiff_t>(Rows) * a_row;
    c += static_cast<std::ptrdiff_t>(Rows) * c_row;
  }
  if constexpr (Rows > 1) {
    if (m > 0) gemm_rows<Rows / 2, Vectors>(m, k, a, a_row, a_column, b, b_row, c, c_row, last);
  }
}

template <std::size_t Vectors>
void gemm_panel(std::size_t vectors, std::size_t m, std::size_t k, const float* a, std::ptrdiff_t a_row,
                std::ptrdiff_t a_column, const float* b, std::ptrdiff_t b_row, float* c, std::ptrdiff_t c_row,
                std::size_t last) {
  if constexpr (Vectors > 1) {
    if (vectors < Vectors)
      return gemm_panel<Vectors - 1>(vectors, m, k, a, a_row, a_column, b, b_row, c, c_row, last);
  }
  gemm_rows<tile_rows(Vectors), Vectors>(m, k, a, a_row, a_column, b, b_row, c, c_row, last);
}

void gemm(std::size_t m, std::size_t n, std::size_t k, const float* a, std::ptrdiff_t a_row,
          std::ptrdiff_t a_column, const float* b, std::ptrdiff_t b_row, float* c, std::ptrdiff_t c_row) {
  constexpr std::size_t widest = kWidestTile * kLanes;
  alignas(64) float panel[kPanelDepth * widest];
  for (std::size_t p = 0; p < k; p += kPanelDepth) {
    const std::size_t depth = k - p < kPanelDepth ? k - p : kPanelDepth;
    for (std::size_t j = 0; j < n; j += widest) {
      const std::size_t columns = n - j < widest ? n - j : widest;
      const std::size_t vectors = (columns + kLanes - 1) / kLanes, width = vectors * kLanes;
      const std::size_t last = columns - (vectors - 1) * kLanes;
      for (std::size_t q = 0; q < depth; ++q) {
        const float* from = b + static_cast<std::ptrdiff_t>(p + q) * b_row + j;
        float* to = panel + q * width;
        for (std::size_t v = 0; v + 1 < vectors; ++v) store(to + v * kLanes, load(from + v * kLanes));
        store(to + (vectors - 1) * kLanes, load_first(from + (vectors - 1) * kLanes, last));
      }
      gemm_panel<kWidestTile>(vectors, m, depth, a + static_cast<std::ptrdiff_t>(p) * a_column, a_row, a_column,
                              panel, static_cast<std::ptrdiff_t>(width), c + j, c_row, last);
    }
  }
}

inline V16 exp_nonpositive(V16 x) {
  x = larger(x, broadcast(kExpCut));
  const V16 n = round(multiply(x, broadcast(kLog2E)));
  V16 r = fma(n, broadcast(-kLn2High), x);
  r = fma(n, broadcast(-kLn2Low), r);
  V16 y = broadcast(kExpTaylor[0]);
  for (int i = 1; i < 8; ++i) y = fma(y, r, broadcast(kExpTaylor[i]));
  return multiply(y, power_of_two(n));
}

void softmax(std::size_t rows, std::size_t classes, std::size_t stride, float* scores, float* largest,
             float* sum) {
  const std::size_t whole = (classes - 1) / kLanes * kLanes, last = classes - whole;
  for (std::size_t i = 0; i < rows; ++i) {
    float* s = scores + i * stride;
    V16 top = broadcast(s[0]);
    for (std::size_t j = 0; j < whole; j += kLanes) top = larger(load(s + j), top);
    top = larger(first_or(load_first(s + whole, last), last, top), top);
    largest[i] = largest_of(top) + 0.0f;
    top = broadcast(largest[i]);
    V16 total = zero();
    for (std::size_t j = 0; j < whole; j += kLanes) {
      const V16 e = exp_nonpositive(subtract(load(s + j), top));
      store(s + j, e);
      total = add(total, e);
    }
    const V16 e = first_or(exp_nonpositive(subtract(load_first(s + whole, last), top)), last, zero());
    sum[i] = tree_sum(add(total, e));
    const V16 inverse = broadcast(1.0f / sum[i]);
    for (std::size_t j = 0; j < whole; j += kLanes) store(s + j, multiply(load(s + j), inverse));
    store_first(s + whole, multiply(e, inverse), last);
  }
}

void softmax_jacobian(std::size_t rows, std::size_t classes, std::size_t stride, const float* p,
                      const float* weight, float* u) {
  const std::size_t whole = (classes - 1) / kLanes * kLanes, last = classes - whole;
  for (std::size_t i = 0; i < rows; ++i) {
    const float* p_i = p + i * stride;
    float* u_i = u + i * stride;
    V16 total = zero();
    for (std::size_t j = 0; j < whole; j += kLanes) total = fma(load(p_i + j), load(u_i + j), total);
    const V16 p_last = load_first(p_i + whole, last), u_last = load_first(u_i + whole, last);
    const V16 mean = broadcast(tree_sum(fma(p_last, u_last, total))), factor = broadcast(weight[i]);
    for (std::size_t j = 0; j < whole; j += kLanes)
      store(u_i + j, multiply(factor, multiply(load(p_i + j), subtract(load(u_i + j), mean))));
    store_first(u_i + whole, multiply(factor, multiply(p_last, subtract(u_last, mean))), last);
  }
}

inline void adam_step(std::size_t count, const float* gradient, V16 length, V16 scale, float* w, float* first,
                      float* second) {
  const V16 g = load_first(gradient, count);
  const V16 m = fma(broadcast(0.9f), load_first(first, count), multiply(broadcast(0.1f), g));
  const V16 v = fma(broadcast(0.999f), load_first(second, count), multiply(multiply(broadcast(0.001f), g), g));
  store_first(first, m, count);
  store_first(second, v, count);
  const V16 move = divide(m, add(root(multiply(v, scale)), broadcast(1e-8f)));
  store_first(w, fma(length, move, load_first(w, count)), count);
}

void adam(std::size_t n, const float* gradient, float length, float scale, float* w, float* first, float* second) {
  const V16 back = broadcast(-length), scales = broadcast(scale);
  for (std::size_t i = 0; i < n; i += kLanes)
    adam_step(n - i < kLanes ? n - i : kLanes, gradient + i, back, scales, w + i, first + i, second + i);
}

}  // namespace
}  // namespace silverprint::SILVERPRINT_KERNELS
