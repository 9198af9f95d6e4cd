#include "device/cpu/tensor_uses.h"

#include <algorithm>
#include <utility>

namespace hearth::cpu {
namespace {

constexpr TensorForms kValues{.values = true};

TensorForms panels_for(const PackedMatrix& matrix) {
  TensorForms forms{.values = matrix.may_be_offloaded()};
  for (const PackedPart& part : matrix.parts()) {
    (tile_layout(part.encoding).is_integer() ? forms.int8_panels : forms.float_panels) = true;
  }
  return forms;
}

bool contains(std::span<const TensorId> tensors, TensorId tensor) {
  return std::ranges::find(tensors, tensor.index, &TensorId::index) != tensors.end();
}

std::vector<OperationTensors> all_tensors(const Recording& recording, const std::vector<PackedMatrix>& matrices) {
  std::vector<OperationTensors> all;
  all.reserve(recording.operations.size());
  for (const Operation& operation : recording.operations) all.push_back(tensors_of(operation, matrices));
  return all;
}

/// The forms in which a tensor is read from operation `first` on, before it is written again.
TensorForms forms_read(const Recording& recording, const std::vector<OperationTensors>& all, TensorId tensor,
                       size_t first) {
  TensorForms forms;
  for (size_t later = first; later < all.size(); ++later) {
    for (const auto& input : all[later].inputs) {
      if (input.tensor.index == tensor.index) forms |= input.forms;
    }
    if (contains(all[later].outputs, tensor)) return forms;
  }
  forms.values |= contains(recording.outputs, tensor);  // the host reads it after the last operation
  return forms;
}

}  // namespace

TensorForms& TensorForms::operator|=(const TensorForms& other) {
  values |= other.values;
  int8_panels |= other.int8_panels;
  fine_panels |= other.fine_panels;
  float_panels |= other.float_panels;
  return *this;
}

OperationTensors tensors_of(const Operation& operation, const std::vector<PackedMatrix>& matrices) {
  const bool is_result = std::holds_alternative<Logits>(operation);
  OperationTensors tensors;
  visit_uses(operation, Overloaded{[&](Reads use) {
                                     tensors.inputs.push_back({use.tensor, kValues});
                                   },
                                   // Experts gather their rows and make panels of them.
                                   [&](MultipliesChosen use) {
                                     tensors.inputs.push_back({use.in, kValues});
                                   },
                                   [&](Writes use) { tensors.outputs.push_back(use.tensor); },
                                   [&](Updates use) {
                                     tensors.inputs.push_back({use.tensor, kValues});
                                     tensors.outputs.push_back(use.tensor);
                                   },
                                   [&](Multiplies use) {
                                     TensorForms forms = panels_for(matrices[use.matrix.index]);
                                     if (is_result) forms.fine_panels = std::exchange(forms.int8_panels, false);
                                     tensors.inputs.push_back({use.in, forms});
                                   },
                                   [](OneOf<LooksUp, NeedsVector, WritesCache, ReadsCache, UpdatesState> auto) {}});
  return tensors;
}

bool fills_panels(const Operation& operation) {
  return std::visit(
      Overloaded{
          [](const Attention& op) { return op.head_dim % kBlockCols == 0; },
          [](const LatentAttention& op) { return op.value_dim % kBlockCols == 0; },
          [](const OneOf<Embed, AddNorm, Activate, GateUp, SelectRows> auto&) { return true; },
          [](const OneOf<Linear, ChooseExperts, ExpertGateUp, ExpertLinear, CombineExperts, CausalConvolution,
                         LinearAttention, GatedNorm, Gate, RopeAndStore, StoreLatents, HeadLinear, Logits> auto&) {
            return false;
          }},
      operation);
}

std::vector<TensorForms> forms_of_inputs(const Recording& recording, const std::vector<PackedMatrix>& matrices) {
  const std::vector<OperationTensors> all = all_tensors(recording, matrices);
  std::vector<TensorForms> forms;
  for (const TensorId input : recording.inputs) {
    forms.push_back(forms_read(recording, all, input, 0));
    forms.back().values = true;
  }
  return forms;
}

std::vector<std::vector<TensorForms>> forms_to_write(const Recording& recording,
                                                     const std::vector<PackedMatrix>& matrices) {
  const std::vector<OperationTensors> all = all_tensors(recording, matrices);
  std::vector<std::vector<TensorForms>> forms(all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    for (const TensorId output : all[i].outputs) {
      TensorForms wanted = forms_read(recording, all, output, i + 1);
      const Operation& operation = recording.operations[i];
      wanted.values |= (recording.has_logits && output.index == recording.logits.index) || !fills_panels(operation) ||
                       std::holds_alternative<Embed>(operation);
      forms[i].push_back(wanted);
    }
  }
  return forms;
}

}  // namespace hearth::cpu
