#include "device/cpu/tensor_uses.h"

#include <algorithm>
#include <utility>

namespace hearth::cpu {
namespace {

constexpr TensorForms kValues{.values = true};

TensorForms panels_for(const PackedMatrix& matrix) {
  TensorForms forms;
  for (const PackedPart& part : matrix.parts()) {
    (tile_layout(part.encoding).is_integer() ? forms.int8_panels : forms.float_panels) = true;
  }
  return forms;
}

OperationTensors tensors(const Embed& op, const std::vector<PackedMatrix>&) { return {{}, {op.out}}; }

OperationTensors tensors(const AddNorm& op, const std::vector<PackedMatrix>&) {
  OperationTensors t{{{op.residual, kValues}}, {}};
  if (op.branch) {
    t.inputs.push_back({*op.branch, kValues});
    t.outputs.push_back(op.residual);
  }
  if (op.norm && op.out) t.outputs.push_back(*op.out);
  return t;
}

OperationTensors tensors(const Linear& op, const std::vector<PackedMatrix>& matrices) {
  return {{{op.in, panels_for(matrices[op.weight.index])}}, {op.out}};
}

OperationTensors tensors(const GateUp& op, const std::vector<PackedMatrix>& matrices) {
  return {{{op.in, panels_for(matrices[op.gate_up.index])}}, {op.out}};
}

OperationTensors tensors(const RopeAndStore& op, const std::vector<PackedMatrix>&) {
  return {{{op.qkv, kValues}}, {op.out}};
}

OperationTensors tensors(const Attention& op, const std::vector<PackedMatrix>&) {
  return {{{op.query, kValues}}, {op.out}};
}

OperationTensors tensors(const SelectRows& op, const std::vector<PackedMatrix>&) {
  return {{{op.in, kValues}}, {op.out}};
}

OperationTensors tensors(const Logits& op, const std::vector<PackedMatrix>& matrices) {
  TensorForms forms = panels_for(matrices[op.head.index]);
  forms.fine_panels = std::exchange(forms.int8_panels, false);
  return {{{op.in, forms}}, {op.out}};
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
  return std::visit([&](const auto& op) { return tensors(op, matrices); }, operation);
}

bool fills_panels(const Operation& operation) {
  if (const auto* attention = std::get_if<Attention>(&operation)) return attention->head_dim % kBlockCols == 0;
  return !std::holds_alternative<Linear>(operation) && !std::holds_alternative<Logits>(operation) &&
         !std::holds_alternative<RopeAndStore>(operation);
}

std::vector<std::vector<TensorForms>> forms_to_write(const Recording& recording,
                                                     const std::vector<PackedMatrix>& matrices) {
  std::vector<OperationTensors> all;
  all.reserve(recording.operations.size());
  for (const Operation& operation : recording.operations) all.push_back(tensors_of(operation, matrices));
  const auto is = [](TensorId a) { return [a](TensorId b) { return a.index == b.index; }; };

  std::vector<std::vector<TensorForms>> forms(all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    for (const TensorId output : all[i].outputs) {
      TensorForms wanted;
      const Operation& operation = recording.operations[i];
      wanted.values = output.index == recording.logits.index || !fills_panels(operation) ||
                      std::holds_alternative<Embed>(operation);
      for (size_t later = i + 1; later < all.size(); ++later) {
        for (const auto& input : all[later].inputs) {
          if (input.tensor.index == output.index) wanted |= input.forms;
        }
        if (std::ranges::any_of(all[later].outputs, is(output))) break;
      }
      forms[i].push_back(wanted);
    }
  }
  return forms;
}

}  // namespace hearth::cpu
