// Every kernel of every instruction set, on buffers of exactly the size that kernels.h promises.
#include <algorithm>

#include "base/process.h"
#include "check.h"
#include "image/geometry.h"

namespace silverprint::sanitized {
namespace {

constexpr int kRounds = 300;

void check_gemm(const Kernels& simd, SplitMix64& random) {
  const std::size_t m = between(random, 1, 40), n = between(random, 1, 140), k = between(random, 0, 140);
  const std::size_t b_row = n + between(random, 0, 3), c_row = n + between(random, 0, 3);
  const auto a = random_floats(random, m * k), b = random_floats(random, k ? (k - 1) * b_row + n : 0);
  auto ours = random_floats(random, (m - 1) * c_row + n), plain = ours;
  const bool transposed = random.next() % 2;
  const auto a_row = static_cast<std::ptrdiff_t>(transposed ? 1 : k);
  const auto a_column = static_cast<std::ptrdiff_t>(transposed ? m : 1);
  const auto rows_of_b = static_cast<std::ptrdiff_t>(b_row), rows_of_c = static_cast<std::ptrdiff_t>(c_row);
  simd.gemm(m, n, k, a.data(), a_row, a_column, b.data(), rows_of_b, ours.data(), rows_of_c);
  kPlainKernels.gemm(m, n, k, a.data(), a_row, a_column, b.data(), rows_of_b, plain.data(), rows_of_c);
  CHECK(same_bytes(ours, plain));
}

void check_softmax(const Kernels& simd, SplitMix64& random) {
  const std::size_t rows = between(random, 1, 9), classes = between(random, 1, 70);
  const std::size_t stride = classes + between(random, 0, 17);
  const auto scores = random_floats(random, (rows - 1) * stride + classes);
  auto ours = scores, plain = scores;
  std::vector<float> largest(rows), sum(rows), plain_largest(rows), plain_sum(rows);
  simd.softmax(rows, classes, stride, ours.data(), largest.data(), sum.data());
  kPlainKernels.softmax(rows, classes, stride, plain.data(), plain_largest.data(), plain_sum.data());
  CHECK(same_bytes(ours, plain) && same_bytes(largest, plain_largest) && same_bytes(sum, plain_sum));

  const auto weight = random_floats(random, rows);
  auto u = random_floats(random, scores.size()), plain_u = u;
  simd.softmax_jacobian(rows, classes, stride, plain.data(), weight.data(), u.data());
  kPlainKernels.softmax_jacobian(rows, classes, stride, plain.data(), weight.data(), plain_u.data());
  CHECK(same_bytes(u, plain_u));
}

void check_adam(const Kernels& simd, SplitMix64& random) {
  const std::size_t n = between(random, 0, 70);
  const auto gradient = random_floats(random, n);
  auto w = random_floats(random, n), first = random_floats(random, n), second = random_floats(random, n);
  for (float& value : second) value = value * value;
  auto plain_w = w, plain_first = first, plain_second = second;
  simd.adam(n, gradient.data(), 0.01f, 3.0f, w.data(), first.data(), second.data());
  kPlainKernels.adam(n, gradient.data(), 0.01f, 3.0f, plain_w.data(), plain_first.data(), plain_second.data());
  CHECK(same_bytes(w, plain_w) && same_bytes(first, plain_first) && same_bytes(second, plain_second));
}

Filter random_filter(SplitMix64& random, std::size_t outputs, std::size_t taps, std::size_t inputs) {
  Filter filter{taps, std::vector<std::int32_t>(outputs), std::vector<std::int32_t>(outputs * taps)};
  for (auto& first : filter.first) first = static_cast<std::int32_t>(between(random, 0, inputs - taps));
  for (std::size_t x = 0; x < outputs; ++x) {
    std::int32_t left = 1 << 22;
    for (std::size_t t = 0; t + 1 < taps; ++t) {
      const auto share = static_cast<std::int32_t>(between(random, 0, static_cast<std::size_t>(left)));
      filter.weight[x * taps + t] = share;
      left -= share;
    }
    filter.weight[x * taps + taps - 1] = left;
  }
  return filter;
}

void check_resampling(const Kernels& simd, SplitMix64& random) {
  const std::size_t taps = 2 * between(random, 1, 9), width = between(random, 1, 70);
  const std::size_t pixels = taps + between(random, 0, 50);
  const Filter filter = random_filter(random, width, taps, pixels);
  const auto columns = KernelWeights::for_columns(filter), rows = KernelWeights::for_rows(filter);

  const auto last = static_cast<std::size_t>(*std::max_element(filter.first.begin(), filter.first.end())) + taps;
  const auto row = random_levels(random, 3 * last + 8);
  std::vector<std::uint8_t> ours[3], plain[3];
  for (int i = 0; i < 3; ++i) ours[i].resize(width), plain[i].resize(width);
  simd.resample_columns(row.data(), filter.first.data(), columns.from(0), taps, width, ours[0].data(),
                        ours[1].data(), ours[2].data());
  kPlainKernels.resample_columns(row.data(), filter.first.data(), columns.from(0), taps, width, plain[0].data(),
                                 plain[1].data(), plain[2].data());
  for (int i = 0; i < 3; ++i) CHECK(same_bytes(ours[i], plain[i]));

  const std::size_t count = between(random, 1, 130), stride = count + between(random, 0, 5);
  const auto picture = random_levels(random, (taps - 1) * stride + count);
  std::vector<float> out(count), plain_out(count);
  simd.resample_rows(picture.data(), static_cast<std::ptrdiff_t>(stride), rows.from((width - 1) * taps), taps, count,
                     out.data());
  kPlainKernels.resample_rows(picture.data(), static_cast<std::ptrdiff_t>(stride), rows.from((width - 1) * taps), taps,
                              count, plain_out.data());
  CHECK(same_bytes(out, plain_out));
}

}  // namespace
}  // namespace silverprint::sanitized

int main() {
  using namespace silverprint;
  for (const Isa isa : available_isas()) {
    SplitMix64 random(1);
    for (int round = 0; round < sanitized::kRounds; ++round) {
      sanitized::check_gemm(kernels(isa), random);
      sanitized::check_softmax(kernels(isa), random);
      sanitized::check_adam(kernels(isa), random);
      sanitized::check_resampling(kernels(isa), random);
    }
    std::printf("kernels: %s is well\n", name(isa));
  }
}
