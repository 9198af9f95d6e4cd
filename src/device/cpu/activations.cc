#include "device/cpu/activations.h"

#include <algorithm>

namespace hearth::cpu {
namespace {

/// The operations between which a tensor's memory is its own.
struct Lifetime {
  size_t first = SIZE_MAX;
  size_t last = 0;
  TensorForms forms;

  void extend(size_t operation) {
    first = std::min(first, operation);
    last = std::max(last, operation);
  }
  bool overlaps(const Lifetime& other) const { return first <= other.last && other.first <= last; }
};

std::vector<Lifetime> lifetimes_of(const Recording& recording, const std::vector<PackedMatrix>& matrices) {
  std::vector<Lifetime> lifetimes(recording.tensors.size());
  const auto forms = forms_to_write(recording, matrices);
  for (size_t i = 0; i < recording.operations.size(); ++i) {
    const OperationTensors tensors = tensors_of(recording.operations[i], matrices);
    for (const auto& input : tensors.inputs) lifetimes[input.tensor.index].extend(i);
    for (size_t o = 0; o < tensors.outputs.size(); ++o) {
      lifetimes[tensors.outputs[o].index].extend(i);
      lifetimes[tensors.outputs[o].index].forms |= forms[i][o];
    }
  }
  const std::vector<TensorForms> input_forms = forms_of_inputs(recording, matrices);
  for (size_t i = 0; i < recording.inputs.size(); ++i) {
    lifetimes[recording.inputs[i].index].extend(0);
    lifetimes[recording.inputs[i].index].forms |= input_forms[i];
  }
  const size_t end = recording.operations.size();  // read after the last operation
  if (recording.has_logits) lifetimes[recording.logits.index].extend(end);
  for (const TensorId output : recording.outputs) lifetimes[output.index].extend(end);
  return lifetimes;
}

/// Offsets in one piece of memory: each request takes the lowest place that is free during its lifetime.
class Placement {
 public:
  size_t place(const Lifetime& lifetime, size_t bytes) {
    bytes = (bytes + 63) / 64 * 64;
    std::vector<const Piece*> busy;
    for (const Piece& piece : pieces_) {
      if (piece.lifetime.overlaps(lifetime)) busy.push_back(&piece);
    }
    std::ranges::sort(busy, {}, &Piece::offset);
    size_t offset = 0;
    for (const Piece* piece : busy) {
      if (offset + bytes <= piece->offset) break;
      offset = std::max(offset, piece->offset + piece->bytes);
    }
    pieces_.push_back({lifetime, offset, bytes});
    end_ = std::max(end_, offset + bytes);
    return offset;
  }
  size_t end() const { return end_; }

 private:
  struct Piece {
    Lifetime lifetime;
    size_t offset;
    size_t bytes;
  };
  std::vector<Piece> pieces_;
  size_t end_ = 0;
};

/// Where each tensor's forms begin in one piece of memory.
struct PlannedTensor {
  TensorForms forms;
  size_t values, int8_panels, fine_panels, float_panels;
};
struct Plan {
  std::vector<PlannedTensor> tensors;
  size_t bytes = 0;
};

Plan make_plan(const Recording& recording, const ProgramLimits& limits, const std::vector<PackedMatrix>& matrices) {
  Plan plan;
  Placement placement;
  const std::vector<Lifetime> lifetimes = lifetimes_of(recording, matrices);
  for (size_t i = 0; i < lifetimes.size(); ++i) {
    const ActivationSpec& spec = recording.tensors[i];
    const size_t blocks = ActivationTensor{.width = spec.width}.blocks();
    const size_t rows = spec.rows == Rows::tokens ? limits.tokens : limits.logit_rows;
    const TensorForms& forms = lifetimes[i].forms;
    const auto place = [&](bool wanted, size_t bytes) { return wanted ? placement.place(lifetimes[i], bytes) : 0; };
    plan.tensors.push_back({forms, place(forms.values, rows * spec.width * sizeof(float)),
                            place(forms.int8_panels, Panels::bytes(PanelKind::int8, rows, blocks)),
                            place(forms.fine_panels, Panels::bytes(PanelKind::fine, rows, blocks)),
                            place(forms.float_panels, Panels::bytes(PanelKind::floats, rows, blocks))});
  }
  plan.bytes = std::max<size_t>(placement.end(), 64);
  return plan;
}

}  // namespace

PanelRow ActivationTensor::panel_row(const TensorForms& forms, size_t index, size_t row_count) const {
  const auto integers = [&](PanelKind kind, size_t token) {
    const PanelView view = panels(kind, row_count).view(token);
    return Int8Row{const_cast<int8_t*>(reinterpret_cast<const int8_t*>(view.values)),
                   const_cast<BlockFactors*>(view.factors), view.record_bytes};
  };
  PanelRow row;
  if (forms.int8_panels) row.int8 = integers(PanelKind::int8, index);
  if (forms.fine_panels) row.fine = integers(PanelKind::fine, 2 * index);
  if (forms.float_panels) {
    const PanelView view = panels(PanelKind::floats, row_count).view(index);
    row.float_values = const_cast<float*>(reinterpret_cast<const float*>(view.values));
    row.float_stride = view.record_bytes / sizeof(float);
  }
  return row;
}

Result<ActivationMemory> ActivationMemory::create(const Recording& recording, const ProgramLimits& limits,
                                                  const std::vector<PackedMatrix>& matrices) {
  const Plan plan = make_plan(recording, limits, matrices);
  auto mapping = Mapping::reserve(plan.bytes, "activations");
  if (!mapping) return pass_on(mapping);
  ActivationMemory memory;
  memory.memory_ = std::move(*mapping);
  std::byte* const base = memory.memory_.data();
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    const auto& [forms, values, int8_panels, fine_panels, float_panels] = plan.tensors[i];
    ActivationTensor tensor{.rows = recording.tensors[i].rows, .width = recording.tensors[i].width};
    if (forms.values) tensor.values = reinterpret_cast<float*>(base + values);
    if (forms.int8_panels) tensor.int8_panels = base + int8_panels;
    if (forms.fine_panels) tensor.fine_panels = base + fine_panels;
    if (forms.float_panels) tensor.float_panels = base + float_panels;
    memory.tensors_.push_back(tensor);
  }
  return memory;
}

size_t ActivationMemory::planned_bytes(const Recording& recording, const ProgramLimits& limits,
                                       const std::vector<PackedMatrix>& matrices) {
  return make_plan(recording, limits, matrices).bytes;
}

}  // namespace hearth::cpu
