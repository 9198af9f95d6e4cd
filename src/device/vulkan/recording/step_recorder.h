#pragma once

#include <initializer_list>
#include <optional>
#include <vector>

#include "device/device.h"
#include "device/vulkan/memory/activations.h"
#include "device/vulkan/memory/cache.h"
#include "device/vulkan/memory/step_buffer.h"
#include "device/vulkan/memory/weights.h"
#include "device/vulkan/paths/attention_plan.h"
#include "device/vulkan/paths/fragment_path.h"
#include "device/vulkan/paths/matmul_tunings.h"
#include "device/vulkan/paths/matrix_path.h"
#include "device/vulkan/paths/tuning.h"
#include "device/vulkan/paths/workgroup_matrix_path.h"
#include "device/vulkan/recording/command_recorder.h"
#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {

/// A shape of steps that share command buffers; 0 logit rows leave out everything behind SelectRows.
struct Bucket {
  uint32_t tokens = 0;
  uint32_t logit_rows = 0;
  uint32_t whole_rows = 0;        ///< of the logit rows, the first so many, which the host gets whole
  bool candidates = false;        ///< whether it gets the best of others
  uint32_t pieces = 1;            ///< submits that the work is cut into
  uint32_t attention_slices = 1;  ///< submits that one layer's attention is cut into
  Mix mix = Mix::single_tokens;

  auto operator<=>(const Bucket&) const = default;
};

/// One rope's tables (shaders/layout.h).
struct RopeTables {
  VkDeviceAddress table = 0;
  uint32_t pairs = 0;
};

/// Scratch memory of attention split over the context and of matmuls whose rows workgroups share, and counters of
/// workgroups that ended: zero between launches.
struct PartsScratch {
  VkDeviceAddress partials = 0, counters = 0;
  uint64_t partial_bytes = 0, counter_bytes = 0;

  Access counter_access() const { return {counters, counters + counter_bytes}; }
};

/// Where rows of logits become candidates: memory of the device, and where the host reads them.
struct CandidatePlaces {
  VkDeviceAddress partials = 0, counters = 0, best = 0;
  uint64_t partial_bytes = 0, counter_bytes = 0, best_bytes = 0;
  VkDeviceAddress results = 0;
  uint64_t result_bytes = 0;
};

/// Everything that a recording refers to. Owned by the program.
struct RecorderContext {
  const Gpu& gpu;
  const Tuning& tuning;  ///< of all but matmuls
  const MatmulTunings& matmuls;
  const AttentionPlan& attention;
  const Recording& recording;
  const Weights& weights;
  const Cache& cache;
  const Activations& activations;
  const StepBuffer& step;
  const std::vector<RopeTables>& ropes;
  const PartsScratch& scratch;
  const CandidatePlaces& candidates;
};

/// Workgroups that share a row when its best candidates are looked for.
uint32_t candidate_stretches(const Tuning& tuning, uint32_t vocabulary);

/// The number by which shaders know an activation.
uint32_t function_constant(Activation activation);

/// Records the operations of one bucket. One file for matmuls, one for attention, one for candidates, one for the rest.
class StepRecorder {
 public:
  /// `alone`: operations are recorded without those that make what they read; record_input_of takes their place.
  StepRecorder(const RecorderContext& context, const Bucket& bucket, CommandRecorder& commands, bool alone = false)
      : c_(context), bucket_(bucket), commands_(commands), alone_(alone) {}

  /// Puts the recording's inputs, whose floats are in place, into the other forms that operations read.
  Result<void> record_inputs();

  /// Puts the input of matmul `operation`, whose floats are in place, into the forms that it finds in a step.
  Result<void> record_input_of(size_t operation);

  /// Records the operations [first, end) of the recording.
  Result<void> record(size_t first, size_t end);

  /// step_recorder_candidates.cc: the best candidates of the rows that are not wanted whole, to where the host reads
  /// them.
  Result<void> record_candidates();

 private:
  Result<void> emit(const Embed& op);
  Result<void> emit(const AddNorm& op);
  Result<void> emit(const Activate& op);
  Result<void> emit(const SelectRows& op);
  /// With `order` also to halves, by the largest values that gate and up have left.
  Result<void> quantize(TensorId tensor, const std::optional<FragmentLayout>& order = {});
  /// A matmul's input as float32 rows of whole blocks, which pad_rows makes where the tensor's are not.
  struct WholeBlocks {
    VkDeviceAddress floats = 0;
    uint32_t width = 0;
    Access access;
  };
  WholeBlocks whole_blocks(TensorId tensor) const;
  Result<void> pad_rows(TensorId tensor);
  /// To where the next matmul on matrices of f16 reads it.
  Result<void> split(TensorId tensor);
  Result<void> halve_bytes(TensorId tensor);
  Result<void> make_fragments(TensorId tensor, const Tuning& tuning);

  // step_recorder_fragments.cc
  /// What the operation at hand makes beside its result: the same in the order of lanes for the matmul that reads it
  /// next. Nothing where that reads something else, or the operation cannot make it.
  std::optional<FragmentLayout> fragments_beside() const { return alone_ ? std::nullopt : fragments_beside(now_); }
  std::optional<FragmentLayout> fragments_beside(size_t operation) const;
  /// Whether an earlier operation has put the input of matmul `operation` into the order of lanes.
  bool has_fragments(size_t operation) const;
  std::optional<FragmentLayout> fragments_of_product(size_t operation) const;
  std::optional<size_t> maker_of(size_t operation, TensorId tensor) const;
  bool can_order(const Operation& operation, size_t index) const;
  /// The power of two that keeps a norm's results within f16's range, whatever it reads.
  float power_of_norm(const AddNorm& op) const;
  static void add_order(const FragmentLayout& layout, std::vector<uint32_t>& constants);

  // step_recorder_experts.cc
  Result<void> emit(const ChooseExperts& op);
  Result<void> emit(const ExpertGateUp& op);
  Result<void> emit(const ExpertLinear& op);
  Result<void> emit(const CombineExperts& op);
  Result<const WeightRun*> experts_run(MatrixId id) const;

  // step_recorder_recurrence.cc
  Result<void> emit(const CausalConvolution& op);
  Result<void> emit(const LinearAttention& op);
  Result<void> emit(const GatedNorm& op);
  Result<void> emit(const Gate& op);
  uint32_t state_values(CacheLayerId layer) const;

  // step_recorder_latents.cc
  Result<void> emit(const StoreLatents& op);
  Result<void> emit(const HeadLinear& op);
  Result<void> multiply_heads(const HeadLinear& op, const WeightRun& run, bool first);
  Result<void> emit(const LatentAttention& op);

  // step_recorder_attention.cc
  Result<void> emit(const RopeAndStore& op);
  Result<void> emit(const Attention& op);
  Result<void> attend_few(const Attention& op, const RopeAndStore* rope, uint32_t singles);
  Result<void> attend_tiles(const Attention& op, AttentionPath path, bool first);
  shared::AttentionArguments attention_arguments(const Attention& op) const;
  std::vector<uint32_t> attention_constants(const Attention& op, std::initializer_list<uint32_t> more) const;
  /// Whether attention itself writes its result as bytes: heads must be whole blocks.
  bool makes_bytes(const Attention& op) const { return place(op.out).needs_bytes && op.head_dim % 32 == 0; }
  bool is_interleaved(const RopeAndStore& op) const;
  const RopeAndStore* fused_rope(const Attention& op) const;
  VkDeviceAddress vector_address(const std::optional<VectorId>& id) const;

  // step_recorder_matmul.cc
  struct Multiplication {
    TensorId in, out;
    MatrixId matrix;
    const Tuning& tuning;
    const FewTokensTuning& few;
    std::optional<VectorId> bias;
    float scale = 1.0F, softcap = 0.0F;
  };
  Result<void> emit(const Linear& op);
  Result<void> emit(const GateUp& op);
  Result<void> emit(const Logits& op);
  /// What a matmul reads of its input.
  struct InputForm {
    VkDeviceAddress x = 0, pairs = 0;
    Access access;
  };
  enum class Form : uint8_t { floats, bytes, split, halved_bytes, fragments };
  InputForm input_form(TensorId in, Form form) const;
  Form form_for(const Tuning& tuning, const WeightLayout& layout, uint32_t matrices, uint32_t tokens) const;
  /// Makes those of the forms that a matmul makes itself.
  Result<void> make_form(TensorId in, Form form, const Tuning& tuning);
  /// How it runs on cooperative matrices; nothing where it does not.
  std::optional<MatrixPlan> matrix_plan(const Tuning& tuning, const WeightLayout& layout, uint32_t matrices,
                                        uint32_t tokens) const;
  std::optional<WorkgroupMatrixPlan> workgroup_matrix_plan(const Tuning& tuning, const WeightLayout& layout,
                                                           uint32_t matrices, uint32_t tokens) const {
    return plan_workgroup_matrices(c_.gpu.properties(), tuning, layout, matrices, tokens);
  }
  std::optional<FragmentPlan> fragment_plan(const Tuning& tuning, const WeightLayout& layout, uint32_t matrices,
                                            uint32_t tokens) const {
    return plan_fragments(c_.gpu.properties(), tuning, layout, matrices, tokens);
  }
  struct MatmulLaunch {
    PipelineKey key;
    Groups groups;
  };
  /// For more tokens than few-token kernels take; `epilogue` is a Linear's flags, or the activation of gate and up.
  MatmulLaunch many_tokens_launch(const Tuning& tuning, const WeightLayout& layout, uint32_t matrices, TensorId in,
                                  uint32_t epilogue) const;
  Multiplication multiplication(const Linear& op) const;
  shared::LinearArguments linear_arguments(const Multiplication& m, const WeightRun& run, const InputForm& in) const;
  uint32_t linear_flags(const Multiplication& m) const;
  /// The last constants of the shaders for few tokens: where they are not as usual.
  void add_few_order(const Tuning& tuning, const FewTokensTuning& t, TensorId in,
                     std::vector<uint32_t>& constants) const;
  Result<void> multiply(const Multiplication& m);
  Result<void> multiply_run(const Multiplication& m, const WeightRun& run);
  std::string shape(const Operation& op) const { return matmul_shape(c_.recording, c_.weights, op); }

  uint32_t rows(TensorId tensor) const { return is_logits(tensor) ? bucket_.logit_rows : bucket_.tokens; }
  bool is_logits(TensorId tensor) const { return c_.recording.tensors[tensor.index].rows == Rows::logits; }
  uint32_t width(TensorId tensor) const { return c_.recording.tensors[tensor.index].width; }
  const ActivationPlace& place(TensorId tensor) const { return c_.activations.place(tensor); }
  VkDeviceAddress floats(TensorId tensor) const { return c_.activations.address() + place(tensor).floats; }
  VkDeviceAddress quants(TensorId tensor) const { return c_.activations.address() + place(tensor).quants; }
  VkDeviceAddress pairs(TensorId tensor) const { return c_.activations.address() + place(tensor).pairs; }
  Access access(const HalvesPlace& place) const {
    return {c_.activations.address() + place.halves, c_.activations.address() + place.end};
  }
  /// A tensor in all its forms; finer ranges would save no barrier.
  Access access(TensorId tensor) const { return {floats(tensor), c_.activations.address() + place(tensor).end}; }
  Access cache_access(uint32_t layer) const;
  shared::WeightRef weight_ref(const WeightRun& run) const;

  const RecorderContext& c_;
  Bucket bucket_;
  CommandRecorder& commands_;
  const bool alone_;
  size_t now_ = 0;  ///< the operation at hand
};

}  // namespace hearth::vulkan
