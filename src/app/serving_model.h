#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "app/load_text.h"
#include "app/model_host.h"
#include "app/open_model.h"
#include "engine/engine.h"
#include "server/served_model.h"

namespace hearth::app {

/// "45 MiB of KV cache (64 MiB were asked for; ...)": what the log says of the cache. `planned` are the options of the
/// engine that runs, with its context and cache; `asked_bytes` of 0 left the choice to it.
std::string describe_cache(uint64_t asked_bytes, const EngineOptions& planned, std::span<const CacheGroup> groups);

/// Everything behind a served model: device, weights, text and engine. Loads them and tells the server; when the device
/// is lost, opens it again and loads the weights anew, while the engine, the text and the server stay.
class ServingModel final : public LoadableModel {
 public:
  struct Options {
    std::filesystem::path path;
    std::filesystem::path chat_template = {};  ///< a file to use instead of the model's own template; may be empty
    LoadOptions load;                          ///< but for the context, which is the engine's
    EngineOptions engine;
    std::function<Result<std::unique_ptr<Device>>(const Checkpoint&)> open_device;
    /// Called on the engine's thread when a lost device could not be replaced; the server has been told.
    std::function<void(const Error&)> on_failure = {};
    /// Before each attempt at opening a lost device: a driver needs a moment to reset one.
    std::vector<std::chrono::milliseconds> rebuild_delays = {std::chrono::milliseconds(0), std::chrono::seconds(2),
                                                             std::chrono::seconds(10)};
  };

  ServingModel(Options options, ServedModel& served) : options_(std::move(options)), served_(served) {}

  /// Rows and text are read side by side. As soon as the text is there requests are taken, whose steps wait for the
  /// rows that they need.
  Result<void> load(const std::stop_token& stop) override;

 private:
  Result<std::shared_ptr<const Checkpoint>> open(const std::stop_token& stop) const;
  Result<void> declare_weights(const Checkpoint& checkpoint, const std::stop_token& stop);
  Result<void> start(std::future<Result<ModelText>>& text, const std::stop_token& stop);
  Result<RebuiltProgram> rebuild(const std::vector<uint32_t>& blocks_per_group, const ProgramLimits& limits,
                                 const std::stop_token& stop);
  Result<RebuiltProgram> try_rebuild(const std::vector<uint32_t>& blocks_per_group, const ProgramLimits& limits,
                                     const std::stop_token& stop);
  ReadyModel ready_model() const;
  void log_ready() const;
  void set_ready();

  const Options options_;
  ServedModel& served_;
  // In the order in which they must be destroyed backwards. After load, weights belong to the engine's thread.
  OpenModel weights_;
  ModelText text_;
  uint32_t vocabulary_ = 0;
  enum class Phase : uint8_t { loading, lost, loaded };
  std::atomic<Phase> phase_ = Phase::loading;  ///< lost: the device was, before all rows were there
  std::unique_ptr<Engine> engine_;
};

}  // namespace hearth::app
