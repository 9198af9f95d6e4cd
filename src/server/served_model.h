#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/progress.h"
#include "base/progress_meter.h"
#include "base/result.h"
#include "engine/engine.h"
#include "engine/request.h"

namespace hearth {

class ChatTemplate;
class Tokenizer;

/// What a ready model is served with. Nothing is owned: all of it stays until the model's last lease is gone.
struct ReadyModel {
  Engine* engine = nullptr;
  const Tokenizer* tokenizer = nullptr;         ///< null: prompts are lists of token ids, results have no text
  const ChatTemplate* chat_template = nullptr;  ///< null: /v1/chat/completions is refused
  const Error* chat_template_error = nullptr;   ///< why the model's template cannot be used; null: a base model
  uint32_t vocabulary_size = 0;                 ///< rows of logits: ids in requests must be below; 0 does not check
  SamplingParams default_sampling;              ///< where a request says nothing; from generation_config.json
};

/// A ready model that stays as long as this is held.
using ModelLease = std::shared_ptr<const ReadyModel>;

/// How far a load has come.
struct LoadStatus {
  Progress progress;
  double bytes_per_second = 0;         ///< of late; 0 in a stage that is not counted in bytes
  std::optional<double> seconds_left;  ///< of this stage
  double elapsed_seconds = 0;          ///< since the load began
};

/// Not loaded; or no longer, but for the requests that still have it.
struct NotLoaded {
  bool is_leaving = false;
};

/// A model as clients see it: its names, and whether it is there. From not loaded to loading, then ready or failed;
/// from ready back to loading when its device is lost, or to not loaded. The server listens from the start and asks for
/// the state on every request; whoever loads models reports here. Safe from any thread.
class ServedModel final : public ProgressSink {
 public:
  /// `name` is what clients call the model; `aliases` are further names for it.
  explicit ServedModel(std::string name, std::vector<std::string> aliases = {});

  const std::string& name() const { return name_; }
  const std::vector<std::string>& aliases() const { return aliases_; }
  bool answers_to(std::string_view name) const;

  /// Seconds since 1970 when this object was made: `created` in /v1/models.
  int64_t created() const { return created_; }

  // For whoever loads it.

  /// It is to be loaded when its turn comes: requests wait from now on.
  void set_queued();
  /// Loading begins: until set_ready, set_failed or set_unloaded, requests wait.
  void set_loading(std::string stage);
  /// A ready model is loaded anew. What was given to set_ready must stay, as requests under way still use it. Ignored
  /// unless it is ready or loading.
  void set_reloading(std::string stage);
  /// Ignored unless it is loading; set_failed also ends a queue.
  void report(const Progress& progress) override;
  /// Requests are taken from now on, while loading goes on: they wait for what they need of the weights, and end if
  /// loading fails. Ignored unless it is loading.
  void set_answering(ReadyModel model);
  /// What was given to set_answering, if it was called, stays what requests get.
  void set_ready(ReadyModel model);
  void set_failed(Error error);
  /// Nobody gets a ready model from now on. What was given to set_ready must stay until wait_until_released.
  void set_unloaded();
  /// The same unless a request waits for it, which will take it while it is ready; false then.
  bool set_unloaded_unless_claimed();
  /// Until nobody holds what set_unloaded took away; false when `stop` was requested before.
  bool wait_until_released(const std::stop_token& stop);

  // For requests.

  using State = std::variant<NotLoaded, LoadStatus, ModelLease, Error>;
  State state() const;

  /// The model, or null unless requests are taken. A request takes it with `for_request`, which counts as a use.
  ModelLease ready() const;
  ModelLease lease_for_request();

  /// When a request last took the model.
  std::chrono::steady_clock::time_point last_used() const;
  /// Whether requests have it now.
  bool is_in_use() const;

  /// A request that waits for the model, which is then wanted.
  class Claim {
   public:
    Claim(Claim&& other) noexcept : model_(std::exchange(other.model_, nullptr)), bytes_(other.bytes_) {}
    Claim& operator=(Claim&&) = delete;
    ~Claim();

   private:
    friend ServedModel;
    Claim(ServedModel& model, uint64_t bytes) : model_(&model), bytes_(bytes) {}
    ServedModel* model_;
    uint64_t bytes_;
  };
  /// What may wait at once.
  static constexpr uint32_t kMaxClaims = 512;
  static constexpr uint64_t kMaxClaimedBytes = 64 << 20;
  /// `bytes` is what the request keeps in memory meanwhile. Nothing when too many wait already. To be made before the
  /// model is asked for: between that and the claim it could come and go.
  std::optional<Claim> claim(uint64_t bytes);
  uint32_t claims() const;

  /// Calls `on_change` when the state has changed, some ten times a second at most while only numbers change, until
  /// the observation is gone; never after its destructor has returned. The callback must return quickly and must not
  /// call this object.
  class Observation {
   public:
    Observation(Observation&& other) noexcept : model_(std::exchange(other.model_, nullptr)), number_(other.number_) {}
    Observation& operator=(Observation&&) = delete;
    ~Observation();

   private:
    friend ServedModel;
    Observation(ServedModel& model, uint64_t number) : model_(&model), number_(number) {}
    ServedModel* model_;
    uint64_t number_;
  };
  Observation observe(std::function<void()> on_change);

 private:
  struct Loading {
    ProgressMeter meter;
    std::chrono::steady_clock::time_point begin;
    bool is_queued = false;  ///< nothing is known of it but that
    ModelLease answering;    ///< null unless requests are taken already
  };
  /// Says when the last lease is gone; held by the leases, which may outlive this object.
  struct Release {
    std::mutex mutex;
    std::condition_variable_any changed;
    uint32_t leases = 0;  ///< that were made by set_ready, each with all its copies
  };

  void begin_loading(std::string stage, bool is_queued);
  Loading* loading();
  const ModelLease* lease() const;
  ModelLease make_lease(ReadyModel model);
  bool is_held() const;
  void notify();

  const std::string name_;
  const std::vector<std::string> aliases_;
  const int64_t created_;
  const std::shared_ptr<Release> release_ = std::make_shared<Release>();

  mutable std::mutex mutex_;  // guards what follows
  std::variant<NotLoaded, Loading, ModelLease, Error> state_;
  std::chrono::steady_clock::time_point last_used_{};
  std::chrono::steady_clock::time_point last_notified_{};
  uint32_t claims_ = 0;
  uint64_t claimed_bytes_ = 0;

  std::mutex observers_mutex_;  // guards what follows
  std::map<uint64_t, std::function<void()>> observers_;
  uint64_t next_observer_ = 0;
};

}  // namespace hearth
