#include "device/cpu/program.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "device/cpu/expert_batches.h"
#include "device/cpu/program_checks.h"
#include "device/explained_program.h"
#include "device/inline_program.h"
#include "device/logit_search.h"
#include "device/operation_timer.h"
#include "device/operation_uses.h"
#include "device/step_activations.h"
#include "device/step_results.h"

namespace hearth::cpu {
namespace {

/// "gate_up 5376 to 43008 q4_0 + q6_k": all that its speed depends on.
std::string describe_product(const Operation& operation, const PackedMatrix& matrix) {
  std::string formats;
  for (const PackedPart& part : matrix.parts()) {
    if (const std::string name(traits(part.format).name); !formats.ends_with(name)) {
      formats += (formats.empty() ? "" : " + ") + name;
    }
  }
  return fmt::format("{} {} to {} {}", operation_name(operation), matrix.cols(), matrix.rows(), formats);
}

class CpuProgram : public InlineProgram, public ExplainedProgram {
 public:
  CpuProgram(const Recording& recording, const ProgramLimits& limits, const CpuStorage& storage,
             ActivationMemory activations)
      : recording_(recording), limits_(limits), storage_(storage), activations_(std::move(activations)) {
    make_operations();
    size_t scratch = 1;
    for (const auto& operation : operations_) scratch = std::max(scratch, operation->scratch_floats());
    for (unsigned thread = 0; thread < storage.pool.threads(); ++thread) {
      scratch_.push_back(std::make_unique<float[]>(scratch));
    }
    scratch_bytes_ = scratch_.size() * scratch * sizeof(float);
    rotations_.resize(recording.ropes.size());
    for (size_t r = 0; r < rotations_.size(); ++r) {
      rotations_[r].pairs = recording.ropes[r].inverse_frequencies.size();
      rotations_[r].interleaved = recording.ropes[r].interleaved;
    }
  }

  /// What steps need of the device's cache, which is there by now.
  void begin(bool weights_arrive) {
    if (weights_arrive) awaited_ = AwaitedWeights(recording_, storage_.arrival);
    make_readers();
    entry_ = storage_.ledger.enter(MemoryOwner::activations, activations_.bytes() + scratch_bytes_);
  }

  size_t scratch_bytes() const { return scratch_bytes_; }

  Result<StepOutput> compute(const StepInput& input) override {
    if (auto ready = prepare(input); !ready) return pass_on(ready);
    const StepContext step{storage_, activations_, input, places_, rotations_, scratch_};
    const bool waits = awaited_.any();
    for (size_t i = 0; i < operations_.size(); ++i) {
      if (waits) {
        if (auto came = awaited_.wait_for(recorded_[i]); !came) return pass_on(came);
      }
      operations_[i]->run(step);
    }
    StepOutput output;
    if (recording_.has_logits) {
      const std::span<float> logits = values_of(recording_.logits, input);
      const size_t vocabulary = recording_.tensors[recording_.logits.index].width;
      output = results_.collect(input, logits, vocabulary, storage_.pool, best_candidates);
    }
    handed_on_.clear();
    for (const TensorId tensor : recording_.outputs) handed_on_.emplace_back(values_of(tensor, input));
    output.activations = handed_on_;
    output.waited_for_weights = waits;
    return output;
  }

  std::vector<DeviceMemoryUse> memory_use() const override { return {{"cpu", storage_.ledger.now()}}; }

  /// Whether products go to the device's offload is all that there is to measure.
  Result<bool> tune(const std::function<bool()>& is_interrupted) override {
    if (storage_.offload == nullptr) return false;
    if (!storage_.arrival.all_whole()) return true;
    return storage_.offload->tune(storage_, offload_candidates(), is_interrupted);
  }

  Result<std::vector<OperationChoice>> choices() override {
    return storage_.offload == nullptr ? std::vector<OperationChoice>() : storage_.offload->choices();
  }

  Result<StepProfile> profile(const StepInput& input) override {
    StepProfile profile;
    OperationTimer timer(profile, recording_.operations.size());
    if (auto ready = prepare(input); !ready) return pass_on(ready);
    const StepContext step{storage_, activations_, input, places_, rotations_, scratch_};
    timer.skip();
    for (size_t i = 0; i < operations_.size(); ++i) {
      operations_[i]->run(step);
      timer.add_to(recorded_[i]);
    }
    return profile;
  }

 private:
  Result<void> prepare(const StepInput& input) {
    if (auto ok = check_step(input, limits_, storage_.cache, readers_, vocabulary_); !ok) return ok;
    if (auto ok = check_activations(recording_, input); !ok) return ok;
    for (size_t i = 0; i < recording_.inputs.size(); ++i) {
      std::ranges::copy(input.activations[i], values_of(recording_.inputs[i], input).begin());
    }
    find_places(input);
    fill_rotations();
    return {};
  }

  std::vector<OffloadCandidate> offload_candidates() const {
    std::vector<OffloadCandidate> candidates;
    for (const size_t index : offloadable_) {
      const Operation& recorded = recording_.operations[recorded_[index]];
      const Product product = *product_of(recorded);
      if (recording_.tensors[product.in.index].rows != Rows::tokens) continue;
      candidates.push_back(
          {.weight = product.matrix,
           .name = describe_product(recorded, storage_.matrices[product.matrix.index]),
           .most_tokens = limits_.tokens,
           .prepare = [this, &recorded, product](uint32_t tokens) { make_up(recorded, product.in, tokens); },
           .run = [this, index](uint32_t tokens,
                                bool offloaded) { run_alone(*operations_[index], tokens, offloaded); }});
    }
    return candidates;
  }

  /// Numbers of ordinary size in what a product reads, in every form.
  void make_up(const Operation& product, TensorId in, uint32_t tokens) const {
    const ActivationTensor& tensor = activations_.tensor(in);
    for (size_t i = 0; i < tokens * tensor.width; ++i) {
      tensor.values[i] = static_cast<float>(i * 2654435761U >> 8 & 0xffff) * 0x1p-15F - 1.0F;
    }
    run_alone(*make_fill_panels(in, tensors_of(product, storage_.matrices).inputs[0].forms), tokens, false);
  }

  void run_alone(CpuOperation& operation, uint32_t tokens, bool offloaded) const {
    const std::vector<int32_t> ids(tokens);
    const StepInput input{.token_ids = ids, .sequences = {}, .logit_rows = {}};
    const Offloading offloading = offloaded ? Offloading::always : Offloading::never;
    operation.run({storage_, activations_, input, {}, {}, scratch_, offloading});
  }

  std::span<float> values_of(TensorId id, const StepInput& input) const {
    const ActivationTensor& tensor = activations_.tensor(id);
    return {tensor.values, rows_of(recording_.tensors[id.index], input) * tensor.width};
  }

  void make_operations() {
    const auto forms = forms_to_write(recording_, storage_.matrices);
    add_fill_panels(recording_.inputs, forms_of_inputs(recording_, storage_.matrices));
    for (size_t i = 0; i < recording_.operations.size(); ++i) {
      const Operation& operation = recording_.operations[i];
      std::visit([&](const auto& op) { add(op, forms[i]); }, operation);
      if (!fills_panels(operation)) add_fill_panels(tensors_of(operation, storage_.matrices).outputs, forms[i]);
      recorded_.resize(operations_.size(), static_cast<uint32_t>(i));
    }
  }

  using Forms = std::vector<TensorForms>;
  void add_fill_panels(std::span<const TensorId> outputs, const Forms& forms) {
    for (size_t o = 0; o < outputs.size(); ++o) {
      if (forms[o].panels()) operations_.push_back(make_fill_panels(outputs[o], forms[o]));
    }
  }
  void add(const Embed& op, const Forms& forms) {
    vocabulary_ = storage_.matrices[op.table.index].rows();
    operations_.push_back(make_embed(op, forms[0]));
  }
  void add(const AddNorm& op, const Forms& forms) {
    const TensorForms residual = op.branch ? forms[0] : TensorForms{};
    const TensorForms out = op.norm && op.out ? forms.back() : TensorForms{};
    operations_.push_back(make_add_norm(op, recording_.tensors[op.residual.index].width, residual, out));
  }
  /// What decides by comparing sums stays with the device that has the finer ones.
  bool is_router(const Linear& op) const {
    return std::ranges::any_of(recording_.operations, [&](const Operation& operation) {
      const auto* choose = std::get_if<ChooseExperts>(&operation);
      return choose != nullptr && choose->scores.index == op.out.index;
    });
  }
  void add(const Linear& op, const Forms&) {
    if (!is_router(op)) offloadable_.push_back(operations_.size());
    operations_.push_back(make_linear(op, !is_router(op)));
  }
  void add(const Activate& op, const Forms& forms) {
    operations_.push_back(make_activate(op, recording_.tensors[op.in.index].width, forms[0]));
  }
  void add(const GateUp& op, const Forms& forms) {
    offloadable_.push_back(operations_.size());
    operations_.push_back(make_gate_up(op, forms[0]));
  }
  void add(const ChooseExperts& op, const Forms&) { operations_.push_back(make_route(op)); }
  void add(const ExpertGateUp& op, const Forms&) { operations_.push_back(make_expert_gate_up(op, *batches_)); }
  void add(const ExpertLinear& op, const Forms&) { operations_.push_back(make_expert_linear(op, *batches_)); }
  void add(const CombineExperts& op, const Forms&) { operations_.push_back(make_combine_experts(op)); }
  void add(const CausalConvolution& op, const Forms&) { operations_.push_back(make_causal_convolution(op)); }
  void add(const LinearAttention& op, const Forms&) { operations_.push_back(make_linear_attention(op)); }
  void add(const GatedNorm& op, const Forms&) { operations_.push_back(make_gated_norm(op)); }
  void add(const Gate& op, const Forms&) { operations_.push_back(make_gate(op)); }
  void add(const RopeAndStore& op, const Forms&) { operations_.push_back(make_rope_and_store(op)); }
  void add(const Attention& op, const Forms& forms) { operations_.push_back(make_attention(op, forms[0])); }
  void add(const StoreLatents& op, const Forms&) { operations_.push_back(make_store_latents(op)); }
  void add(const HeadLinear& op, const Forms&) { operations_.push_back(make_head_linear(op, *batches_)); }
  void add(const LatentAttention& op, const Forms& forms) {
    operations_.push_back(make_latent_attention(op, forms[0]));
  }
  void add(const SelectRows& op, const Forms& forms) { operations_.push_back(make_select_rows(op, forms[0])); }
  void add(const Logits& op, const Forms&) { operations_.push_back(make_logits(op)); }

  void make_readers() {
    const auto add = [&](const CacheReader& reader) {
      if (std::ranges::find(readers_, reader) == readers_.end()) readers_.push_back(reader);
    };
    const auto group = [&](CacheLayerId layer) { return storage_.cache.layer(layer.index).group; };
    for (const Operation& operation : recording_.operations) {
      const auto* attention = std::get_if<Attention>(&operation);
      const uint32_t window = attention != nullptr ? attention->window : 0;
      visit_uses(operation,
                 Overloaded{[&](ReadsCache use) { add({.group = group(use.layer), .window = window}); },
                            [&](UpdatesState use) { add({.group = group(use.layer), .state = true}); }, [](auto) {}});
    }
  }

  void find_places(const StepInput& input) {
    places_.resize(input.token_ids.size());
    for (uint32_t s = 0; s < input.sequences.size(); ++s) {
      const SequenceInput& sequence = input.sequences[s];
      for (uint32_t t = 0; t < sequence.token_count; ++t) {
        places_[sequence.first_token + t] = {s, sequence.context_tokens + t};
      }
    }
  }

  /// Angles in double, as positions reach the hundred thousands; once for a step, not for each layer.
  void fill_rotations() {
    for (size_t r = 0; r < rotations_.size(); ++r) {
      RotationTable& table = rotations_[r];
      const RopeSpec& rope = recording_.ropes[r];
      table.cosines.resize(places_.size() * table.pairs);
      table.sines.resize(places_.size() * table.pairs);
      constexpr size_t kTokens = 8;
      storage_.pool.parallel_for((places_.size() + kTokens - 1) / kTokens, [&](size_t chunk, unsigned) {
        const size_t end = std::min(places_.size(), (chunk + 1) * kTokens);
        for (size_t t = chunk * kTokens; t < end; ++t) {
          for (size_t i = 0; i < table.pairs; ++i) {
            const double angle = places_[t].position * static_cast<double>(rope.inverse_frequencies[i]);
            table.cosines[t * table.pairs + i] = static_cast<float>(std::cos(angle) * rope.magnitude);
            table.sines[t * table.pairs + i] = static_cast<float>(std::sin(angle) * rope.magnitude);
          }
        }
      });
    }
  }

  Recording recording_;
  ProgramLimits limits_;
  const CpuStorage& storage_;
  ActivationMemory activations_;
  MemoryLedger::Entry entry_;
  std::unique_ptr<ExpertBatches> batches_ = std::make_unique<ExpertBatches>();
  std::vector<std::unique_ptr<CpuOperation>> operations_;
  std::vector<uint32_t> recorded_;   ///< for each of operations_, the operation of the recording that it is a part of
  std::vector<size_t> offloadable_;  ///< those of operations_ that an offload could do
  std::vector<CacheReader> readers_;
  AwaitedWeights awaited_;
  uint32_t vocabulary_ = 0;
  std::vector<std::unique_ptr<float[]>> scratch_;
  size_t scratch_bytes_ = 0;
  std::vector<TokenPlace> places_;
  std::vector<RotationTable> rotations_;
  StepResults results_;
  std::vector<std::span<const float>> handed_on_;
};

}  // namespace

Result<std::unique_ptr<Program>> compile_program(const Recording& recording, const ProgramLimits& limits,
                                                 bool weights_arrive, const CpuStorage& storage) {
  if (auto ok = check_recording(recording, storage); !ok) return pass_on(ok);
  auto activations = ActivationMemory::create(recording, limits, storage.matrices);
  if (!activations) return pass_on(activations);
  auto program = std::make_unique<CpuProgram>(recording, limits, storage, std::move(*activations));
  program->begin(weights_arrive);
  return program;
}

uint64_t planned_bytes(const Recording& recording, const ProgramLimits& limits, const CpuStorage& storage) {
  const CpuProgram program(recording, limits, storage, {});
  return ActivationMemory::planned_bytes(recording, limits, storage.matrices) + program.scratch_bytes();
}

}  // namespace hearth::cpu
