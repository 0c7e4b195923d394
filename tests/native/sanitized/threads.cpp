// Everything that threads share, used by many at once: the pool, cancel tokens, extractors, solvers.
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <thread>

#include "base/process.h"
#include "check.h"
#include "runtime/extractor.h"
#include "solve/head_solver.h"
#include "stand_in_runtime.h"

namespace silverprint::sanitized {
namespace {

constexpr int kThreads = 8;

void on_threads(const std::function<void(int)>& work) {
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(work, i);
  for (auto& thread : threads) thread.join();
}

// Each task runs once, and what it wrote is there for the caller, all without a lock of ours.
void check_runs(Pool& shared, int caller, int rounds) {
  SplitMix64 random(static_cast<std::uint64_t>(caller));
  for (int round = 0; round < rounds; ++round) {
    std::vector<int> done(between(random, 0, 40));
    shared.run(done.size(), static_cast<int>(between(random, 0, 5)), [&](std::size_t i) { ++done[i]; });
    for (const int times : done) CHECK(times == 1);
  }
}

void check_pool() {
  Pool shared(4);
  on_threads([&](int caller) { check_runs(shared, caller, 300); });
  for (int round = 0; round < 100; ++round) {
    Pool pool(3);
    check_runs(pool, round, round % 3);
  }
  on_threads([&](int caller) { check_runs(pool(), caller, 50); });
}

// A hook runs while its scope lives and never after, though tokens are cancelled all the while.
void check_cancel() {
  for (int round = 0; round < 200; ++round) {
    CancelToken token;
    on_threads([&](int caller) {
      if (caller == 0) return token.cancel();
      int hooks = 0;
      {
        CancelToken::Scope scope(token, [&] { ++hooks; });
        static_cast<void>(token.cancelled());
      }
      CHECK(hooks == 0 || hooks == 1);
    });
    CHECK(token.cancelled());
  }
}

Extractor make_extractor() {
  RuntimeLibrary& library = runtime_library(RuntimeSource{{}, stand_in_runtime()});
  const std::string model = "anything";
  return {Session(library, std::span<const char>(model.data(), model.size()), "CPUExecutionProvider", 1),
          PictureRule{kHeight, kWidth, CropAndScale::scale_fill}};
}

void check_extractor() {
  const Extractor extractor = make_extractor();
  const std::vector<std::string> outputs{"targetProbability"};
  on_threads([&](int caller) {
    const auto level = static_cast<std::uint8_t>(10 * caller);
    const std::vector<std::uint8_t> levels(3 * 5 * 7, level);
    const Pixels picture{levels.data(), 5, 7, 15, ChannelOrder::rgb};
    CancelToken go_on;
    const std::array views{View{Augmentation::crop, 1, 1}, View{Augmentation::flip, 1, 2}};
    for (int round = 0; round < 100; ++round) {
      const auto all = extractor.run(picture, outputs, go_on, std::span(views).first(round % 3));
      CHECK(all.front().values.size() == kClasses * (1 + round % 3));
      for (std::size_t i = 0; i < all.front().values.size(); ++i)
        CHECK(all.front().values[i] == static_cast<float>(level + i % kClasses));
    }
  });
}

// Runs that would never end do so at once when their token is cancelled, whichever thread does it.
void check_cancelled_runs() {
  const Extractor extractor = make_extractor();
  const std::vector<std::uint8_t> levels(3 * 5 * 7);
  const Pixels picture{levels.data(), 5, 7, 15, ChannelOrder::rgb};
  const std::vector<std::string> outputs{"targetProbability"};
  for (int round = 0; round < 20; ++round) {
    hold_runs(true);
    CancelToken stop;
    std::atomic<int> cancelled{0};
    on_threads([&](int caller) {
      if (caller == 0) {
        // Half of the rounds cancel before all have begun.
        while (round % 2 && runs() < kThreads - 1) std::this_thread::yield();
        return stop.cancel();
      }
      try {
        extractor.run(picture, outputs, stop);
      } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::cancelled);
        ++cancelled;
      }
    });
    CHECK(cancelled == kThreads - 1);
    hold_runs(false);
  }
}

// Solvers side by side on the one pool give the bytes of one alone; a cancelled one stops.
template <class Make>
void check_solvers(const Make& make) {
  const CancelToken go_on;
  const auto alone = make(1);
  while (alone->iteration() < 8 && alone->step(go_on)) continue;
  CancelToken stop;
  on_threads([&](int caller) {
    const auto solver = make(caller % 4);
    try {
      const bool stopping = caller >= kThreads / 2;
      while (solver->iteration() < 8 && solver->step(stopping ? stop : go_on))
        if (caller == kThreads - 1) stop.cancel();
      if (!stopping) CHECK(same_bytes(solver->state().w, alone->state().w));
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::cancelled);
    }
  });
}

void check_training() {
  constexpr std::size_t columns = 20, classes = 4, rows = 200;
  SplitMix64 random(6);
  const auto features = random_floats(random, rows * columns);
  std::vector<std::int64_t> all(rows);
  std::vector<std::int32_t> labels(rows);
  for (std::size_t i = 0; i < rows; ++i) {
    all[i] = static_cast<std::int64_t>(i);
    labels[i] = static_cast<std::int32_t>(i % classes);
  }
  const Problem problem{features, columns, all, labels, classes, {}};
  check_solvers([&](int threads) { return std::make_unique<LogisticRegression>(problem, 1e-2, 1e-6, threads); });
  const std::vector<std::size_t> layer_sizes{12};
  check_solvers([&](int threads) {
    return std::make_unique<MultilayerPerceptron>(problem, layer_sizes, 1e-2, 1e-4, 7, threads);
  });
}

}  // namespace
}  // namespace silverprint::sanitized

int main() {
  using namespace silverprint::sanitized;
  check_pool();
  check_cancel();
  check_extractor();
  check_cancelled_runs();
  check_training();
  std::puts("threads: well");
}
