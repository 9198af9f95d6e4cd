#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

#include "base/progress.h"
#include "base/result.h"
#include "device/device.h"
#include "formats/checkpoint.h"
#include "model/cache_layers.h"
#include "model/decoder_config.h"
#include "model/layer_cut.h"
#include "model/weight_reader.h"
#include "model/weight_use.h"

namespace hearth {

/// One of the memories in which the cache lies, and the part of it that lies there.
struct CacheMemory {
  DeviceMemory memory;                     ///< as it is after the weights
  std::vector<uint64_t> bytes_per_block;   ///< of one block of each group, in the layers that lie here
  std::vector<uint64_t> most_layer_bytes;  ///< of one block of each group in the largest of those layers
};

struct LoadOptions {
  uint32_t context_tokens = 0;  ///< the longest sequence that there will be; 0 is what the model was made for
  LayerCut cut = {};            ///< loads less than all
  bool is_for_timing = false;   ///< nobody will read its answers, so nothing has to be said of them
  ReadOptions reading = {.stall_limit = std::chrono::seconds(60)};
};

/// A decoder on a device: its weights, and the forward pass as a recording. Owns neither checkpoint nor device; the
/// device must outlive it. Immutable after load, but for create_cache, which is called once before compile.
class Model {
 public:
  ~Model();

  /// declare, then read.
  static Result<std::unique_ptr<Model>> load(const Checkpoint& checkpoint, Device& device, const LoadOptions& options,
                                             ProgressSink& progress, const std::stop_token& stop);

  /// A model whose matrices lie on the device without their rows, which can be compiled while these are read. Reports
  /// the stage "plan". Errors: unsupported (family, format), corrupt, io, out_of_memory, cancelled, timed_out.
  static Result<std::unique_ptr<Model>> declare(const Checkpoint& checkpoint, Device& device,
                                                const LoadOptions& options, ProgressSink& progress,
                                                const std::stop_token& stop);

  /// Reads the rows of all matrices, once, from the checkpoint that it was declared from; steps that were compiled with
  /// weights_arrive may run meanwhile on other threads, and end with its error. Reports the stage "read". Errors:
  /// corrupt, io, cancelled, timed_out (LoadOptions), and the device's.
  Result<void> read(const Checkpoint& checkpoint, ProgressSink& progress, const std::stop_token& stop);

  /// Random rows in their place, where only the time of steps is of interest. Errors: the device's.
  Result<void> make_up_rows();

  const DecoderConfig& config() const { return config_; }
  Device& device() const { return *device_; }
  const Recording& recording() const { return recording_; }

  /// Group 0 first; the order of block tables in StepInput.
  const std::vector<CacheGroup>& cache_groups() const { return cache_.groups; }
  Result<void> create_cache(const std::vector<uint32_t>& blocks_per_group);

  /// The device's memories, as they are now.
  std::vector<CacheMemory> cache_memories() const;

  /// What the weights take of each of them.
  const WeightUses& weight_uses() const { return weight_uses_; }

  Result<std::unique_ptr<Program>> compile(const ProgramLimits& limits, const CompileOptions& options = {}) const;
  /// Bytes of activations that compile would take.
  Result<uint64_t> program_bytes(const ProgramLimits& limits) const;
  /// Bytes through which host and device would exchange steps, with so much cache.
  uint64_t staging_bytes(const ProgramLimits& limits, std::span<const uint32_t> blocks_per_group) const;

  /// Bytes of weights that a step of one token reads.
  uint64_t bytes_read_per_step() const { return bytes_read_per_step_; }
  /// Products of a weight and a number that a token takes, without attention.
  uint64_t products_per_token() const { return products_per_token_; }

 private:
  struct Unread;

  Model();

  DecoderConfig config_;
  Device* device_ = nullptr;
  Recording recording_;
  std::vector<MatrixSpec> matrices_;  ///< as declared
  WeightUses weight_uses_;
  CacheLayers cache_;
  uint64_t bytes_read_per_step_ = 0;
  uint64_t products_per_token_ = 0;
  std::unique_ptr<Unread> unread_;  ///< where rows come from, until they are read
};

}  // namespace hearth
