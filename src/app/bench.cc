#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "app/commands.h"
#include "app/explain.h"
#include "app/measure.h"
#include "app/model_argument.h"
#include "app/open_model.h"
#include "app/print_profile.h"
#include "app/step_profiler.h"
#include "engine/engine_loop.h"

namespace hearth::app {
namespace {

struct Options {
  std::string model;
  std::filesystem::path path;  // which the model's name stands for
  DeviceOptions device;
  std::vector<uint32_t> prompts = {512};
  uint32_t decode = 128;
  std::vector<uint32_t> sequences = {1, 2, 4, 8};
  uint32_t context = 0;
  uint32_t repeat = 3;
  bool profile = false;
  bool explain = false;
  bool json = false;
};

struct PromptResult {
  uint32_t tokens;
  double tokens_per_second;
  double time_to_first_token_ms;
};

struct DecodeResult {
  uint32_t sequences;
  double tokens_per_second;  // their sum
  double bytes_per_step;
  double gb_per_second;
  std::optional<double> share_of_bandwidth;  // absent when it cannot be one: the weights came from a cache
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

/// Half a second of prompts, or one, that nobody counts: the clock of a card that was idle while weights were read
/// needs a fifth of a second to come back, and the first steps allocate.
Result<void> warm_up(EngineMeter& meter, uint32_t tokens) {
  constexpr double kSeconds = 0.5;
  for (double seconds = 0; seconds < kSeconds;) {
    const auto measured = meter.prompt(tokens);
    if (!measured) return std::unexpected(measured.error());
    seconds += measured->first_token_seconds;
  }
  return {};
}

Result<PromptResult> measure_prompt(EngineMeter& meter, uint32_t tokens, uint32_t repeat) {
  std::vector<double> seconds;
  for (uint32_t i = 0; i < repeat; ++i) {
    const auto measured = meter.prompt(tokens);
    if (!measured) return std::unexpected(measured.error());
    seconds.push_back(measured->first_token_seconds);
  }
  const double middle = median(seconds);
  return PromptResult{tokens, tokens / middle, middle * 1e3};
}

Result<DecodeResult> measure_decode(EngineMeter& meter, const Model& model, const Options& options, uint32_t sequences,
                                    double bandwidth) {
  std::vector<double> rates;
  double context = 0;
  for (uint32_t i = 0; i < options.repeat; ++i) {
    const auto measured = meter.decode(sequences, options.context, options.decode);
    if (!measured) return std::unexpected(measured.error());
    rates.push_back(static_cast<double>(measured->tokens) / measured->seconds);
    context += measured->mean_context / options.repeat;
  }
  DecodeResult result{.sequences = sequences, .tokens_per_second = median(rates)};
  result.bytes_per_step =
      static_cast<double>(model.bytes_read_per_step()) + sequences * cache_bytes_read(model.cache_groups(), context);
  result.gb_per_second = result.bytes_per_step * result.tokens_per_second / sequences / 1e9;
  if (bandwidth > 0 && result.gb_per_second <= bandwidth) result.share_of_bandwidth = result.gb_per_second / bandwidth;
  return result;
}

nlohmann::ordered_json describe(const Options& options, const Device& device, double bandwidth) {
  return {{"model", options.model},
          {"device", device.info().name + " (" + device.info().description + ")"},
          {"threads", device.info().threads},
          {"bandwidth_gb_per_second", bandwidth}};
}

void print_heading(const Options& options, const Device& device, double bandwidth) {
  fmt::print("{}\n{} ({})\n", options.model, device.info().name, device.info().description);
  if (bandwidth > 0) fmt::print("memory reads {:.1f} GB/s, measured now\n", bandwidth);
}

void print_json(const Options& options, const Device& device, double bandwidth,
                const std::vector<PromptResult>& prompts, const std::vector<DecodeResult>& decodes) {
  nlohmann::ordered_json json = describe(options, device, bandwidth);
  json["prompt"] = nlohmann::ordered_json::array();
  json["decode"] = nlohmann::ordered_json::array();
  for (const PromptResult& r : prompts) {
    json["prompt"].push_back({{"tokens", r.tokens},
                              {"tokens_per_second", r.tokens_per_second},
                              {"time_to_first_token_ms", r.time_to_first_token_ms}});
  }
  for (const DecodeResult& r : decodes) {
    json["decode"].push_back({{"sequences", r.sequences},
                              {"context", options.context},
                              {"tokens_per_second", r.tokens_per_second},
                              {"bytes_per_step", r.bytes_per_step},
                              {"gb_per_second", r.gb_per_second},
                              {"share_of_bandwidth", nullptr}});
    if (r.share_of_bandwidth) json["decode"].back()["share_of_bandwidth"] = *r.share_of_bandwidth;
  }
  fmt::print("{}\n", json.dump());
}

void print_table(const Options& options, const Device& device, double bandwidth,
                 const std::vector<PromptResult>& prompts, const std::vector<DecodeResult>& decodes) {
  print_heading(options, device, bandwidth);
  fmt::print("\n{:>8} {:>10} {:>14}\n", "prompt", "tokens/s", "first token");
  for (const PromptResult& r : prompts) {
    fmt::print("{:>8} {:>10.1f} {:>11.1f} ms\n", r.tokens, r.tokens_per_second, r.time_to_first_token_ms);
  }
  fmt::print("\n{:>9} {:>8} {:>10} {:>12} {:>8} {:>10}\n", "sequences", "context", "tokens/s", "MB a step", "GB/s",
             "of memory");
  for (const DecodeResult& r : decodes) {
    const std::string share =
        r.share_of_bandwidth ? fmt::format("{:.0f} %", *r.share_of_bandwidth * 100) : std::string("in cache");
    fmt::print("{:>9} {:>8} {:>10.1f} {:>12.1f} {:>8.1f} {:>10}\n", r.sequences, options.context, r.tokens_per_second,
               r.bytes_per_step / 1e6, r.gb_per_second, share);
  }
}

/// Of a sequence that decodes.
uint32_t decoding_tokens(const Options& options) {
  return tokens_side_by_side(std::ranges::max(options.sequences), options.context, options.decode, {});
}

/// All sequences side by side.
PlaceOptions room_for(const Options& options) {
  const uint32_t sequences = std::ranges::max(options.sequences);
  return {.context_tokens = std::max(std::ranges::max(options.prompts), decoding_tokens(options)) + kBlockTokens,
          .sequences = sequences,
          .limits = program_limits({.max_sequences = sequences})};
}

/// Where the time of steps goes, operation by operation, instead of how fast they are.
Result<void> run_profile(const Options& options) {
  auto opened = open_model(options.path, options.device, {}, room_for(options));
  if (!opened) return pass_on(opened);
  auto profiler = StepProfiler::create(*opened->model, {.sequences = std::ranges::max(options.sequences),
                                                        .context = options.context,
                                                        .prompt_tokens = std::ranges::max(options.prompts)});
  if (!profiler) return pass_on(profiler);
  const double bandwidth = opened->device->measure_bandwidth_gb_per_second();
  std::vector<ProfiledStep> steps;
  for (const uint32_t tokens : options.prompts) {
    auto step = profiler->prompt(tokens, options.repeat);
    if (!step) return pass_on(step);
    steps.push_back(std::move(*step));
  }
  for (const uint32_t sequences : options.sequences) {
    auto step = profiler->decode(sequences, options.context, options.repeat);
    if (!step) return pass_on(step);
    steps.push_back(std::move(*step));
  }
  if (options.json) {
    auto json = describe(options, *opened->device, bandwidth);
    json["steps"] = nlohmann::ordered_json::array();
    for (const ProfiledStep& step : steps) json["steps"].push_back(profile_json(step, bandwidth));
    fmt::print("{}\n", json.dump());
    return {};
  }
  print_heading(options, *opened->device, bandwidth);
  for (const ProfiledStep& step : steps) fmt::print("\n{}", profile_table(step, bandwidth));
  return {};
}

/// Which ways the device takes, instead of how fast they are.
Result<void> run_explain(const Options& options) {
  auto opened = open_model(options.path, options.device, {}, room_for(options));
  if (!opened) return pass_on(opened);
  auto choices = explain(*opened->model, std::ranges::max(options.prompts), std::ranges::max(options.sequences));
  if (!choices) return pass_on(choices);
  if (options.json) {
    auto json = describe(options, *opened->device, 0);
    json["choices"] = choices_json(*choices);
    fmt::print("{}\n", json.dump());
    return {};
  }
  print_heading(options, *opened->device, 0);
  fmt::print("{}", choices->empty() ? "one way for every operation on this device\n" : choices_table(*choices));
  return {};
}

Result<void> run(Options options) {
  auto model = find_model(options.model, std::chrono::seconds(options.device.load_timeout_s));
  if (!model) return pass_on(model);
  options.path = std::move(model->path);
  if (options.explain) return run_explain(options);
  if (options.profile) return run_profile(options);
  const PlaceOptions room = room_for(options);
  auto opened = open_model(options.path, options.device, {}, room);
  if (!opened) return pass_on(opened);
  EngineOptions engine_options = {.larger_steps = true, .inter_token_target_ms = 0};
  engine_options.max_sequences = std::max(1U, std::ranges::max(options.sequences));
  engine_options.context_length = std::min(opened->model->config().context_length, room.context_tokens);
  engine_options.cache_bytes = cache_bytes_side_by_side(opened->model->cache_groups(), engine_options.context_length,
                                                        engine_options.max_sequences, decoding_tokens(options));
  engine_options.prefix_cache = false;
  engine_options.tune_first = true;
  auto engine = Engine::start(*opened->model, nullptr, engine_options);
  if (!engine) return pass_on(engine);

  EngineMeter meter(**engine, opened->model->config().vocabulary);
  if (auto warm = meter.decode(1, 1, 8); !warm) return pass_on(warm);
  const double bandwidth = opened->device->measure_bandwidth_gb_per_second();
  if (auto warm = warm_up(meter, options.prompts.front()); !warm) return warm;
  std::vector<PromptResult> prompts;
  for (const uint32_t tokens : options.prompts) {
    auto result = measure_prompt(meter, tokens, options.repeat);
    if (!result) return pass_on(result);
    prompts.push_back(*result);
  }
  std::vector<DecodeResult> decodes;
  for (const uint32_t sequences : options.sequences) {
    auto result = measure_decode(meter, *opened->model, options, sequences, bandwidth);
    if (!result) return pass_on(result);
    decodes.push_back(*result);
  }
  const auto print = options.json ? print_json : print_table;
  print(options, *opened->device, bandwidth, prompts, decodes);
  return {};
}

}  // namespace

void add_bench(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("bench", "Measure prompt, decode and many-user speed beside the device's limit");
  add_model_argument(*command, options->model);
  const auto positive = CLI::Range(1U, std::numeric_limits<uint32_t>::max());
  command->add_option("--prompt", options->prompts, "prompt lengths in tokens")
      ->delimiter(',')
      ->check(positive)
      ->capture_default_str();
  command->add_option("--decode", options->decode, "tokens to decode")->check(positive)->capture_default_str();
  command->add_option("--sequences", options->sequences, "sequences side by side")
      ->delimiter(',')
      ->check(positive)
      ->capture_default_str();
  command->add_option("--context", options->context, "tokens in the cache before decoding")->capture_default_str();
  command->add_option("--repeat", options->repeat, "times each is measured; medians are printed")
      ->check(positive)
      ->capture_default_str();
  add_device_options(*command, options->device);
  command->add_flag("--profile", options->profile, "print where the time of a step goes, operation by operation");
  command->add_flag("--explain", options->explain,
                    "print how each operation runs at each count of tokens, and whether that was measured");
  command->add_flag("--json", options->json, "print one JSON object");
  command->footer("Example: hearth bench model.gguf --prompt 128,512 --sequences 1,8 --json");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace hearth::app
