#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "server/api_error.h"
#include "server/http/reply.h"
#include "server/openai/event_queue.h"
#include "server/openai/response_format.h"
#include "server/served_model.h"

namespace hearth {

/// What is to be generated for one HTTP request, and how it is to be answered.
struct GenerationPlan {
  ModelLease model;
  std::vector<Request> requests;    ///< one for each prompt; the id is that of the HTTP request
  uint32_t choices_per_prompt = 1;  ///< choice i is one of prompt i / choices_per_prompt

  std::unique_ptr<ResponseFormat> format;
  bool stream = false;
  bool include_usage = false;
  bool drop_completion = false;  ///< max_tokens was 0: what is generated is not counted
  size_t max_unsent_bytes = 1 << 20;
  size_t echoed_bytes = 0;  ///< what the answer repeats of the prompts, in all choices together
  std::chrono::steady_clock::time_point received;
};

/// An answer that the engine generates: submits a request for each choice, collects what they yield, and cancels what
/// still runs when it is destroyed.
class Generation final : public PendingReply {
 public:
  explicit Generation(GenerationPlan plan);
  ~Generation() override;

  void start(std::function<void()> wake) override;
  ReplyPart take() override;
  bool take_is_long() const override;
  ReplyPart abandon(const Error& why) override;
  bool is_event_stream() const override { return plan_.stream; }
  bool is_overflowing() const override { return queue_ != nullptr && queue_->is_overflowing(); }
  ReplyStatistics statistics() const override;

 private:
  void cancel();
  Request request_for(uint32_t choice);
  unsigned queue_seconds() const;
  ReplyPart end_with(const ApiError& error);
  void collect(uint32_t choice, const RequestEvent& event);
  std::optional<Error> failure_of(const RequestEvent& event) const;
  Usage usage() const;

  GenerationPlan plan_;
  std::shared_ptr<EventQueue> queue_;  ///< shared with the engine's callbacks
  std::vector<RequestHandle> handles_;
  std::vector<RequestEvent> choices_;  ///< of a stream without text and tokens: those are sent and forgotten
  size_t collected_bytes_ = 0;         ///< about what they hold, as JSON
  uint32_t unfinished_ = 0;
  std::optional<ApiError> submit_error_;
};

}  // namespace hearth
