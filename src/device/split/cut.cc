#include "device/split/cut.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace hearth::split {
namespace {

/// What an operation reads, then what it writes. A residual that is added to is both.
struct Touched {
  std::vector<TensorId> reads, writes;
};

Touched touched(const Embed& op) { return {{}, {op.out}}; }
Touched touched(const AddNorm& op) {
  Touched t = {{op.residual}, {}};
  if (op.branch) {
    t.reads.push_back(*op.branch);
    t.writes.push_back(op.residual);
  }
  if (op.out) t.writes.push_back(*op.out);
  return t;
}
Touched touched(const Linear& op) { return {{op.in}, {op.out}}; }
Touched touched(const GateUp& op) { return {{op.in}, {op.out}}; }
Touched touched(const RopeAndStore& op) { return {{op.qkv}, {op.out}}; }
Touched touched(const Attention& op) { return {{op.query}, {op.out}}; }
Touched touched(const SelectRows& op) { return {{op.in}, {op.out}}; }
Touched touched(const Logits& op) { return {{op.in}, {op.out}}; }

/// Hands operations to stages, in order: each goes to the stage of its weights, and one without to that of the
/// operation before it.
class Cutter {
 public:
  Cutter(const Recording& whole, const Places& places, uint32_t stages)
      : whole_(whole), places_(places), stages_(stages) {
    for (StageRecording& stage : stages_) {
      stage.recording = {.tensors = whole.tensors, .ropes = whole.ropes, .logits = whole.logits, .has_logits = false};
    }
  }

  Result<std::vector<StageRecording>> cut() {
    if (!whole_.inputs.empty() || !whole_.outputs.empty()) {
      return fail(ErrorCode::internal, "a program with inputs or outputs cannot be split");
    }
    for (index_ = 0; index_ < whole_.operations.size(); ++index_) {
      std::visit([&](auto op) { place(op); }, whole_.operations[index_]);
      if (!error_.empty()) return fail(ErrorCode::internal, fmt::format("operation {}: {}", index_, error_));
    }
    join();
    for (const StageRecording& stage : stages_) {
      if (stage.operations.empty()) return fail(ErrorCode::internal, "one of the devices has nothing to do");
    }
    if (!error_.empty()) return fail(ErrorCode::internal, error_);
    return std::move(stages_);
  }

 private:
  void go_to(uint32_t stage) {
    if (stage < stage_) error_ = fmt::format("its weights are on device {}, behind which the step is", stage);
    stage_ = std::max(stage, stage_);
  }

  void use(MatrixId& id) {
    const std::vector<Place>& copies = places_.matrices[id.index];
    const auto place = std::ranges::find_if(copies, [&](const Place& p) { return p.stage >= stage_; });
    if (place == copies.end()) return go_to(copies.back().stage);
    go_to(place->stage);
    id.index = place->index;
  }
  void use(std::optional<VectorId>& id) {
    if (!id) return;
    go_to(places_.vectors[id->index].stage);
    id->index = places_.vectors[id->index].index;
  }
  void use_cache(uint32_t& layer) {
    go_to(places_.cache_layers[layer].stage);
    layer = places_.cache_layers[layer].index;
  }

  void place(Embed& op) {
    use(op.table);
    emit(op);
  }
  void place(AddNorm& op) {
    use(op.post_norm);
    if (op.norm && op.branch && places_.vectors[op.norm->index].stage != stage_) {
      AddNorm add = op;
      add.norm.reset();
      add.out.reset();
      emit(add);
      op.branch.reset();
      op.post_norm.reset();
    }
    use(op.norm);
    emit(op);
  }
  void place(Linear& op) {
    use(op.weight);
    use(op.bias);
    emit(op);
  }
  void place(GateUp& op) {
    use(op.gate_up);
    use(op.bias);
    emit(op);
  }
  void place(RopeAndStore& op) {
    use_cache(op.cache_layer);
    use(op.q_norm);
    use(op.k_norm);
    emit(op);
  }
  void place(Attention& op) {
    use_cache(op.cache_layer);
    use(op.sinks);
    emit(op);
  }
  void place(SelectRows& op) { emit(op); }
  void place(Logits& op) {
    use(op.head);
    emit(op);
  }

  void emit(const Operation& op) {
    stages_[stage_].recording.operations.push_back(op);
    stages_[stage_].operations.push_back(index_);
  }

  /// Finds what crosses from stage to stage.
  void join() {
    writer_.assign(whole_.tensors.size(), std::nullopt);
    for (uint32_t s = 0; s < stages_.size(); ++s) {
      std::vector<bool> here(whole_.tensors.size());  // written on this stage, or brought to it
      for (const Operation& operation : stages_[s].recording.operations) {
        const Touched tensors = std::visit([](const auto& op) { return touched(op); }, operation);
        for (const TensorId tensor : tensors.reads) {
          if (!here[tensor.index]) bring(tensor, s);
          here[tensor.index] = true;
          note_rows(tensor, s);
        }
        for (const TensorId tensor : tensors.writes) {
          here[tensor.index] = true;
          writer_[tensor.index] = s;
          note_rows(tensor, s);
          if (whole_.has_logits && tensor.index == whole_.logits.index) stages_[s].recording.has_logits = true;
        }
      }
    }
  }

  void bring(TensorId tensor, uint32_t to) {
    const auto from = writer_[tensor.index];
    if (!from) {
      error_ = fmt::format("{} is read before it is written", whole_.tensors[tensor.index].name);
      return;
    }
    std::vector<TensorId>& outputs = stages_[*from].recording.outputs;
    auto output = std::ranges::find(outputs, tensor.index, &TensorId::index);
    if (output == outputs.end()) output = outputs.insert(outputs.end(), tensor);
    stages_[to].recording.inputs.push_back(tensor);
    stages_[to].sources.push_back({*from, static_cast<uint32_t>(output - outputs.begin())});
  }

  void note_rows(TensorId tensor, uint32_t stage) {
    if (whole_.tensors[tensor.index].rows == Rows::logits) stages_[stage].uses_logit_rows = true;
  }

  const Recording& whole_;
  const Places& places_;
  std::vector<StageRecording> stages_;
  uint32_t stage_ = 0;
  uint32_t index_ = 0;
  std::string error_;
  std::vector<std::optional<uint32_t>> writer_;  // of each tensor, the last stage that wrote it
};

}  // namespace

Result<std::vector<StageRecording>> cut_recording(const Recording& whole, const Places& places, uint32_t stages) {
  return Cutter(whole, places, stages).cut();
}

}  // namespace hearth::split
