// What other threads see of the engine: taking requests in, cancelling, metrics.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/engine_loop.h"
#include "engine/likely_forks.h"
#include "text/tokenizer.h"

namespace hearth {
namespace {

std::unexpected<Error> refuse(std::string message, std::string hint = {}) {
  return fail(ErrorCode::invalid_argument, std::move(message), std::move(hint));
}

uint64_t random_seed() { return random_hash_key()[0]; }

}  // namespace

Result<RequestHandle> EngineLoop::submit(Request request, EventCallback on_event) {
  if (Result<void> checked = check(request); !checked) return pass_on(checked);

  Sequence sequence;
  sequence.tokens = std::move(request.prompt);
  sequence.prompt_tokens = sequence.size();
  sequence.root = root_hash(hash_key_, request.cache_salt);
  sequence.priority = request.priority;
  if (request.prompt_logprobs) sequence.next_prompt_logits = 0;
  // Not asked of the cache, which the engine's thread replaces with a lost device.
  if (std::ranges::find(parts_.cache_groups, true, &CacheGroup::keeps_states) != parts_.cache_groups.end()) {
    sequence.forks = likely_forks(sequence.tokens, [&](int32_t token) {
      return parts_.tokenizer != nullptr && parts_.tokenizer->is_control(static_cast<uint32_t>(token));
    });
  }

  const uint32_t context = std::max(context_length(), sequence.prompt_tokens + 1);  // it may change meanwhile
  const uint32_t room = context - sequence.prompt_tokens;
  const uint32_t max_size =
      sequence.prompt_tokens + (request.max_tokens > 0 ? std::min(request.max_tokens, room) : room);
  std::vector<int32_t> end_tokens = request.stop_token_ids;
  if (!request.ignore_end_tokens) {
    end_tokens.insert(end_tokens.end(), parts_.end_tokens.begin(), parts_.end_tokens.end());
  }
  std::vector<TokenLogprobs> prompt_logprobs;
  if (request.prompt_logprobs) prompt_logprobs.push_back({.chosen = {.token = sequence.tokens.front()}});

  SamplingState sampling(request.sampling, request.sampling.seed ? 0 : random_seed(), sequence.tokens);
  OutputText text(parts_.tokenizer, request);
  return inbox_.submit(std::make_unique<ActiveRequest>(ActiveRequest{.request = std::move(request),
                                                                     .on_event = std::move(on_event),
                                                                     .sequence = std::move(sequence),
                                                                     .sampling = std::move(sampling),
                                                                     .text = std::move(text),
                                                                     .end_tokens = std::move(end_tokens),
                                                                     .max_size = max_size,
                                                                     .prompt_logprobs = std::move(prompt_logprobs),
                                                                     .submitted = std::chrono::steady_clock::now()}));
}

Result<void> EngineLoop::check(const Request& request) const {
  const auto is_token = [&](int32_t token) { return token >= 0 && static_cast<uint32_t>(token) < parts_.vocabulary; };
  if (request.prompt.empty()) return refuse("the prompt has no tokens");
  if (request.prompt.size() >= context_length()) {
    return refuse(fmt::format("the prompt has {} tokens, and the context holds {} with the answer",
                              request.prompt.size(), context_length()),
                  "shorten the prompt or serve the model with a longer context");
  }
  for (const int32_t token : request.prompt) {
    if (!is_token(token))
      return refuse(fmt::format("token {} is not in the vocabulary of {}", token, parts_.vocabulary));
  }
  for (const auto& [token, bias] : request.sampling.logit_bias) {
    if (!is_token(token)) {
      return refuse(fmt::format("logit_bias: token {} is not in the vocabulary of {}", token, parts_.vocabulary));
    }
  }
  if (!std::ranges::all_of(request.stop_token_ids, is_token)) {
    return refuse(fmt::format("stop_token_ids: not all are in the vocabulary of {}", parts_.vocabulary));
  }
  if (!request.stop.empty() && parts_.tokenizer == nullptr) {
    return refuse("stop strings need a tokenizer, and this model has none", "use stop_token_ids");
  }
  if (request.prompt_logprobs && !request.logprobs) return refuse("logprobs of the prompt need logprobs");
  return {};
}

bool EngineLoop::take_commands(const std::stop_token& stop) {
  if (!scheduler_.has_work()) wait_for_commands();
  const bool goes_on = inbox_.take(stop, !scheduler_.has_work(), commands_);
  for (std::unique_ptr<ActiveRequest>& active : commands_.submitted) {
    active->choose_candidates();
    scheduler_.add(active->sequence, active->request.user);
    ActiveRequest& added = *active;
    requests_.emplace(added.sequence.arrival, std::move(active));
    hold_to_context(added);  // which may have become shorter since it was submitted
  }
  for (const RequestHandle handle : commands_.cancelled) {
    const auto found = requests_.find(handle);
    if (found != requests_.end()) finish(*found->second, FinishReason::cancelled);
  }
  return goes_on;
}

EngineMetrics EngineLoop::metrics() const {
  EngineMetrics metrics = metrics_.snapshot();
  const uint32_t in_flight = inbox_.in_flight();
  metrics.requests_waiting = in_flight - std::min(in_flight, metrics.requests_running);
  return metrics;
}

/// Cache use is told in blocks of the group that remembers whole sequences; its share is that of the fullest group,
/// which is the one that limits.
void EngineLoop::update_metrics() {
  const auto& groups = parts_.cache_groups;
  const auto unlimited =
      std::ranges::find_if(groups, [](const CacheGroup& group) { return group.window == 0 && !group.keeps_states; });
  const uint32_t total = cache_.pools()[unlimited == groups.end() ? 0 : unlimited - groups.begin()].size();
  double share = 0;
  for (const BlockPool& pool : cache_.pools()) share = std::max(share, double(pool.used_count()) / pool.size());
  const auto queued = static_cast<double>(scheduler_.waiting_tokens());
  metrics_.update({.requests_running = static_cast<uint32_t>(scheduler_.running()),
                   .kv_blocks_total = total,
                   .kv_blocks_used = static_cast<uint32_t>(std::lround(share * total)),
                   .preemptions = scheduler_.preemptions(),
                   .cache_resizes = cache_resizes_,
                   .prefix_cache_queries = scheduler_.prefix_queries(),
                   .prefix_cache_hits = scheduler_.prefix_hits(),
                   .queue_seconds = queued == 0 ? 0 : queued * step_cost_.seconds_per_prompt_token(),
                   .buffer_pools = program_ ? program_->buffer_pools() : std::vector<BufferPoolStatistics>(),
                   .memory_use = program_ ? program_->memory_use() : std::vector<DeviceMemoryUse>()});
}

Result<void> EngineLoop::check_integrity() const { return cache_.check_integrity(true); }

}  // namespace hearth
