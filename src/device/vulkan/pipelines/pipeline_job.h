#pragma once

#include <sys/resource.h>

#include <chrono>
#include <future>
#include <set>
#include <stop_token>
#include <utility>

#include "device/vulkan/pipelines/pipelines.h"

namespace hearth::vulkan {

/// Pipelines that other threads make while their owner does something else, which those give way to. For one thread,
/// and outlived by `pipelines`.
class PipelineJob {
 public:
  PipelineJob(Pipelines& pipelines, std::set<PipelineKey> keys)
      : made_(std::async(std::launch::async, [&pipelines, keys = std::move(keys), stop = stop_.get_token()] {
          (void)setpriority(PRIO_PROCESS, 0, kNice);  // this thread's and those that it begins
          return pipelines.prepare(keys, stop);
        })) {}

  /// Begins no more of them, and waits for those that drivers are at.
  ~PipelineJob() { stop_.request_stop(); }
  PipelineJob(const PipelineJob&) = delete;
  PipelineJob& operator=(const PipelineJob&) = delete;

  bool is_done_within(std::chrono::milliseconds most) const {
    return made_.wait_for(most) == std::future_status::ready;
  }

  /// Waits; to be called once. Errors: as Pipelines::prepare.
  Result<void> result() { return made_.get(); }

 private:
  static constexpr int kNice = 10;

  std::stop_source stop_;
  std::future<Result<void>> made_;  ///< waits when it is destroyed
};

}  // namespace hearth::vulkan
