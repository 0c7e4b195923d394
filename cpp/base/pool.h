#pragma once
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace silverprint {

// A fixed set of threads that share out the tasks of one job at a time.
//
// How work is cut into tasks must depend on the problem alone, never on the number of threads:
// then results do not depend on it either. Tasks must not throw and must not start jobs.
class Pool {
 public:
  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const noexcept { return static_cast<int>(workers_.size()) + 1; }

  // Calls task(i) once for each i in [0, count), on at most `threads` threads (0: all), the caller's
  // among them. Callers from several threads take turns.
  void run(std::size_t count, int threads, const std::function<void(std::size_t)>& task);

 private:
  void work(int index);
  void drain();

  std::vector<std::thread> workers_;
  std::mutex job_mutex_;  // held by the caller whose job runs
  std::mutex mutex_;      // guards all below
  std::condition_variable start_, done_;
  const std::function<void(std::size_t)>* task_ = nullptr;
  std::size_t next_ = 0, count_ = 0;
  std::size_t generation_ = 0;
  int helpers_ = 0;  // workers wanted by the current job
  int busy_ = 0;
  bool stop_ = false;
};

}  // namespace silverprint
