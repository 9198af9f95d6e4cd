#include "app/serving_model.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <future>

#include "app/terminal_progress.h"
#include "base/reading/watched_call.h"
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

Error device_lost() { return {ErrorCode::device_lost, "the device was lost", "start again"}; }

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
  auto checkpoint = open(stop);
  if (!checkpoint) return pass_on(checkpoint);
  // What one part of it fails at stops the others.
  std::stop_source stopper;
  const std::stop_callback stops_all(stop, [&] { stopper.request_stop(); });
  auto text = std::async(std::launch::async, [this, checkpoint = *checkpoint, ends = stopper.get_token()] {
    return watched_call([=, chat = options_.chat_template] { return load_text(*checkpoint, chat, ends); },
                        options_.load.reading.stall_limit, ends);
  });
  if (auto declared = declare_weights(**checkpoint, stop); !declared) {
    stopper.request_stop();
    return declared;
  }
  std::atomic<bool> is_answering = false;
  auto rows = std::async(std::launch::async, [&, ends = stopper.get_token()] {
    BothSinks sinks(served_);
    auto read = weights_.model->read(**checkpoint, sinks, ends);
    if (read && !is_answering) served_.report({.stage = "warm up"});
    return read;
  });
  auto started = start(text, stopper.get_token());
  is_answering = started.has_value();
  if (!started) stopper.request_stop();
  const auto read = rows.get();
  // An engine that was not started for want of rows is not what failed.
  if (!started && (read || read.error().code == ErrorCode::cancelled)) return started;
  if (!read) return read;
  log_ready();
  auto expected = Phase::loading;
  if (!phase_.compare_exchange_strong(expected, Phase::loaded)) return std::unexpected(device_lost());
  set_ready();
  return {};
}

/// A thread that a file does not answer is left behind with what it uses.
Result<std::shared_ptr<const Checkpoint>> ServingModel::open(const std::stop_token& stop) const {
  const auto work = [path = options_.path]() -> Result<std::shared_ptr<const Checkpoint>> {
    return open_checkpoint(path);
  };
  return watched_call(work, options_.load.reading.stall_limit, stop);
}

Result<void> ServingModel::declare_weights(const Checkpoint& checkpoint, const std::stop_token& stop) {
  served_.report({.stage = "plan"});
  auto device = options_.open_device(checkpoint);
  if (!device) return pass_on(device);
  weights_.device = std::move(*device);
  LoadOptions load = options_.load;
  load.context_tokens = options_.engine.context_length;
  auto model = Model::declare(checkpoint, *weights_.device, load, served_, stop);
  if (!model) return pass_on(model);
  weights_.model = std::move(*model);
  vocabulary_ = weights_.model->config().vocabulary;
  return {};
}

Result<void> ServingModel::start(std::future<Result<ModelText>>& text, const std::stop_token& stop) {
  auto loaded_text = text.get();
  if (!loaded_text) return pass_on(loaded_text);
  text_ = std::move(*loaded_text);
  if (text_.chat_template_error) {
    spdlog::warn("chat is refused, completions are not: {}", to_string(*text_.chat_template_error));
  }
  const auto rebuild_program = [this](const std::vector<uint32_t>& blocks, const ProgramLimits& limits,
                                      const std::stop_token& ends) { return rebuild(blocks, limits, ends); };
  auto engine = Engine::start(*weights_.model, text_.tokenizer.get(), options_.engine, rebuild_program, {},
                              {.prepare = true, .weights_arrive = true, .stop = stop});
  if (!engine) return pass_on(engine);
  engine_ = std::move(*engine);
  served_.set_answering(ready_model());
  return {};
}

void ServingModel::log_ready() const {
  const DeviceInfo& device = weights_.device->info();
  const EngineOptions& planned = engine_->options();
  spdlog::info("{} is ready on {} ({}): context {}, {} sequences at once, {}", served_.name(), device.name,
               device.description, engine_->context_length(), planned.max_sequences,
               describe_cache(options_.engine.cache_bytes, planned, weights_.model->cache_groups()));
}

ReadyModel ServingModel::ready_model() const {
  return {.engine = engine_.get(),
          .tokenizer = text_.tokenizer.get(),
          .chat_template = text_.chat_template.get(),
          .chat_template_error = text_.chat_template_error ? &*text_.chat_template_error : nullptr,
          .vocabulary_size = vocabulary_,
          .default_sampling = text_.default_sampling};
}

void ServingModel::set_ready() { served_.set_ready(ready_model()); }

Result<RebuiltProgram> ServingModel::rebuild(const std::vector<uint32_t>& blocks_per_group, const ProgramLimits& limits,
                                             const std::stop_token& stop) {
  Error error = device_lost();
  // Somebody may still be writing rows to the lost one: the load fails.
  auto expected = Phase::loading;
  if (phase_.compare_exchange_strong(expected, Phase::lost) || expected == Phase::lost) {
    return std::unexpected(std::move(error));
  }
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

Result<RebuiltProgram> ServingModel::try_rebuild(const std::vector<uint32_t>& blocks_per_group,
                                                 const ProgramLimits& limits, const std::stop_token& stop) {
  // What is left of the lost device goes first: the new one needs the memory.
  weights_.model.reset();
  weights_.device.reset();
  auto checkpoint = open(stop);
  if (!checkpoint) return pass_on(checkpoint);
  if (auto declared = declare_weights(**checkpoint, stop); !declared) return pass_on(declared);
  BothSinks sinks(served_);
  if (auto read = weights_.model->read(**checkpoint, sinks, stop); !read) return pass_on(read);
  if (auto made = weights_.model->create_cache(blocks_per_group); !made) return pass_on(made);
  auto program = weights_.model->compile(limits, {.prepare = true, .stop = stop});
  if (!program) return pass_on(program);
  return RebuiltProgram{weights_.model.get(), std::move(*program)};
}

}  // namespace hearth::app
