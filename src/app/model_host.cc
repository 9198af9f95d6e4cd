#include "app/model_host.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/sleep.h"

namespace hearth::app {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// How often to look whether the last request of a model that leaves has ended.
constexpr milliseconds kPoll{10};
constexpr milliseconds kLookForUnused{1000};

/// Between two looks at which models there are.
constexpr seconds kLookDistance{1};

/// A request does not have a failed model tried again before.
constexpr seconds kRetryFailed{10};

/// A model in use stays for as long as its load took, but not longer than this.
constexpr seconds kLongestStay{60};

}  // namespace

ModelHost::~ModelHost() {
  stop();
  for (Slot& slot : slots_) slot.loaded.reset();
}

void ModelHost::add(HostedModel model) {
  std::lock_guard lock(mutex_);
  models_->add(model.served);
  slots_.push_back({.hosted = std::move(model)});
}

void ModelHost::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void ModelHost::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    for (Slot* slot : wanted_) slot->hosted.served->set_failed({ErrorCode::cancelled, "the server is ending"});
    wanted_.clear();
  }
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

ModelHost::Slot* ModelHost::find(const ServedModel& model) {
  const auto at = std::ranges::find_if(slots_, [&](const Slot& slot) { return slot.hosted.served.get() == &model; });
  return at == slots_.end() ? nullptr : &*at;
}

std::vector<ModelHost::Slot*> ModelHost::all_slots() {
  std::lock_guard lock(mutex_);
  std::vector<Slot*> all;
  for (Slot& slot : slots_) all.push_back(&slot);
  return all;
}

void ModelHost::want(ServedModel& model) { enqueue(model, false); }
void ModelHost::load(ServedModel& model) { enqueue(model, true); }

void ModelHost::enqueue(ServedModel& model, bool after_failure) {
  std::lock_guard lock(mutex_);
  Slot* slot = find(model);
  if (slot == nullptr || stopping_) return;
  const bool is_coming = slot->load_stop && !slot->load_stop->stop_requested();
  const bool is_there = slot->loaded != nullptr && !slot->is_leaving;
  const bool has_just_failed = slot->failed_at && Clock::now() - *slot->failed_at < kRetryFailed;
  if (is_coming || is_there || is_queued(*slot) || (has_just_failed && !after_failure)) return;
  model.set_queued();
  wanted_.push_back(slot);
  changed_.notify_all();
}

void ModelHost::unload(ServedModel& model) {
  std::lock_guard lock(mutex_);
  Slot* slot = find(model);
  if (slot == nullptr) return;
  std::erase(wanted_, slot);
  if (slot->load_stop) slot->load_stop->request_stop();
  slot->is_leaving = slot->loaded != nullptr;
  model.set_unloaded();
  changed_.notify_all();
}

void ModelHost::look_for_models() {
  if (!options_.find_new) return;
  std::lock_guard lock(finding_);
  if (looked_at_ && Clock::now() - *looked_at_ < kLookDistance) return;
  looked_at_ = Clock::now();
  for (HostedModel& model : options_.find_new()) add(std::move(model));
}

void ModelHost::lost(ServedModel& model, const Error& error) {
  {
    std::lock_guard lock(mutex_);
    Slot* slot = find(model);
    if (slot != nullptr) {
      slot->is_leaving = slot->loaded != nullptr;
      slot->failed_at = Clock::now();
    }
    changed_.notify_all();
  }
  if (options_.on_failure) options_.on_failure(error);
}

void ModelHost::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    Slot* next = nullptr;
    {
      std::unique_lock lock(mutex_);
      const bool leaving = std::ranges::any_of(slots_, &Slot::is_leaving);
      const auto some_time = leaving                     ? kPoll
                             : options_.keep.count() > 0 ? std::min(options_.keep, kLookForUnused)
                                                         : milliseconds(3600 * 1000);
      const auto has_news = [&] {
        return !wanted_.empty() || (!leaving && std::ranges::any_of(slots_, &Slot::is_leaving));
      };
      changed_.wait_for(lock, stop, some_time, has_news);
      if (stop.stop_requested()) return;
      if (!wanted_.empty()) {
        next = wanted_.front();
        wanted_.pop_front();
        next->load_stop.emplace();
      }
    }
    for (Slot* slot : all_slots()) free_unless_held(*slot);
    retire_unused();
    if (next != nullptr) load_next(*next, stop);
  }
}

void ModelHost::load_next(Slot& slot, const std::stop_token& stop) {
  std::stop_source source = *slot.load_stop;
  const std::stop_callback ends_too(stop, [&] { source.request_stop(); });
  const auto begin = Clock::now();
  const Result<void> loaded = load_with_room(slot, source.get_token());
  if (!loaded && loaded.error().code != ErrorCode::cancelled) spdlog::error("{}", to_string(loaded.error()));
  finish_load(slot, loaded, source.stop_requested(), Clock::now() - begin);
  if (!loaded && !source.stop_requested() && options_.on_failure) options_.on_failure(loaded.error());
}

void ModelHost::finish_load(Slot& slot, const Result<void>& loaded, bool cancelled, Clock::duration time) {
  std::lock_guard lock(mutex_);
  ServedModel& served = *slot.hosted.served;
  slot.load_stop.reset();
  slot.ready_at = Clock::now();
  slot.load_time = time;
  slot.failed_at.reset();
  if (!cancelled) {
    if (loaded) return;
    slot.failed_at = slot.ready_at;
    served.set_failed(loaded.error());
    return;
  }
  slot.is_leaving = slot.loaded != nullptr;
  if (stopping_) {
    served.set_failed({ErrorCode::cancelled, "the server is ending"});
  } else if (is_queued(slot)) {
    served.set_queued();
  } else {
    served.set_unloaded();
  }
}

Result<void> ModelHost::load_with_room(Slot& slot, const std::stop_token& stop) {
  for (;;) {
    // What is left of this model from before goes first.
    while (slot.loaded != nullptr) {
      free_unless_held(slot);
      if (slot.loaded != nullptr && !sleep_for(kPoll, stop)) return fail(ErrorCode::cancelled, "loading was cancelled");
    }
    while (options_.max_loaded > 0 && loaded_count() >= options_.max_loaded) {
      if (!make_room(stop)) return fail(ErrorCode::cancelled, "loading was cancelled");
    }
    const bool is_alone = loaded_count() == 0;
    if (!begin_attempt(slot)) return fail(ErrorCode::cancelled, "loading was cancelled");
    Result<void> loaded = try_load(slot, is_alone, stop);
    const bool is_held = slot.loaded != nullptr;  // requests had it already
    if (loaded || is_alone || is_held || loaded.error().code != ErrorCode::out_of_memory) return loaded;
    spdlog::info("{} needs memory that others have: {}", slot.hosted.served->name(), to_string(loaded.error()));
    if (!make_room(stop)) return loaded;
  }
}

/// False where the load was given up already.
bool ModelHost::begin_attempt(Slot& slot) {
  std::lock_guard lock(mutex_);
  if (slot.load_stop->stop_requested()) return false;
  slot.hosted.served->set_loading("resolve");
  return true;
}

Result<void> ModelHost::try_load(Slot& slot, bool may_spill, const std::stop_token& stop) {
  auto model = slot.hosted.make(may_spill);
  auto loaded = model->load(stop);
  if (!loaded) {
    slot.hosted.served->set_reloading("end");  // nobody gets it from now on
    if (!slot.hosted.served->is_in_use()) return loaded;
  }
  std::lock_guard lock(mutex_);
  slot.loaded = std::move(model);
  slot.is_leaving = !loaded;
  return loaded;
}

/// Frees one model; false where there is none, or when `stop` was requested before.
bool ModelHost::make_room(const std::stop_token& stop) {
  Slot* victim = choose_victim();
  if (victim == nullptr) return false;
  do {
    if (!leaves(*victim) && !wait_until_spare(*victim, stop)) return false;
  } while (!let_go(*victim));
  if (!victim->hosted.served->wait_until_released(stop)) return false;
  free_unless_held(*victim);
  return true;
}

bool ModelHost::leaves(const Slot& slot) {
  std::lock_guard lock(mutex_);
  return slot.is_leaving;
}

/// False while a request waits for it, as one may that came after the last look.
bool ModelHost::let_go(Slot& slot) {
  std::lock_guard lock(mutex_);
  if (slot.is_leaving) return true;
  if (!slot.hosted.served->set_unloaded_unless_claimed()) return false;
  spdlog::info("{} makes room", slot.hosted.served->name());
  slot.is_leaving = true;
  return true;
}

/// One that leaves anyway, else one that nobody uses, else any; of those the one that was used least recently.
ModelHost::Slot* ModelHost::choose_victim() {
  std::lock_guard lock(mutex_);
  Slot* best = nullptr;
  const auto rank = [](const Slot& slot) {
    const ServedModel& served = *slot.hosted.served;
    return std::tuple(!slot.is_leaving, served.is_in_use(), served.last_used());
  };
  for (Slot& slot : slots_) {
    if (slot.loaded != nullptr && (best == nullptr || rank(slot) < rank(*best))) best = &slot;
  }
  return best;
}

/// Until the requests that waited for it have it, and it has either nothing to do or had its time.
bool ModelHost::wait_until_spare(const Slot& slot, const std::stop_token& stop) const {
  const ServedModel& served = *slot.hosted.served;
  const auto stay = std::min<Clock::duration>(slot.load_time, kLongestStay);
  while (served.claims() > 0 || (served.is_in_use() && Clock::now() < slot.ready_at + stay)) {
    if (!sleep_for(kPoll, stop)) return false;
  }
  return true;
}

/// Frees a model that leaves when its last request has ended.
void ModelHost::free_unless_held(Slot& slot) {
  std::unique_ptr<LoadableModel> leaving;
  {
    std::lock_guard lock(mutex_);
    if (!slot.is_leaving || slot.hosted.served->is_in_use()) return;
    leaving = std::move(slot.loaded);
    slot.is_leaving = false;
  }
  leaving.reset();  // without the lock: its threads may be telling the host something
  spdlog::info("{} was unloaded", slot.hosted.served->name());
}

void ModelHost::retire_unused() {
  if (options_.keep.count() == 0) return;
  std::lock_guard lock(mutex_);
  for (Slot& slot : slots_) {
    ServedModel& served = *slot.hosted.served;
    if (slot.loaded == nullptr || slot.is_leaving || served.is_in_use()) continue;
    if (Clock::now() - std::max(served.last_used(), slot.ready_at) < options_.keep) continue;
    slot.is_leaving = served.set_unloaded_unless_claimed();
  }
}

uint32_t ModelHost::loaded_count() {
  std::lock_guard lock(mutex_);
  return static_cast<uint32_t>(std::ranges::count_if(slots_, [](const Slot& slot) { return slot.loaded != nullptr; }));
}

}  // namespace hearth::app
