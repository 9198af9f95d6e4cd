#include "device/npu/call_thread.h"

#include <fmt/format.h>

namespace hearth {

void CallQueue::post(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
  }
  changed_.notify_all();
}

CallThread::CallThread(std::chrono::milliseconds limit) : limit_(limit) {
  thread_ = std::thread([queue = queue_] {
    std::unique_lock lock(queue->mutex_);
    for (;;) {
      queue->changed_.wait(lock, [&] { return queue->is_last_ || !queue->work_.empty(); });
      if (queue->work_.empty()) break;
      std::function<void()> work = std::move(queue->work_.front());
      queue->work_.pop_front();
      lock.unlock();
      work();
      work = nullptr;  // what it owned may post more
      lock.lock();
    }
    queue->has_ended_ = true;
    queue->changed_.notify_all();
  });
}

CallThread::~CallThread() {
  std::unique_lock lock(queue_->mutex_);
  queue_->is_last_ = true;
  queue_->changed_.notify_all();
  const auto limit = hangs_ ? std::chrono::milliseconds(0) : limit_;
  const bool ended = queue_->changed_.wait_for(lock, limit, [&] { return queue_->has_ended_; });
  lock.unlock();
  ended ? thread_.join() : thread_.detach();
}

Error CallThread::no_answer(const char* what) const {
  return {
      ErrorCode::timed_out,
      fmt::format("the NPU gave no answer for {:.1f} s while {}", std::chrono::duration<double>(limit_).count(), what),
      "`sudo dmesg | grep amdxdna` may name the reason; booting again frees an NPU that hangs"};
}

}  // namespace hearth
