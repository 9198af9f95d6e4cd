#include "device/split/cut.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "device/operation_uses.h"

namespace hearth::split {
namespace {

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
  void use(VectorId& id) {
    go_to(places_.vectors[id.index].stage);
    id.index = places_.vectors[id.index].index;
  }
  void use(CacheLayerId& id) {
    go_to(places_.cache_layers[id.index].stage);
    id.index = places_.cache_layers[id.index].index;
  }

  /// To where all that the operation needs is.
  template <class Op>
  void place(Op op) {
    op.uses(Overloaded{[&](OneOf<Multiplies, MultipliesChosen> auto u) { use(u.matrix); },
                       [&](LooksUp u) { use(u.table); }, [&](NeedsVector u) { use(u.vector); },
                       [&](OneOf<WritesCache, ReadsCache, UpdatesState> auto u) { use(u.layer); },
                       [](OneOf<Reads, Writes, Updates> auto) {}});
    emit(op);
  }

  /// The branch is added where it was made, and its sum is normed where the norm is.
  void place(AddNorm op) {
    if (op.post_norm) use(*op.post_norm);
    if (op.norm && op.branch && places_.vectors[op.norm->index].stage != stage_) {
      AddNorm add = op;
      add.norm.reset();
      add.out.reset();
      emit(add);
      op.branch.reset();
      op.post_norm.reset();
      op.residual_scale = 1;  // it is done
    }
    if (op.norm) use(*op.norm);
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
        const TouchedTensors tensors = touched_tensors(operation);
        for (const TensorId tensor : tensors.read) {
          if (!here[tensor.index]) bring(tensor, s);
          here[tensor.index] = true;
          note_rows(tensor, s);
        }
        for (const TensorId tensor : tensors.written) {
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
