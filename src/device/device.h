#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "device/cache_spec.h"
#include "device/memory_ledger.h"
#include "device/operation.h"
#include "device/step.h"
#include "tensor/number_format.h"

namespace hearth {

// Decoder layers count from 0; the embedding belongs to the first, the last norm and the head to the last one. Only a
// device made of several (device/split) asks for them.

/// Rows of one source tensor inside a matrix.
struct MatrixPart {
  std::string name;  ///< the tensor's name, for errors
  NumberFormat format = NumberFormat::f32;
  uint32_t rows = 0;
};

/// What a matrix is for, where devices lay it out by that.
enum class MatrixRole : uint8_t {
  embedding,  ///< a row for each token of the vocabulary; the head, too, where they are tied
  head,       ///< of its own
  stacked,    ///< its rows are outputs, whichever part they are of: Q, K and V; or a single part
  experts,    ///< the rows of one expert after another, in as many parts as experts or in one; only some are used
  heads,      ///< the rows of one head after another, in as many parts as heads or in one (HeadLinear)
  gate_up,    ///< two parts of equal size, whose rows are used in pairs (GateUp)
};

/// A weight matrix [sum of rows, cols] whose parts, stacked, may differ in format.
struct MatrixSpec {
  MatrixRole role = MatrixRole::stacked;
  std::vector<MatrixPart> parts;
  uint32_t cols = 0;
  std::vector<uint32_t> layers = {0};  ///< that use it: several where embedding and head are one
};

/// Largest step that a program must be able to run.
struct ProgramLimits {
  uint32_t tokens = 0;
  uint32_t logit_rows = 0;
  uint32_t sequences = 0;
};

/// How a program is made.
struct CompileOptions {
  bool prepare = false;  ///< make all that its steps need when it is compiled, rather than when a step first needs it
  /// Rows of matrices are still being written, by other threads: a step waits for each matrix until all its rows are
  /// there. Else it is the caller who sees to that.
  bool weights_arrive = false;
  std::stop_token stop;  ///< ends it with ErrorCode::cancelled
};

struct DeviceInfo {
  std::string kind;         ///< "cpu", "reference"
  std::string name;         ///< the hardware's name
  std::string description;  ///< what was found and chosen, such as the instruction set and the threads
  uint32_t threads = 0;     ///< of the host, used by programs; 0 where that means nothing
  bool is_gpu = false;      ///< takes layers before the processor does
  bool is_absent = false;   ///< not on this machine: only for plans (device/absent)
  double teraflops = 0;     ///< of products of f16 that one which is absent is said to reach; 0 where nobody knows
};

/// Memory in which weights, the KV cache and activations lie.
struct DeviceMemory {
  enum class Kind : uint8_t {
    system,      ///< the host's, in which everything else lives too
    integrated,  ///< the part of the host's that a GPU may use
    own,         ///< a GPU's own
  };
  Kind kind = Kind::system;
  std::string name = {};                      ///< of the hardware that it belongs to
  uint64_t pool = 0;                          ///< devices of one pool draw on the same memory; 0 is the host's
  std::optional<uint64_t> free_bytes;         ///< now; nothing where nobody knows
  uint64_t total_bytes = 0;                   ///< free or not; 0 where nobody knows
  uint64_t largest_cache_bytes = UINT64_MAX;  ///< that one layer's KV cache may take
  uint64_t overused_bytes = 0;                ///< that this process has beyond what the driver grants it by now
};

/// Where the time of one step went.
struct StepProfile {
  double seconds = 0;                     ///< of the whole step, by the host's clock
  std::vector<double> operation_seconds;  ///< of each operation of the recording, in its order
};

/// Buffers of one size that a device keeps for staging and other short use.
struct BufferPoolStatistics {
  uint64_t buffer_bytes = 0;
  uint32_t capacity = 0;   ///< buffers there can be
  uint32_t allocated = 0;  ///< there are, free or in use
  uint32_t in_use = 0;
  uint32_t most_in_use = 0;  ///< at one time, so far
  uint64_t taken = 0;        ///< times that a buffer was taken
};

/// A forward pass ready to run again and again. For one thread.
class Program {
 public:
  virtual ~Program() = default;

  /// Hands over a step within the limits given to compile, so that the caller can work while the device does. After an
  /// error nothing was handed over. The input stays as it is until `wait` has returned, except that a program which
  /// runs ahead needs it only until submit returns. Inputs that break the contract of step.h are a caller's bug and
  /// answered with ErrorCode::internal where they are seen, here or in `wait`.
  virtual Result<void> submit(const StepInput& input) = 0;

  /// Waits for the oldest step that was submitted. A program whose work is done by the calling thread does it here.
  virtual Result<StepOutput> wait() = 0;

  /// Whether one more step may be submitted while another is in flight that wants no row of logits whole. Its token ids
  /// may be StepInput::best_of_row of the step in flight. Steps take effect in the order of their submits.
  virtual bool runs_ahead() const { return false; }

  Result<StepOutput> run(const StepInput& input) {
    if (Result<void> submitted = submit(input); !submitted) return pass_on(submitted);
    return wait();
  }

  /// Does what run does and measures each operation, while no step is in flight. Errors: as run; unsupported where the
  /// device has no clock.
  virtual Result<StepProfile> profile(const StepInput& /*input*/) {
    return fail(ErrorCode::unsupported, "this device does not measure its operations");
  }

  /// For each of `tokens` about how many seconds a step of so many tokens takes, without what depends on its contexts
  /// and rows of logits: from what was measured of its parts, so that the proportions count. Empty where too little was
  /// measured.
  virtual std::vector<double> expected_seconds(std::span<const uint32_t> /*tokens*/) { return {}; }

  /// Of its device, for the metrics; empty where there is no pool. Thread-safe.
  virtual std::vector<BufferPoolStatistics> buffer_pools() const { return {}; }

  /// Measures how its operations run best on this device, and lets later steps run like that, where that is not known.
  /// Not while a step is in flight. Returns soon after `is_interrupted` answers true, and then goes on where it was
  /// when it is called again. Whether something is left to do. Errors: device_lost; others are logged and end it.
  virtual Result<bool> tune(const std::function<bool()>& /*is_interrupted*/) { return false; }

  /// What its devices have allocated, all programs and models together. Thread-safe.
  virtual std::vector<DeviceMemoryUse> memory_use() const { return {}; }
};

/// Where weights and the KV cache live and programs run. Weights are declared first, then written (from any threads),
/// then the cache is made, then programs are compiled; with CompileOptions::weights_arrive while weights are written. A
/// device outlives its programs.
class Device {
 public:
  virtual ~Device() = default;

  virtual const DeviceInfo& info() const = 0;

  /// The memories that it uses, as they are now, and in which of them a decoder layer's weights and cache lie.
  virtual std::vector<DeviceMemory> memories() const = 0;
  virtual uint32_t memory_of(uint32_t /*layer*/) const { return 0; }

  /// Bytes that declare_matrix would reserve. Errors: as declare_matrix.
  virtual Result<uint64_t> declared_bytes(const MatrixSpec& spec) const = 0;

  /// Reserves a matrix. Errors: unsupported (a format or shape the device can't hold), out_of_memory.
  virtual Result<MatrixId> declare_matrix(const MatrixSpec& spec) = 0;

  /// Rows come in multiples of this, except a part's last ones.
  static constexpr uint32_t kRowGranularity = 16;

  /// Copies rows [first_row, ...) of a part, as many as `rows_bytes` holds in the part's own format. Thread-safe for
  /// disjoint rows of declared matrices; not at the same time as declare_matrix.
  virtual Result<void> write_rows(MatrixId matrix, uint32_t part, uint32_t first_row,
                                  std::span<const std::byte> rows_bytes) = 0;

  /// No more rows will come: steps that wait for some fail with `why`, and later ones that would. Thread-safe.
  virtual void give_up_weights(const Error& why) = 0;

  /// `layer` is the decoder layer that uses it.
  virtual Result<VectorId> upload_vector(const std::string& name, std::span<const float> values,
                                         uint32_t layer = 0) = 0;

  /// Bytes that the weights take on the device, and those that one step reads of a matrix when it is used whole.
  virtual uint64_t weight_bytes() const = 0;
  virtual uint64_t matrix_bytes(MatrixId matrix) const = 0;

  /// Bytes of one block of a layer, in the format that the device keeps.
  virtual uint64_t cache_block_bytes(const CacheLayerSpec& layer) const = 0;
  /// In the place of one that there was, which is given back first, even if there is no room for the new one. Not while
  /// a program lives.
  virtual Result<void> create_cache(const CacheSpec& spec) = 0;

  virtual Result<std::unique_ptr<Program>> compile(const Recording& recording, const ProgramLimits& limits,
                                                   const CompileOptions& options) = 0;
  Result<std::unique_ptr<Program>> compile(const Recording& recording, const ProgramLimits& limits) {
    return compile(recording, limits, {});
  }

  /// Bytes that such a program's activations would take, and what else grows with its limits, were `matrices` all that
  /// is declared. Errors: as declare_matrix and compile.
  virtual Result<uint64_t> program_bytes(const Recording& recording, std::span<const MatrixSpec> matrices,
                                         const ProgramLimits& limits) const = 0;

  /// Bytes through which such a program and the host would exchange steps, with so many blocks of each cache group.
  virtual uint64_t staging_bytes(const Recording& /*recording*/, const ProgramLimits& /*limits*/,
                                 std::span<const uint32_t> /*blocks_per_group*/) const {
    return 0;
  }

  /// Sustained read bandwidth of the device's memory with all its threads or units, measured now; 0 where that makes no
  /// sense (reference) or cannot be done (no memory, no clock).
  virtual double measure_bandwidth_gb_per_second() = 0;
};

}  // namespace hearth
