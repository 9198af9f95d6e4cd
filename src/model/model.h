#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <vector>

#include "base/progress.h"
#include "base/result.h"
#include "device/device.h"
#include "formats/checkpoint.h"
#include "model/cache_layers.h"
#include "model/decoder_config.h"
#include "model/weight_reader.h"

namespace hearth {

/// One of the memories in which the cache lies, and the part of it that lies there.
struct CacheMemory {
  DeviceMemory memory;                     ///< as it is after the weights
  std::vector<uint64_t> bytes_per_block;   ///< of one block of each group, in the layers that lie here
  std::vector<uint64_t> most_layer_bytes;  ///< of one block of each group in the largest of those layers
};

struct LoadOptions {
  uint32_t context_tokens = 0;  ///< the longest sequence that there will be; 0 is what the model was made for
  uint32_t max_layers = 0;      ///< load only the first layers, for smoke tests; 0 loads all
  ReadOptions reading = {.stall_limit = std::chrono::seconds(60)};
};

/// A decoder on a device: its weights, and the forward pass as a recording. Owns neither checkpoint nor device; the
/// device must outlive it. Immutable after load, but for create_cache, which is called once before compile.
class Model {
 public:
  /// Reads the configuration, then every tensor. Reports the stages "plan" and "read" to `progress`.
  /// Errors: unsupported (family, format), corrupt, io, out_of_memory, cancelled, timed_out (LoadOptions).
  static Result<std::unique_ptr<Model>> load(const Checkpoint& checkpoint, Device& device, const LoadOptions& options,
                                             ProgressSink& progress, const std::stop_token& stop);

  const DecoderConfig& config() const { return config_; }
  Device& device() const { return *device_; }
  const Recording& recording() const { return recording_; }

  /// Group 0 first; the order of block tables in StepInput.
  const std::vector<CacheGroup>& cache_groups() const { return cache_.groups; }
  Result<void> create_cache(const std::vector<uint32_t>& blocks_per_group);

  /// The device's memories, as they are now.
  std::vector<CacheMemory> cache_memories() const;

  Result<std::unique_ptr<Program>> compile(const ProgramLimits& limits) const;
  /// Bytes of activations that compile would take.
  Result<uint64_t> program_bytes(const ProgramLimits& limits) const;

  /// Bytes of weights that a step of one token reads.
  uint64_t bytes_read_per_step() const { return bytes_read_per_step_; }

 private:
  Model() = default;

  DecoderConfig config_;
  Device* device_ = nullptr;
  Recording recording_;
  std::vector<MatrixSpec> matrices_;  ///< as declared
  CacheLayers cache_;
  uint64_t bytes_read_per_step_ = 0;
};

}  // namespace hearth
