#include "app/nearest_plans.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace hearth::app {
namespace {

constexpr uint32_t kLeastContext = 512;
constexpr uint32_t kContextStep = 256;
constexpr uint32_t kSmallStep = 64;

/// Plans that are only tried say nothing of what they would do.
class QuietLog {
 public:
  QuietLog() { spdlog::set_level(spdlog::level::err); }
  ~QuietLog() { spdlog::set_level(level_); }
  QuietLog(const QuietLog&) = delete;
  QuietLog& operator=(const QuietLog&) = delete;

 private:
  const spdlog::level::level_enum level_ = spdlog::get_level();
};

/// The longest context, in steps of kContextStep, below the one that was asked for; 0 where none fits.
uint32_t longest_context(PlanRequest request, const MakePlan& make_plan) {
  uint32_t low = 0, high = request.engine.context_length / kContextStep;
  const auto fits = [&](uint32_t steps) {
    request.engine.context_length = steps * kContextStep;
    return make_plan(request).has_value();
  };
  while (low < high) {
    const uint32_t middle = high - (high - low) / 2;
    fits(middle) ? low = middle : high = middle - 1;
  }
  return low * kContextStep;
}

/// As on the command line, where they are not the usual ones.
std::string options_text(const PlanRequest& request) {
  const EngineOptions usual;
  std::string text = fmt::format("--device {}", request.device.device);
  if (request.device.gpu_layers) text += fmt::format(" --gpu-layers {}", *request.device.gpu_layers);
  if (request.engine.context_length > 0) text += fmt::format(" --context {}", request.engine.context_length);
  if (request.engine.max_sequences != usual.max_sequences) {
    text += fmt::format(" --max-sequences {}", request.engine.max_sequences);
  }
  if (request.engine.max_batched_tokens != usual.max_batched_tokens) {
    text += fmt::format(" --max-batched-tokens {}", request.engine.max_batched_tokens);
  }
  if (request.engine.reserve_bytes) text += fmt::format(" --reserve {}", *request.engine.reserve_bytes >> 20);
  if (request.engine.cache_bytes > 0) text += fmt::format(" --kv-cache-mb {}", request.engine.cache_bytes >> 20);
  return text;
}

}  // namespace

std::vector<std::string> nearest_plans(const PlanRequest& request, const MakePlan& make_plan) {
  const QuietLog quiet;
  std::vector<std::string> found;
  const auto add = [&](const PlanRequest& other) {
    if (make_plan(other)) found.push_back(options_text(other));
  };
  PlanRequest shorter = request;
  if (request.engine.context_length > kLeastContext) {
    shorter.engine.context_length = longest_context(request, make_plan);
    if (shorter.engine.context_length >= kLeastContext) found.push_back(options_text(shorter));
  }
  PlanRequest small_steps = request;
  small_steps.engine.larger_steps = false;
  small_steps.engine.max_sequences = std::min(request.engine.max_sequences, kSmallStep);
  small_steps.engine.max_batched_tokens = kSmallStep;
  if (request.engine.max_batched_tokens > kSmallStep) add(small_steps);
  PlanRequest on_processor = request;
  on_processor.device.device = "cpu";
  on_processor.device.gpu_layers.reset();
  if (request.device.device != "cpu" && found.empty()) add(on_processor);
  return found;
}

}  // namespace hearth::app
