#include "device/vulkan/measuring/matmul_tuner.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <future>
#include <iterator>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "device/vulkan/measuring/matmul_search.h"
#include "device/vulkan/measuring/trial_timer.h"
#include "device/vulkan/paths/tuning_targets.h"

namespace hearth::vulkan {
namespace {

/// A count of tokens and whether fields are varied there; elsewhere only what won at its neighbours is compared, for
/// there the border between paths must be found. The most frequent steps come first.
struct Count {
  uint32_t tokens = 1;
  bool descend = false;
};
constexpr std::array kCounts = {Count{1, true},  Count{8, true},  Count{16, true},  Count{4, true},   Count{2, true},
                                Count{32, true}, Count{64, true}, Count{512, true}, Count{128, true}, Count{12},
                                Count{24},       Count{48},       Count{10},        Count{14},        Count{40},
                                Count{3},        Count{6},        Count{5},         Count{7},         Count{256},
                                Count{2048}};

/// Whether every bucket of tokens that has a kernel of its own is measured.
constexpr bool all_are_measured() {
  for (uint32_t tokens = 1; tokens <= MatmulTunings::kLastOwnKernel; ++tokens) {
    const auto holds = [&](const Count& count) { return count.tokens == bucket_of(tokens); };
    if (std::ranges::none_of(kCounts, holds)) return false;
  }
  return true;
}
static_assert(all_are_measured());

/// With fewer tokens dot products of bytes are quicker on all devices seen, but not before their fields were varied: a
/// search that began with matrices filled in registers would not find that out.
constexpr uint32_t kLeastFragmentTokens = 3;
constexpr uint32_t kRepeats = 3;
constexpr size_t kMostOperations = 64;        ///< of one trial
constexpr double kMostWork = 20e9;            ///< floating-point operations of one trial, where it may be several
constexpr uint64_t kTrialBytes = 256U << 20;  ///< weights of one trial: more than caches hold, so that none flatters
constexpr uint64_t kSmallTrialBytes = 64U << 20;  ///< the same for GPUs that share the host's memory
/// A GPU that has idled runs at half its speed for up to a second (an H100; docs/performance.md).
constexpr double kWarmUpSeconds = 1.0;
/// Compiling and comparing candidates leave it idle between measurements: four times too long were some times on an
/// H200 where each candidate ran three times only.
constexpr double kRoundsSeconds = 0.02;

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

class MatmulTuner {
 public:
  MatmulTuner(const Gpu& gpu, VulkanProgram& program, double seconds, MeasuredTunings& kept)
      : gpu_(gpu),
        program_(program),
        seconds_(seconds),
        kept_(kept),
        targets_(tuning_targets(program.recording(), program.weights(), program.limits(), program.matmuls().base())) {}

  Result<TuningReport> run();

 private:
  /// A search on its way, and what it has measured.
  struct Work {
    const TuningTarget* target = nullptr;
    uint32_t tokens = 1;
    MatmulSearch search;
    std::set<std::vector<PipelineKey>> seen = {};  ///< what candidates launch; many come to the same
  };

  bool wants(const TuningTarget& target, uint32_t tokens) const;
  std::vector<TuningChanges> starts(const TuningTarget& target, uint32_t tokens) const;
  std::vector<Work> begin(const Count& count) const;
  MatmulTrial trial(const TuningTarget& target, uint32_t tokens, const TuningChanges& changes) const;
  Result<void> prepare();
  Result<void> warm_up();
  Result<void> compile(const std::set<PipelineKey>& keys);
  Result<void> step(std::vector<Work>& works);
  Result<std::vector<size_t>> choose_new(Work& work, std::set<PipelineKey>& keys);
  Result<void> measure(Work& work, const std::vector<size_t>& chosen);
  bool late() const { return seconds_since(begin_) > seconds_; }

  const Gpu& gpu_;
  VulkanProgram& program_;
  const double seconds_;
  MeasuredTunings& kept_;
  const std::vector<TuningTarget> targets_;
  std::unique_ptr<Pipelines> pipelines_;  ///< of all candidates, the losers too
  std::optional<TrialTimer> timer_;
  Clock::time_point begin_ = Clock::now();
  bool is_first_step_ = true;
};

bool MatmulTuner::wants(const TuningTarget& target, uint32_t tokens) const {
  if (tokens > target.most_tokens) return false;
  const auto known = kept_.find(target.shape);
  return known == kept_.end() || !known->second.contains(tokens);
}

/// The table's choice, each path as the table has it, and what won at the nearest counts.
std::vector<TuningChanges> MatmulTuner::starts(const TuningTarget& target, uint32_t tokens) const {
  std::vector<TuningChanges> starts = {{}};
  const bool few = tokens <= 16;
  starts.push_back(force_path(few ? MatmulPath::few : MatmulPath::tiled));
  starts.push_back(force_path(MatmulPath::matrix));
  if (tokens >= kLeastFragmentTokens) {
    std::ranges::copy(fragment_starts(target.few_group, tokens), std::back_inserter(starts));
  }
  if (!few) {
    starts.push_back(force_path(MatmulPath::decoded_matrix));
    starts.push_back(force_path(MatmulPath::workgroup_matrix));
  }
  const auto known = kept_.find(target.shape);
  if (known == kept_.end()) return starts;
  const auto add_neighbour = [&](const std::pair<const uint32_t, MeasuredTuning>& neighbour) {
    auto start = start_from(program_.matmuls().base(), neighbour.first, neighbour.second.changes);
    if (!start || (start->path == MatmulPath::few && !few)) return;
    if (start->path == MatmulPath::fragments && tokens < kLeastFragmentTokens) return;
    starts.push_back(std::move(start->changes));
  };
  const auto above = known->second.upper_bound(tokens);
  if (above != known->second.end()) add_neighbour(*above);
  if (above != known->second.begin()) add_neighbour(*std::prev(above));
  return starts;
}

std::vector<MatmulTuner::Work> MatmulTuner::begin(const Count& count) const {
  std::vector<Work> works;
  for (const TuningTarget& target : targets_) {
    if (!wants(target, count.tokens)) continue;
    works.push_back({.target = &target,
                     .tokens = count.tokens,
                     .search = MatmulSearch(program_.matmuls().base(), starts(target, count.tokens), target.few_group,
                                            count.tokens, count.descend)});
  }
  return works;
}

MatmulTrial MatmulTuner::trial(const TuningTarget& target, uint32_t tokens, const TuningChanges& changes) const {
  const bool one_memory = gpu_.properties().one_memory;
  const uint64_t bytes = one_memory ? kSmallTrialBytes : kTrialBytes;
  const auto by_bytes = static_cast<size_t>(bytes / std::max<uint64_t>(target.bytes, 1) + 1);
  const auto by_work = std::max<size_t>(1, static_cast<size_t>(kMostWork / (target.work * tokens)));
  const size_t count = std::min({target.operations.size(), by_bytes, by_work, kMostOperations});
  MatmulTrial trial = {
      .operations = {target.operations.begin(), target.operations.begin() + static_cast<ptrdiff_t>(count)},
      .tokens = tokens,
      .tuning = program_.matmuls().base()};
  (void)change_tuning(changes, trial.tuning);  // the search makes no names of its own
  return trial;
}

/// The candidates that launch something new; the first one and the table's always, as they are what others are compared
/// with. Their pipelines are added to `keys`.
Result<std::vector<size_t>> MatmulTuner::choose_new(Work& work, std::set<PipelineKey>& keys) {
  std::vector<size_t> chosen;
  const auto& candidates = work.search.candidates();
  for (size_t i = 0; i < candidates.size(); ++i) {
    MatmulTrial one = trial(*work.target, work.tokens, candidates[i]);
    one.operations.resize(1);
    auto launches = program_.launches(one.operations, one.tokens, one.tuning);
    if (!launches) return pass_on(launches);
    std::vector<PipelineKey> signature;
    for (const Launch& launch : *launches) signature.push_back(launch.key);
    const bool is_new = work.seen.insert(signature).second;
    if (i > 0 && !is_new && !candidates[i].empty()) continue;
    keys.insert(signature.begin(), signature.end());
    chosen.push_back(i);
  }
  return chosen;
}

Result<void> MatmulTuner::measure(Work& work, const std::vector<size_t>& chosen) {
  // What was seen before has lost before, or is the first candidate itself.
  std::vector<double> seconds(work.search.candidates().size(), std::numeric_limits<double>::infinity());
  std::vector<MatmulTrial> trials;
  if (chosen.size() == 1 && work.search.table_seconds() > 0) {  // nothing new to compare with
    seconds.front() = work.search.best_seconds();
    work.search.learn(seconds);
    return {};
  }
  for (const size_t i : chosen) trials.push_back(trial(*work.target, work.tokens, work.search.candidates()[i]));
  const bool is_processor = gpu_.properties().type == VK_PHYSICAL_DEVICE_TYPE_CPU;
  auto timed = timer_->time(trials, kRepeats, is_processor ? 0 : kRoundsSeconds);
  if (!timed) return pass_on(timed);
  for (size_t i = 0; i < chosen.size(); ++i) {
    if ((*timed)[i].agrees) {
      seconds[chosen[i]] = (*timed)[i].seconds;
    } else {
      spdlog::warn("{}, {} tokens, with {}: wrong on this device, so it is not used", work.target->shape, work.tokens,
                   text_of(work.search.candidates()[chosen[i]]));
    }
  }
  work.search.learn(seconds);
  return {};
}

/// One step of every search, so that the pipelines of all are compiled side by side.
Result<void> MatmulTuner::step(std::vector<Work>& works) {
  std::set<PipelineKey> keys;
  std::vector<std::vector<size_t>> chosen;
  for (Work& work : works) {
    auto candidates = choose_new(work, keys);
    if (!candidates) return pass_on(candidates);
    chosen.push_back(std::move(*candidates));
  }
  if (auto made = compile(keys); !made) return made;
  // However short the time, the first step is taken whole: every start gets further than the one before.
  const bool first = std::exchange(is_first_step_, false);
  for (size_t i = 0; i < works.size() && (first || !late()); ++i) {
    if (works[i].search.candidates().empty()) continue;
    if (auto measured = measure(works[i], chosen[i]); !measured) return measured;
  }
  return {};
}

Result<void> MatmulTuner::prepare() {
  auto pipelines = Pipelines::create(gpu_);
  if (!pipelines) return pass_on(pipelines);
  pipelines_ = std::move(*pipelines);
  auto timer = TrialTimer::create(program_, *pipelines_);
  if (!timer) return pass_on(timer);
  timer_ = std::move(*timer);
  if (auto warm = warm_up(); !warm) return warm;
  begin_ = Clock::now();
  return {};
}

/// The GPU goes on working meanwhile: one that idles for a second while drivers compile is slow for the next.
Result<void> MatmulTuner::compile(const std::set<PipelineKey>& keys) {
  if (gpu_.properties().type == VK_PHYSICAL_DEVICE_TYPE_CPU) return pipelines_->prepare(keys);
  const std::array trials = {trial(targets_.front(), 1, {})};
  auto made = std::async(std::launch::async, [&] { return pipelines_->prepare(keys); });
  while (made.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
    if (auto ran = timer_->time(trials, 16, 0); !ran) return made.wait(), pass_on(ran);
  }
  return made.get();
}

Result<void> MatmulTuner::warm_up() {
  if (gpu_.properties().type == VK_PHYSICAL_DEVICE_TYPE_CPU) return {};
  const std::array trials = {trial(targets_.front(), 1, {})};
  const auto begin = Clock::now();
  while (seconds_since(begin) < kWarmUpSeconds) {
    if (auto ran = timer_->time(trials, 16, 0); !ran) return pass_on(ran);
  }
  return {};
}

Result<TuningReport> MatmulTuner::run() {
  TuningReport report = {.shapes = static_cast<uint32_t>(targets_.size())};
  for (const Count& count : kCounts) {
    std::vector<Work> works = begin(count);
    if (works.empty()) continue;
    if (!pipelines_) {
      if (auto done = prepare(); !done) return pass_on(done);
    }
    const auto is_searching = [](const Work& work) { return !work.search.candidates().empty(); };
    while ((is_first_step_ || !late()) && std::ranges::any_of(works, is_searching)) {
      if (auto done = step(works); !done) return pass_on(done);
    }
    for (const Work& work : works) {
      const MatmulSearch& search = work.search;
      if (search.table_seconds() == 0) {
        ++report.missing;
        continue;
      }
      // Where the time was up before the end, the best so far.
      kept_[work.target->shape][work.tokens] = {search.best(), search.best_seconds(), search.table_seconds()};
      ++report.measured;
    }
  }
  report.seconds = seconds_since(begin_);
  return report;
}

}  // namespace

Result<TuningReport> tune_matmuls(const Gpu& gpu, VulkanProgram& program, double seconds, MeasuredTunings& kept) {
  return MatmulTuner(gpu, program, seconds, kept).run();
}

}  // namespace hearth::vulkan
