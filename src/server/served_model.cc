#include "server/served_model.h"

#include <algorithm>
#include <utility>

#include "server/unix_time.h"

namespace hearth {
namespace {

using std::chrono::steady_clock;

/// Between two notices of nothing but numbers.
constexpr std::chrono::milliseconds kNoticeDistance{100};

}  // namespace

ServedModel::ServedModel(std::string name, std::vector<std::string> aliases)
    : name_(std::move(name)), aliases_(std::move(aliases)), created_(seconds_since_1970()) {}

bool ServedModel::answers_to(std::string_view name) const {
  return name == name_ || std::ranges::find(aliases_, name) != aliases_.end();
}

/// With the lock held.
void ServedModel::begin_loading(std::string stage, bool is_queued) {
  Loading loading{.meter = {}, .begin = steady_clock::now(), .is_queued = is_queued};
  loading.meter.report({.stage = std::move(stage)}, loading.begin);
  state_ = std::move(loading);
}

/// With the lock held: null unless it is being loaded.
ServedModel::Loading* ServedModel::loading() {
  auto* loading = std::get_if<Loading>(&state_);
  return loading == nullptr || loading->is_queued ? nullptr : loading;
}

void ServedModel::set_queued() {
  {
    std::lock_guard lock(mutex_);
    begin_loading("queue", true);
  }
  notify();
}

void ServedModel::set_loading(std::string stage) {
  {
    std::lock_guard lock(mutex_);
    begin_loading(std::move(stage), false);
  }
  notify();
}

void ServedModel::set_reloading(std::string stage) {
  {
    std::lock_guard lock(mutex_);
    if (loading() == nullptr && !std::holds_alternative<ModelLease>(state_)) return;
    begin_loading(std::move(stage), false);
  }
  notify();
}

void ServedModel::report(const Progress& progress) {
  {
    std::lock_guard lock(mutex_);
    Loading* current = loading();
    if (current == nullptr) return;
    const auto now = steady_clock::now();
    const bool same_stage = current->meter.latest().stage == progress.stage;
    current->meter.report(progress, now);
    if (same_stage && now - last_notified_ < kNoticeDistance) return;
    last_notified_ = now;
  }
  notify();
}

/// With the lock held: null unless requests are taken.
const ModelLease* ServedModel::lease() const {
  if (const auto* loading = std::get_if<Loading>(&state_)) return loading->answering ? &loading->answering : nullptr;
  return std::get_if<ModelLease>(&state_);
}

void ServedModel::set_answering(ReadyModel model) {
  {
    std::lock_guard lock(mutex_);
    Loading* current = loading();
    if (current == nullptr) return;
    current->answering = make_lease(std::move(model));
  }
  notify();
}

void ServedModel::set_ready(ReadyModel model) {
  {
    std::lock_guard lock(mutex_);
    Loading* current = loading();
    if (current == nullptr) return;
    ModelLease answering = std::move(current->answering);
    state_ = answering ? std::move(answering) : make_lease(std::move(model));
    last_used_ = steady_clock::now();
  }
  notify();
}

ModelLease ServedModel::make_lease(ReadyModel model) {
  {
    std::lock_guard lock(release_->mutex);
    ++release_->leases;
  }
  return {new ReadyModel(std::move(model)), [release = release_](const ReadyModel* last) {
            delete last;
            std::lock_guard lock(release->mutex);
            --release->leases;
            release->changed.notify_all();
          }};
}

void ServedModel::set_failed(Error error) {
  {
    std::lock_guard lock(mutex_);
    if (!std::holds_alternative<Loading>(state_)) return;
    state_ = std::move(error);
  }
  notify();
}

void ServedModel::set_unloaded() {
  {
    std::lock_guard lock(mutex_);
    state_ = NotLoaded{};
  }
  notify();
}

bool ServedModel::set_unloaded_unless_claimed() {
  {
    std::lock_guard lock(mutex_);
    if (claims_ > 0) return false;
    state_ = NotLoaded{};
  }
  notify();
  return true;
}

bool ServedModel::wait_until_released(const std::stop_token& stop) {
  std::unique_lock lock(release_->mutex);
  return release_->changed.wait(lock, stop, [&] { return release_->leases == 0; });
}

bool ServedModel::is_held() const {
  std::lock_guard lock(release_->mutex);
  return release_->leases > 0;
}

ServedModel::State ServedModel::state() const {
  std::lock_guard lock(mutex_);
  if (const auto* loading = std::get_if<Loading>(&state_)) {
    const auto now = steady_clock::now();
    return LoadStatus{.progress = loading->meter.latest(),
                      .bytes_per_second = loading->meter.bytes_per_second(now),
                      .seconds_left = loading->meter.seconds_left(now),
                      .elapsed_seconds = std::chrono::duration<double>(now - loading->begin).count()};
  }
  if (const auto* lease = std::get_if<ModelLease>(&state_)) return *lease;
  if (const auto* error = std::get_if<Error>(&state_)) return *error;
  return NotLoaded{.is_leaving = is_held()};
}

ModelLease ServedModel::ready() const {
  std::lock_guard lock(mutex_);
  const ModelLease* given = lease();
  return given != nullptr ? *given : nullptr;
}

ModelLease ServedModel::lease_for_request() {
  std::lock_guard lock(mutex_);
  const ModelLease* given = lease();
  if (given == nullptr) return nullptr;
  last_used_ = steady_clock::now();
  return *given;
}

steady_clock::time_point ServedModel::last_used() const {
  std::lock_guard lock(mutex_);
  return last_used_;
}

bool ServedModel::is_in_use() const {
  std::lock_guard lock(mutex_);
  const ModelLease* given = lease();
  return given != nullptr ? given->use_count() > 1 : is_held();
}

std::optional<ServedModel::Claim> ServedModel::claim(uint64_t bytes) {
  {
    std::lock_guard lock(mutex_);
    if (claims_ == kMaxClaims || claimed_bytes_ + bytes > kMaxClaimedBytes) return std::nullopt;
    ++claims_;
    claimed_bytes_ += bytes;
  }
  return Claim(*this, bytes);
}

ServedModel::Claim::~Claim() {
  if (model_ == nullptr) return;
  std::lock_guard lock(model_->mutex_);
  --model_->claims_;
  model_->claimed_bytes_ -= bytes_;
}

uint32_t ServedModel::claims() const {
  std::lock_guard lock(mutex_);
  return claims_;
}

ServedModel::Observation ServedModel::observe(std::function<void()> on_change) {
  std::lock_guard lock(observers_mutex_);
  observers_.emplace(next_observer_, std::move(on_change));
  return {*this, next_observer_++};
}

ServedModel::Observation::~Observation() {
  if (model_ == nullptr) return;
  std::lock_guard lock(model_->observers_mutex_);
  model_->observers_.erase(number_);
}

void ServedModel::notify() {
  std::lock_guard lock(observers_mutex_);
  for (const auto& [number, on_change] : observers_) on_change();
}

}  // namespace hearth
