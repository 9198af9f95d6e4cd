#include "app/predicted_speed.h"

#include <algorithm>
#include <cmath>

#include "app/step_profiler.h"
#include "device/open_device.h"
#include "model/cache_layers.h"
#include "model/families/family.h"

namespace hearth::app {
namespace {

constexpr uint32_t kSequences[] = {1, 2, 4, 8, 16, 32, 64};
constexpr uint32_t kPromptTokens = 512;
/// For which steps of one kind are run at least: a GPU that has just begun to work, or works hard, changes its clock.
constexpr double kStepsSeconds = 0.3;
constexpr double kFirstStepsSeconds = 1.5;
constexpr uint32_t kFewSequences = 4, kManySequences = 64;  ///< two of kSequences
constexpr uint32_t kCacheContext = 512;

/// So much of the layers is timed at least: less would stay in caches from step to step, or be over before a GPU works
/// as hard as it would with all of them. What begins and ends a step counts as much as a layer or two.
constexpr uint64_t kLeastBytes = 256 << 20;
constexpr double kLeastReadSeconds = 1e-3;

/// Seconds that attention takes for a byte of K, V or state, where few sequences decode side by side and where many do:
/// a GPU is busier with many.
struct CacheCost {
  double few = 0, many = 0;

  double seconds_per_byte(uint32_t sequences) const {
    constexpr double kFew = kFewSequences, kMany = kManySequences;
    const double part = std::log(std::clamp<double>(sequences, kFew, kMany) / kFew) / std::log(kMany / kFew);
    return few + part * (many - few);
  }
};

/// Seconds of steps.
struct StepTimes {
  std::vector<double> decoding;  ///< of each of kSequences
  double prompt = 0;
  CacheCost cache;
  uint64_t bytes_read = 0;  ///< of weights, by a step of one token
};

/// What attention behind some hundred tokens adds to a step.
Result<double> time_cache(StepProfiler& profiler, const Model& model, uint32_t sequences, double without) {
  const double bytes = sequences * cache_bytes_read(model.cache_groups(), kCacheContext);
  auto seconds = profiler.decode_seconds(sequences, kCacheContext, kStepsSeconds);
  if (!seconds) return seconds;
  return bytes > 0 ? std::max(*seconds - without, 0.0) / bytes : 0;
}

Result<StepTimes> time_steps(const Checkpoint& checkpoint, const DeviceOptions& options, std::string_view name,
                             const LayerCut& cut, uint32_t prompt_tokens) {
  auto device = open_device(name, options.threads, options.batch_invariant, options.prefer);
  if (!device) return pass_on(device);
  LatestProgress progress;
  auto model = Model::declare(checkpoint, **device, {.cut = cut, .is_for_timing = true}, progress, {});
  if (!model) return pass_on(model);
  if (auto made = (*model)->make_up_rows(); !made) return pass_on(made);
  const uint32_t most = std::ranges::max(kSequences);
  const bool reads_cache = !(*model)->cache_groups().empty() && (*model)->config().context_length > kCacheContext;
  auto profiler = StepProfiler::create(
      **model, {.sequences = most, .context = reads_cache ? kCacheContext : 0, .prompt_tokens = prompt_tokens});
  if (!profiler) return pass_on(profiler);
  StepTimes times = {.decoding = {}, .bytes_read = (*model)->bytes_read_per_step()};
  if ((*device)->info().is_gpu) {
    if (auto warmed = profiler->decode_seconds(1, 0, kFirstStepsSeconds); !warmed) return pass_on(warmed);
  }
  for (const uint32_t sequences : kSequences) {
    auto seconds = profiler->decode_seconds(sequences, 0, kStepsSeconds);
    if (!seconds) return pass_on(seconds);
    times.decoding.push_back(*seconds);
    const bool is_few = sequences == kFewSequences;
    // The processor reads as fast with few, and would be long in filling the contexts of many.
    const bool is_many = sequences == kManySequences && (*device)->info().is_gpu;
    if (!reads_cache || !(is_few || is_many)) continue;
    auto of_cache = time_cache(*profiler, **model, sequences, *seconds);
    if (!of_cache) return pass_on(of_cache);
    (is_few ? times.cache.few : times.cache.many) = *of_cache;
  }
  if (!(*device)->info().is_gpu) times.cache.many = times.cache.few;
  auto seconds = profiler->prompt_seconds(prompt_tokens, kStepsSeconds);
  if (!seconds) return pass_on(seconds);
  times.prompt = *seconds;
  return times;
}

/// So many of the first layers have all kinds, and enough bytes.
uint32_t layers_to_time(const DecoderConfig& config, const ModelPlan& plan, double bandwidth_gb_per_second) {
  const auto kind = [](const LayerConfig& layer) { return std::pair(layer.mixer.index(), layer.feed_forward.index()); };
  uint32_t last_new = 0;
  for (uint32_t i = 0; i < config.layers.size(); ++i) {
    const auto same = [&](const LayerConfig& other) { return kind(other) == kind(config.layers[i]); };
    if (std::ranges::find_if(config.layers, same) - config.layers.begin() == i) last_new = i;
  }
  uint64_t bytes = 0;
  for (const PlannedMemory& memory : plan.memories) {
    bytes += memory.weights.of(WeightKind::mixer) + memory.weights.of(WeightKind::feed_forward) +
             memory.weights.of(WeightKind::experts);
  }
  const uint64_t of_layer = std::max<uint64_t>(bytes / config.layers.size(), 1);
  const uint64_t least =
      std::max(kLeastBytes, static_cast<uint64_t>(bandwidth_gb_per_second * 1e9 * kLeastReadSeconds));
  const uint64_t enough = (least + of_layer - 1) / of_layer;
  return static_cast<uint32_t>(std::min<uint64_t>(std::max<uint64_t>(last_new + 1, enough), config.layers.size()));
}

void add_decoding(const ModelPlan& plan, uint32_t sequences, double seconds, const CacheCost& cache,
                  PredictedSpeed& speed) {
  const auto rate = [&](double bytes_read) {
    return sequences / (seconds + sequences * bytes_read * cache.seconds_per_byte(sequences));
  };
  PredictedSpeed::Decoding decoding = {
      .sequences = sequences, .tokens_per_second = rate(plan.short_bytes_read), .behind_rooms = {}};
  for (const Room& room : plan.rooms) {
    decoding.behind_rooms.push_back(sequences <= room.sequences ? rate(room.bytes_read) : 0);
  }
  speed.decoding.push_back(std::move(decoding));
}

/// Bytes of weights that a step of so many tokens reads: of experts those that somebody has chosen, if each chooses at
/// random.
double weight_bytes_read(const ModelPlan& plan, uint32_t tokens) {
  uint64_t experts = 0;
  for (const PlannedMemory& memory : plan.memories) experts += memory.weights.of(WeightKind::experts);
  const auto of_one = static_cast<double>(plan.weight_bytes_read);
  if (experts == 0) return of_one;
  const double chosen = plan.chosen_experts;
  const double dense = of_one - chosen * static_cast<double>(experts);
  return dense + static_cast<double>(experts) * (1 - std::pow(1 - chosen, tokens));
}

}  // namespace

Result<PredictedSpeed> measure_speed(const Checkpoint& checkpoint, const DeviceOptions& options,
                                     const ModelPlan& plan) {
  if (plan.is_split) {
    return fail(ErrorCode::unsupported, "speeds are not predicted where layers are shared out over devices");
  }
  auto description = describe_decoder(checkpoint);
  if (!description) return pass_on(description);
  const DecoderConfig& config = description->config;
  const uint32_t prompt_tokens = std::min(kPromptTokens, config.context_length);
  // What was chosen, which need not be said again.
  const std::string& name = options.device == "auto" ? plan.device_kind : options.device;
  auto device = open_device(name, options.threads, options.batch_invariant);
  if (!device) return pass_on(device);
  const double bandwidth = (*device)->measure_bandwidth_gb_per_second();
  device->reset();
  const uint32_t layers = layers_to_time(config, plan, bandwidth);
  auto part = time_steps(checkpoint, options, name, {.max_layers = layers}, prompt_tokens);
  if (!part) return pass_on(part);
  StepTimes shared = {.decoding = std::vector<double>(std::size(kSequences)), .prompt = 0};
  double times_layers = 1;
  if (layers < config.layers.size()) {
    auto timed = time_steps(checkpoint, options, name, {.shared_only = true}, prompt_tokens);
    if (!timed) return pass_on(timed);
    shared = std::move(*timed);
    times_layers = static_cast<double>(plan.weight_bytes_read - shared.bytes_read) /
                   static_cast<double>(part->bytes_read - shared.bytes_read);
  }
  const auto whole = [&](double of_shared, double of_part) {
    return of_shared + std::max(of_part - of_shared, 0.0) * times_layers;
  };
  PredictedSpeed speed = {.basis = PredictedSpeed::Basis::measured,
                          .bandwidth_gb_per_second = bandwidth,
                          .decoding = {},
                          .prompt_tokens_per_second = prompt_tokens / whole(shared.prompt, part->prompt)};
  for (size_t i = 0; i < std::size(kSequences); ++i) {
    add_decoding(plan, kSequences[i], whole(shared.decoding[i], part->decoding[i]), part->cache, speed);
  }
  return speed;
}

PredictedSpeed limit_of_speed(const ModelPlan& plan) {
  PredictedSpeed speed = {
      .bandwidth_gb_per_second = plan.bandwidth_gb_per_second, .teraflops = plan.teraflops, .decoding = {}};
  if (plan.bandwidth_gb_per_second <= 0) return speed;
  const double of_byte = 1e-9 / plan.bandwidth_gb_per_second;
  const double operations = 2 * static_cast<double>(plan.products_per_token);
  const double of_product = plan.teraflops > 0 ? operations / (plan.teraflops * 1e12) : 0;
  for (const uint32_t sequences : kSequences) {
    const double reading = weight_bytes_read(plan, sequences) / (plan.bandwidth_gb_per_second * 1e9);
    add_decoding(plan, sequences, std::max(reading, sequences * of_product), {of_byte, of_byte}, speed);
  }
  if (of_product > 0) speed.prompt_tokens_per_second = 1 / of_product;
  return speed;
}

}  // namespace hearth::app
