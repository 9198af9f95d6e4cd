#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "server/served_models.h"

namespace hearth::app {

/// Everything behind a served model. Loads it once and tells the ServedModel that it was made for; its destructor frees
/// it.
class LoadableModel {
 public:
  virtual ~LoadableModel() = default;
  /// Returns when the model is ready, and soon after `stop` was requested. Requests may have the model before, and then
  /// also after an error.
  virtual Result<void> load(const std::stop_token& stop) = 0;
};

/// A model that may be loaded. `make` gives it anew for each load; where `may_spill` is false, only if it fits on GPUs
/// whole (out_of_memory).
struct HostedModel {
  std::shared_ptr<ServedModel> served;
  std::function<std::unique_ptr<LoadableModel>(bool may_spill)> make;
};

/// Which models are loaded: one load at a time, in the order in which models are asked for. Where memory does not
/// suffice, the model that was used least recently goes first, and is gone before the new one comes: its requests end,
/// new ones for it wait in its queue. A model in use stays for as long as its load took, so that no more time goes into
/// loading than into answers. Safe from any thread.
class ModelHost final : public ModelLoader {
 public:
  struct Options {
    uint32_t max_loaded = 0;            ///< models at once; 0 leaves it to the memory
    std::chrono::milliseconds keep{0};  ///< of a model that nobody uses; 0 keeps it until the memory is needed
    std::function<std::vector<HostedModel>()> find_new = {};  ///< models that have come, for look_for_models
    /// A load failed, or a model was lost for good. Called on the host's or the model's thread.
    std::function<void(const Error&)> on_failure = {};
  };

  explicit ModelHost(Options options) : options_(std::move(options)) {}
  /// Frees all models.
  ~ModelHost() override;

  /// Before start and in find_new. The models' list for the server.
  void add(HostedModel model);
  const std::shared_ptr<ServedModels>& models() const { return models_; }

  void start();
  /// Gives up what is being loaded, soon; nothing more is loaded. Ready models stay.
  void stop();

  void want(ServedModel& model) override;
  void load(ServedModel& model) override;
  void unload(ServedModel& model) override;
  void look_for_models() override;

  /// For a model that says so itself: its device was lost for good.
  void lost(ServedModel& model, const Error& error);

 private:
  using Clock = std::chrono::steady_clock;

  struct Slot {
    HostedModel hosted;
    std::unique_ptr<LoadableModel> loaded;  ///< changed by the host's thread alone
    bool is_leaving = false;                ///< to be freed when its requests have ended
    std::optional<Clock::time_point> failed_at;
    Clock::time_point ready_at;
    Clock::duration load_time{};
    std::optional<std::stop_source> load_stop;  ///< while it is being loaded
  };

  Slot* find(const ServedModel& model);
  bool is_queued(const Slot& slot) const { return std::ranges::find(wanted_, &slot) != wanted_.end(); }
  std::vector<Slot*> all_slots();
  bool begin_attempt(Slot& slot);
  void enqueue(ServedModel& model, bool after_failure);
  void run(const std::stop_token& stop);
  void load_next(Slot& slot, const std::stop_token& stop);
  void finish_load(Slot& slot, const Result<void>& loaded, bool cancelled, Clock::duration time);
  Result<void> load_with_room(Slot& slot, const std::stop_token& stop);
  Result<void> try_load(Slot& slot, bool may_spill, const std::stop_token& stop);
  bool make_room(const std::stop_token& stop);
  Slot* choose_victim();
  bool leaves(const Slot& slot);
  bool let_go(Slot& slot);
  bool wait_until_spare(const Slot& slot, const std::stop_token& stop) const;
  void free_unless_held(Slot& slot);
  void retire_unused();
  uint32_t loaded_count();

  const Options options_;
  std::shared_ptr<ServedModels> models_ =
      std::make_shared<ServedModels>(std::vector<std::shared_ptr<ServedModel>>{}, this);

  std::mutex finding_;  // held while new models are looked for
  std::optional<Clock::time_point> looked_at_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable_any changed_;
  std::deque<Slot> slots_;  ///< never shrinks
  std::deque<Slot*> wanted_;
  bool stopping_ = false;

  std::jthread thread_;
};

}  // namespace hearth::app
