#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/metrics.h"
#include "engine/request.h"
#include "model/model.h"

namespace hearth {

class Tokenizer;

struct EngineOptions {
  uint32_t context_length = 0;        ///< 0 is the model's own, as far as it fits cache_bytes
  uint32_t max_sequences = 64;        ///< running at once
  uint32_t max_waiting = 256;         ///< beyond, submit answers overloaded
  uint32_t max_batched_tokens = 512;  ///< token budget of a step
  bool larger_steps = false;          ///< a budget of 2048 instead where all devices have much free memory of their own
  /// While answers are being written, a step takes only so many tokens of prompts that the next tokens of those answers
  /// come within this time, and the most efficient size within it (engine/step_size.h). 0 sets no limit.
  double inter_token_target_ms = 150;
  uint64_t cache_bytes = 0;  ///< of the KV cache; 0 chooses by the memory that is free
  uint64_t leave_bytes = 0;  ///< of GPU memory, to other models, up to half of what a chosen cache would take
  std::optional<uint64_t> reserve_bytes;  ///< of each memory, that stay free for other programs (usable_bytes)
  bool prefix_cache = true;
  bool tune_first = false;  ///< before it starts, rather than when it has nothing to do: for whoever measures it
};

/// A program, and the model that it is of.
struct RebuiltProgram {
  Model* model = nullptr;
  std::unique_ptr<Program> program;
};

/// Makes an engine's program anew after its device was lost: opens the device again, loads the weights, makes a cache
/// of `blocks_per_group` and compiles for `limits`. Called on the engine's thread when the old program is gone; gives
/// up when `stop` is requested.
using RebuildProgram = std::function<Result<RebuiltProgram>(const std::vector<uint32_t>& blocks_per_group,
                                                            const ProgramLimits& limits, const std::stop_token& stop)>;

/// Guesses at the tokens behind `tokens`, at most so many, in their order. The next step computes them beside the
/// others, and takes them as far as they are what the sampler chooses: so they change how soon tokens come, not which.
/// Called on the engine's thread for each answer before each step.
using DraftTokens = std::function<std::vector<int32_t>(std::span<const int32_t> tokens, uint32_t most)>;

/// Handle of a submitted request; cancels it when asked.
using RequestHandle = uint64_t;

/// Serves requests on one model: schedule, run, postprocess, on a thread of its own. All methods are thread-safe.
class Engine {
 public:
  using EventCallback = std::function<void(const RequestEvent&)>;

  /// Plans and creates the KV cache, compiles the programs, starts the thread. `tokenizer` may be null: then text stays
  /// empty and stop strings are refused. The tokenizer must outlive the engine, and the model the program that it
  /// compiled.
  ///
  /// When the device is lost, the engine goes on with what `rebuild` gives; requests on their way are computed again
  /// from their tokens, but fail if that happens to them a second time, and those that come meanwhile wait. If it gives
  /// an error, or there is no `rebuild`, all fail. Without `draft` nothing is guessed. `compiling` is how programs of
  /// the same weights are made. Errors: out_of_memory, cancelled, the device's.
  ///
  /// When other programs take memory that the cache lies in, or the driver turns out to have less than it said, the
  /// cache becomes smaller, and if need be the context shorter, but not than what the options ask for; all that runs is
  /// computed again in it. When there is room again, it grows to what it was.
  static Result<std::unique_ptr<Engine>> start(Model& model, const Tokenizer* tokenizer, const EngineOptions& options,
                                               RebuildProgram rebuild = {}, DraftTokens draft = {},
                                               const CompileOptions& compiling = {.prepare = true});

  /// Finishes nothing: running requests end as cancelled.
  virtual ~Engine() = default;

  /// Queues a request. `on_event` is called on the engine's thread, perhaps before submit returns; it must not block or
  /// throw, and may call submit, cancel and metrics. After the event with a finish reason it is not called again.
  /// Errors: invalid_argument (prompt empty or not below the context, with both numbers; ids outside the vocabulary;
  /// stop strings without a tokenizer), overloaded (too many waiting, or draining).
  virtual Result<RequestHandle> submit(Request request, EventCallback on_event) = 0;

  /// The request ends with FinishReason::cancelled soon; unknown and finished handles are ignored.
  virtual void cancel(RequestHandle handle) = 0;

  /// Refuses new requests (overloaded) from now on; true when running and waiting ones have ended, false after
  /// `timeout`.
  virtual bool drain(std::chrono::milliseconds timeout) = 0;

  virtual uint32_t context_length() const = 0;       ///< at present
  virtual const EngineOptions& options() const = 0;  ///< as planned: nothing is 0
  virtual EngineMetrics metrics() const = 0;
};

}  // namespace hearth
