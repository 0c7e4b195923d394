#pragma once
#include <atomic>
#include <functional>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/error.h"

namespace silverprint {

// A flag that any thread may raise, with hooks that interrupt what is under way.
class CancelToken {
 public:
  void cancel() {
    std::lock_guard lock(mutex_);
    cancelled_.store(true);
    for (auto& [key, hook] : hooks_) hook();
  }

  bool cancelled() const noexcept { return cancelled_.load(std::memory_order_relaxed); }

  void check() const {
    if (cancelled()) throw Error(ErrorCode::cancelled, "cancelled");
  }

  // Calls `interrupt` on cancel() for as long as the Scope lives; at once if already cancelled.
  class Scope {
   public:
    Scope(CancelToken& token, std::function<void()> interrupt) : token_(token) {
      std::lock_guard lock(token_.mutex_);
      if (token_.cancelled_.load()) interrupt();
      token_.hooks_.emplace(this, std::move(interrupt));
    }
    ~Scope() {
      std::lock_guard lock(token_.mutex_);
      token_.hooks_.erase(this);
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    CancelToken& token_;
  };

 private:
  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;
  std::unordered_map<const Scope*, std::function<void()>> hooks_;
};

}  // namespace silverprint
