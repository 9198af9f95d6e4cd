#include "device/vulkan/measuring/matmul_tuner.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "device/vulkan/measuring/matmul_starts.h"
#include "device/vulkan/paths/tuning_targets.h"

namespace hearth::vulkan {
namespace {

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

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

MatmulTuner::MatmulTuner(VulkanProgram& program, double seconds, MeasuredTunings& kept)
    : program_(program),
      is_processor_(program.gpu().properties().type == VK_PHYSICAL_DEVICE_TYPE_CPU),
      seconds_(seconds),
      kept_(kept),
      targets_(tuning_targets(program.recording(), program.weights(), program.limits(), program.matmuls().base())),
      report_{.shapes = static_cast<uint32_t>(targets_.size())} {}

Result<MatmulTuner::Progress> MatmulTuner::go_on(const IsInterrupted& is_interrupted) {
  busy_since_.reset();
  while (stage_ != Stage::ended) {
    if (is_interrupted()) return Progress::interrupted;
    const bool takes_over = stage_ == Stage::take_over;
    if (auto done = do_piece(is_interrupted); !done) return pass_on(done);
    if (takes_over && stage_ != Stage::take_over) return Progress::chosen;
  }
  return Progress::ended;
}

Result<void> MatmulTuner::do_piece(const IsInterrupted& is_interrupted) {
  if (job_) {
    const auto begin = Clock::now();
    auto made = await_pipelines(is_interrupted);
    if (stage_ == Stage::compile) report_.seconds += seconds_since(begin);
    if (!made) return pass_on(made);
    if (!*made) return {};
  }
  switch (stage_) {
    case Stage::begin:
      return begin();
    case Stage::warm_up_pipelines:
      can_keep_busy_ = true;
      stage_ = Stage::choose;
      return {};
    case Stage::choose:
      return choose();
    case Stage::compile:
      next_work_ = 0;
      stage_ = Stage::measure;
      return {};
    case Stage::measure:
      return measure_next(is_interrupted);
    case Stage::conclude:
      return conclude();
    case Stage::take_over:
      return take_over();
    case Stage::ended:
      return {};
  }
  std::unreachable();
}

bool MatmulTuner::wants(const TuningTarget& target, uint32_t tokens) const {
  if (tokens > target.most_tokens) return false;
  const auto known = kept_.find(target.shape);
  return known == kept_.end() || !known->second.contains(tokens);
}

/// The searches of the next count of tokens that has some.
Result<void> MatmulTuner::begin() {
  works_.clear();
  for (; count_ < tuned_counts().size() && works_.empty(); count_ += works_.empty() ? 1 : 0) {
    const auto [tokens, descend] = tuned_counts()[count_];
    for (const TuningTarget& target : targets_) {
      if (!wants(target, tokens)) continue;
      const Tuning& table = program_.matmuls().base();
      works_.push_back({.target = &target,
                        .tokens = tokens,
                        .search = MatmulSearch(table, matmul_starts(table, kept_, target, tokens), target.few_group,
                                               tokens, descend)});
    }
  }
  next_work_ = 0;
  stage_ = works_.empty() ? Stage::ended : Stage::choose;
  return works_.empty() || pipelines_ ? Result<void>{} : prepare();
}

Result<void> MatmulTuner::prepare() {
  auto pipelines = Pipelines::create(program_.gpu());
  if (!pipelines) return pass_on(pipelines);
  pipelines_ = std::move(*pipelines);
  auto timer = TrialTimer::create(program_, *pipelines_);
  if (!timer) return pass_on(timer);
  timer_ = std::move(*timer);
  if (is_processor_) return {};
  auto keys = TrialTimer::pipelines_of(program_, trial(targets_.front(), 1, {}));
  if (!keys) return pass_on(keys);
  job_.emplace(*pipelines_, std::move(*keys));
  stage_ = Stage::warm_up_pipelines;
  return {};
}

MatmulTrial MatmulTuner::trial(const TuningTarget& target, uint32_t tokens, const TuningChanges& changes) const {
  const bool one_memory = program_.gpu().properties().one_memory;
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

/// One search's next step, and behind the last one the pipelines of all, which are compiled side by side.
Result<void> MatmulTuner::choose() {
  const auto is_searching = [](const Work& work) { return !work.search.candidates().empty(); };
  if ((late() && !is_first_step_) || std::ranges::none_of(works_, is_searching)) {
    stage_ = Stage::conclude;
    return {};
  }
  if (next_work_ < works_.size()) {
    auto chosen = choose_new(works_[next_work_]);
    if (!chosen) return pass_on(chosen);
    works_[next_work_++].chosen = std::move(*chosen);
    return {};
  }
  job_.emplace(*pipelines_, std::exchange(keys_, {}));
  stage_ = Stage::compile;
  return {};
}

/// The candidates that launch something new; the first one and the table's always, as they are what others are compared
/// with.
Result<std::vector<size_t>> MatmulTuner::choose_new(Work& work) {
  std::vector<size_t> chosen;
  const auto& candidates = work.search.candidates();
  for (size_t i = 0; i < candidates.size(); ++i) {
    const MatmulTrial one = trial(*work.target, work.tokens, candidates[i]);
    auto launches = program_.launches(std::span(one.operations).first(1), one.tokens, one.tuning);
    if (!launches) return pass_on(launches);
    std::vector<PipelineKey> signature;
    for (const Launch& launch : *launches) signature.push_back(launch.key);
    const bool is_new = work.seen.insert(std::move(signature)).second;
    if (i > 0 && !is_new && !candidates[i].empty()) continue;
    auto keys = TrialTimer::pipelines_of(program_, one);
    if (!keys) return pass_on(keys);
    keys_.merge(*keys);
    chosen.push_back(i);
  }
  return chosen;
}

/// However short the time, the first step is taken whole: every start gets further than the one before.
Result<void> MatmulTuner::measure_next(const IsInterrupted& is_interrupted) {
  if (next_work_ == works_.size() || (late() && !is_first_step_)) {
    is_first_step_ = false;
    next_work_ = 0;
    stage_ = Stage::choose;
    return {};
  }
  Work& work = works_[next_work_];
  if (work.search.candidates().empty()) {
    ++next_work_;
    return {};
  }
  auto warm = warm_up(is_interrupted);
  if (!warm) return pass_on(warm);
  if (!*warm) return {};
  const auto begin = Clock::now();
  auto measured = measure(work, is_interrupted);
  report_.seconds += seconds_since(begin);
  if (!measured) return pass_on(measured);
  next_work_ += *measured ? 1 : 0;
  return {};
}

/// False where it was interrupted.
Result<bool> MatmulTuner::measure(Work& work, const IsInterrupted& is_interrupted) {
  // What was seen before has lost before, or is the first candidate itself.
  std::vector<double> seconds(work.search.candidates().size(), std::numeric_limits<double>::infinity());
  if (work.chosen.size() == 1 && work.search.table_seconds() > 0) {  // nothing new to compare with
    seconds.front() = work.search.best_seconds();
    work.search.learn(seconds);
    return true;
  }
  std::vector<MatmulTrial> trials;
  for (const size_t i : work.chosen) trials.push_back(trial(*work.target, work.tokens, work.search.candidates()[i]));
  auto timed = timer_->time(trials, kRepeats, is_processor_ ? 0 : kRoundsSeconds, is_interrupted);
  if (!timed) return pass_on(timed);
  if (timed->empty()) return false;
  for (size_t i = 0; i < work.chosen.size(); ++i) {
    const size_t candidate = work.chosen[i];
    if ((*timed)[i].agrees) {
      seconds[candidate] = (*timed)[i].seconds;
    } else {
      spdlog::warn("{}, {} tokens, with {}: wrong on this device, so it is not used", work.target->shape, work.tokens,
                   text_of(work.search.candidates()[candidate]));
    }
  }
  work.search.learn(seconds);
  return true;
}

Result<void> MatmulTuner::conclude() {
  const uint32_t before = report_.measured;
  for (const Work& work : works_) {
    const MatmulSearch& search = work.search;
    if (search.table_seconds() == 0) {
      ++report_.missing;
      continue;
    }
    // Where the time was up before the end, the best so far.
    kept_[work.target->shape][work.tokens] = {search.best(), search.best_seconds(), search.table_seconds()};
    ++report_.measured;
  }
  const uint32_t tokens = tuned_counts()[count_++].tokens;
  stage_ = Stage::begin;
  if (report_.measured == before) return {};
  auto keys = program_.pipelines_with(kept_, tokens);
  if (!keys) return pass_on(keys);
  job_.emplace(program_.pipelines(), std::move(*keys));
  stage_ = Stage::take_over;
  return {};
}

/// All pipelines that steps need now are there.
Result<void> MatmulTuner::take_over() {
  stage_ = Stage::begin;
  return program_.set_matmuls(kept_);
}

/// Whether the job's pipelines are made. The GPU goes on working meanwhile: one that idles for a second while drivers
/// compile is slow for the next.
Result<bool> MatmulTuner::await_pipelines(const IsInterrupted& is_interrupted) {
  while (!job_->is_done_within(std::chrono::milliseconds(can_keep_busy_ ? 0 : 1))) {
    if (is_interrupted()) return false;
    if (!can_keep_busy_) continue;
    if (auto ran = keep_busy(is_interrupted); !ran) return pass_on(ran);
  }
  auto made = job_->result();
  job_.reset();
  if (!made) return pass_on(made);
  return true;
}

/// False where it was interrupted.
Result<bool> MatmulTuner::warm_up(const IsInterrupted& is_interrupted) {
  if (!can_keep_busy_) return true;
  while (!busy_since_ || seconds_since(*busy_since_) < kWarmUpSeconds) {
    if (is_interrupted()) return false;
    if (auto ran = keep_busy(is_interrupted); !ran) return pass_on(ran);
  }
  return true;
}

Result<void> MatmulTuner::keep_busy(const IsInterrupted& is_interrupted) {
  if (!busy_since_) busy_since_ = Clock::now();
  const std::array trials = {trial(targets_.front(), 1, {})};
  constexpr uint32_t kRounds = 16;
  auto ran = timer_->time(trials, kRounds, 0, is_interrupted);
  return ran ? Result<void>{} : pass_on(ran);
}

}  // namespace hearth::vulkan
