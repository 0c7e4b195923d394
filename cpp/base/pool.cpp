#include "base/pool.h"

#include <algorithm>

namespace silverprint {

Pool::Pool(int threads) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i - 1); });
}

Pool::~Pool() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  start_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void Pool::run(std::size_t count, int threads, const std::function<void(std::size_t)>& task) {
  if (count == 0) return;
  const int limit = threads > 0 ? std::min(threads, this->threads()) : this->threads();
  const int helpers = static_cast<int>(std::min<std::size_t>(limit, count)) - 1;
  if (helpers <= 0) {
    for (std::size_t i = 0; i < count; ++i) task(i);
    return;
  }
  std::lock_guard job(job_mutex_);
  {
    std::lock_guard lock(mutex_);
    task_ = &task;
    next_ = 0;
    count_ = count;
    helpers_ = helpers;
    busy_ = helpers;
    ++generation_;
  }
  start_.notify_all();
  drain();
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return busy_ == 0; });
}

void Pool::drain() {
  for (;;) {
    std::size_t i;
    const std::function<void(std::size_t)>* task;
    {
      std::lock_guard lock(mutex_);
      if (next_ >= count_) return;
      i = next_++;
      task = task_;
    }
    (*task)(i);
  }
}

void Pool::work(int index) {
  std::size_t seen = 0;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      start_.wait(lock, [&] { return stop_ || generation_ != seen; });
      if (stop_) return;
      seen = generation_;
      if (index >= helpers_) continue;
    }
    drain();
    std::lock_guard lock(mutex_);
    if (--busy_ == 0) done_.notify_one();
  }
}

}  // namespace silverprint
