#include "app/serving_model.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <future>

#include "app/terminal_progress.h"
#include "base/sleep.h"

namespace hearth::app {
namespace {

/// Passes progress on to the server's health and to the terminal.
class BothSinks final : public ProgressSink {
 public:
  explicit BothSinks(ServedModel& served) : served_(served) {}
  void report(const Progress& progress) override {
    served_.report(progress);
    terminal_.report(progress);
  }

 private:
  ServedModel& served_;
  TerminalProgress terminal_;
};

}  // namespace

std::string describe_cache(uint64_t asked_bytes, const EngineOptions& planned, std::span<const CacheGroup> groups) {
  const auto mebibytes = [](uint64_t bytes) { return (bytes + (1 << 19)) >> 20; };
  const std::string text = fmt::format("{} MiB of KV cache", mebibytes(planned.cache_bytes));
  if (asked_bytes == 0) return text + " (chosen by the free memory)";
  if (mebibytes(asked_bytes) == mebibytes(planned.cache_bytes)) return text + " (as asked for)";
  uint64_t whole_bytes = 0;  // of all sequences with the whole context
  for (const CacheGroup& group : groups) {
    whole_bytes += uint64_t{planned.max_sequences} * group.bytes_per_block *
                   cache_blocks_needed(group, planned.context_length, planned.max_batched_tokens);
  }
  const std::string why =
      planned.cache_bytes >= whole_bytes
          ? fmt::format("{} sequences of {} tokens need no more", planned.max_sequences, planned.context_length)
          : fmt::format("the rest is less than a block for each of {} sequences", planned.max_sequences);
  return text + fmt::format(" ({} MiB were asked for; {})", mebibytes(asked_bytes), why);
}

Result<void> ServingModel::load(const std::stop_token& stop) {
  auto checkpoint = open_checkpoint(options_.path);
  if (!checkpoint) return pass_on(checkpoint);
  std::stop_source text_stop;
  const std::stop_callback stops_both(stop, [&] { text_stop.request_stop(); });
  auto text = std::async(std::launch::async, [&, ends = text_stop.get_token()] {
    return load_text(**checkpoint, options_.chat_template, ends);
  });
  if (auto opened = open_weights(**checkpoint, stop); !opened) {
    text_stop.request_stop();  // what it is for will not be there
    return opened;
  }
  served_.report({.stage = "tokenizer"});
  auto loaded_text = text.get();
  if (!loaded_text) return pass_on(loaded_text);
  text_ = std::move(*loaded_text);
  if (text_.chat_template_error) {
    spdlog::warn("chat is refused, completions are not: {}", to_string(*text_.chat_template_error));
  }
  return start_engine();
}

Result<void> ServingModel::open_weights(const Checkpoint& checkpoint, const std::stop_token& stop) {
  served_.report({.stage = "plan"});
  auto device = options_.open_device(checkpoint);
  if (!device) return pass_on(device);
  weights_.device = std::move(*device);
  BothSinks sinks(served_);
  auto model = Model::load(checkpoint, *weights_.device, options_.load, sinks, stop);
  if (!model) return pass_on(model);
  weights_.model = std::move(*model);
  vocabulary_ = weights_.model->config().vocabulary;
  return {};
}

Result<void> ServingModel::start_engine() {
  served_.report({.stage = "warm up"});
  const auto rebuild_program = [this](const std::vector<uint32_t>& blocks, const ProgramLimits& limits,
                                      const std::stop_token& stop) { return rebuild(blocks, limits, stop); };
  const DeviceInfo& device = weights_.device->info();
  auto engine = Engine::start(*weights_.model, text_.tokenizer.get(), options_.engine, rebuild_program);
  if (!engine) return pass_on(engine);
  engine_ = std::move(*engine);
  const EngineOptions& planned = engine_->options();
  spdlog::info("{} is ready on {} ({}): context {}, {} sequences at once, {}", served_.name(), device.name,
               device.description, engine_->context_length(), planned.max_sequences,
               describe_cache(options_.engine.cache_bytes, planned, weights_.model->cache_groups()));
  set_ready();
  return {};
}

void ServingModel::set_ready() {
  served_.set_ready({.engine = engine_.get(),
                     .tokenizer = text_.tokenizer.get(),
                     .chat_template = text_.chat_template.get(),
                     .chat_template_error = text_.chat_template_error ? &*text_.chat_template_error : nullptr,
                     .vocabulary_size = vocabulary_,
                     .default_sampling = text_.default_sampling});
}

Result<std::unique_ptr<Program>> ServingModel::rebuild(const std::vector<uint32_t>& blocks_per_group,
                                                       const ProgramLimits& limits, const std::stop_token& stop) {
  Error error = {ErrorCode::device_lost, "the device was lost", "start again"};
  for (const std::chrono::milliseconds delay : options_.rebuild_delays) {
    spdlog::warn("the device was lost; opening it again in {} ms", delay.count());
    served_.set_reloading("device lost");
    if (!sleep_for(delay, stop)) return fail(ErrorCode::cancelled, "the server is ending");
    auto program = try_rebuild(blocks_per_group, limits, stop);
    if (program) {
      spdlog::info("{} goes on on {}", served_.name(), weights_.device->info().name);
      set_ready();
      return program;
    }
    error = std::move(program.error());
    spdlog::error("{}", to_string(error));
  }
  served_.set_failed(error);
  if (options_.on_failure) options_.on_failure(error);
  return std::unexpected(std::move(error));
}

Result<std::unique_ptr<Program>> ServingModel::try_rebuild(const std::vector<uint32_t>& blocks_per_group,
                                                           const ProgramLimits& limits, const std::stop_token& stop) {
  // What is left of the lost device goes first: the new one needs the memory.
  weights_.model.reset();
  weights_.device.reset();
  auto checkpoint = open_checkpoint(options_.path);
  if (!checkpoint) return pass_on(checkpoint);
  if (auto opened = open_weights(**checkpoint, stop); !opened) return pass_on(opened);
  if (auto made = weights_.model->create_cache(blocks_per_group); !made) return pass_on(made);
  return weights_.model->compile(limits);
}

}  // namespace hearth::app
