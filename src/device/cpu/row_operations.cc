#include <algorithm>

#include "device/cpu/step_context.h"

namespace hearth::cpu {
namespace {

/// Fills the panels of a row whose values are there.
void fill_row(const StepContext& step, const ActivationTensor& tensor, const TensorForms& forms, size_t row,
              const float* values) {
  if (!forms.panels()) return;
  step.kernels().fill_panels(values, tensor.width, tensor.panel_row(forms, row, step.rows(tensor)), 0);
}

class EmbedOperation : public CpuOperation {
 public:
  EmbedOperation(const Embed& op, const TensorForms& forms) : op_(op), forms_(forms) {}

  void run(const StepContext& step) override {
    const ActivationTensor& out = step.activations.tensor(op_.out);
    const PackedMatrix& table = step.storage.matrices[op_.table.index];
    step.for_rows(step.rows(out), [&](size_t row, float*) {
      table.read_row(static_cast<uint32_t>(step.input.token_ids[row]), {out.row(row), out.width});
      if (op_.scale != 1.0F) step.kernels().scale_and_cap(out.row(row), out.width, op_.scale, 0.0F);
      fill_row(step, out, forms_, row, out.row(row));
    });
  }

 private:
  Embed op_;
  TensorForms forms_;
};

class AddNormOperation : public CpuOperation {
 public:
  AddNormOperation(const AddNorm& op, uint32_t width, const TensorForms& residual, const TensorForms& out)
      : op_(op), width_(width), part_(op.part > 0 ? op.part : width), residual_forms_(residual), out_forms_(out) {}

  size_t scratch_floats() const override { return width_; }

  void run(const StepContext& step) override {
    step.for_rows(step.rows(step.activations.tensor(op_.residual)), [&](size_t row, float* scratch) {
      if (op_.branch) add(step, row, scratch);
      if (op_.norm && op_.out) write_norm(step, row, scratch);
    });
  }

 private:
  void add(const StepContext& step, size_t row, float* scratch) const {
    const Kernels& k = step.kernels();
    const ActivationTensor& tensor = step.activations.tensor(op_.residual);
    float* const residual = tensor.row(row);
    const float* const branch = step.activations.tensor(*op_.branch).row(row);
    for (size_t i = 0; i < width_; i += part_) {
      if (op_.post_norm) norm(step, branch + i, *op_.post_norm, {}, scratch);
      k.add_scaled(residual + i, op_.post_norm ? scratch : branch + i, op_.branch_scale, part_);
    }
    if (op_.residual_scale != 1.0F) k.scale_and_cap(residual, width_, op_.residual_scale, 0.0F);
    fill_row(step, tensor, residual_forms_, row, residual);
  }

  void write_norm(const StepContext& step, size_t row, float* scratch) const {
    const ActivationTensor& out = step.activations.tensor(*op_.out);
    const float* const residual = step.activations.tensor(op_.residual).row(row);
    float* const normed = out_forms_.values ? out.row(row) : scratch;
    for (size_t i = 0; i < width_; i += part_) norm(step, residual + i, *op_.norm, op_.norm_bias, normed + i);
    fill_row(step, out, out_forms_, row, normed);
  }

  void norm(const StepContext& step, const float* x, VectorId weight, std::optional<VectorId> bias, float* to) const {
    const auto values = [&](VectorId id) { return step.storage.vectors[id.index].data(); };
    if (op_.kind == NormKind::rms) return step.kernels().rms_norm(x, values(weight), op_.epsilon, part_, to);
    step.kernels().layer_norm(x, values(weight), bias ? values(*bias) : nullptr, op_.epsilon, part_, to);
  }

  AddNorm op_;
  size_t width_;
  size_t part_;  ///< values of what is normed by itself
  TensorForms residual_forms_;
  TensorForms out_forms_;
};

class ActivateOperation : public CpuOperation {
 public:
  ActivateOperation(const Activate& op, uint32_t width, const TensorForms& forms)
      : op_(op), width_(width), forms_(forms) {}

  size_t scratch_floats() const override { return width_; }

  void run(const StepContext& step) override {
    const ActivationTensor& in = step.activations.tensor(op_.in);
    const ActivationTensor& out = step.activations.tensor(op_.out);
    step.for_rows(step.rows(out), [&](size_t row, float* scratch) {
      float* const values = forms_.values ? out.row(row) : scratch;
      step.kernels().activate_alone(op_.activation, op_.xielu, in.row(row), values, width_);
      fill_row(step, out, forms_, row, values);
    });
  }

 private:
  Activate op_;
  size_t width_;
  TensorForms forms_;
};

class SelectRowsOperation : public CpuOperation {
 public:
  SelectRowsOperation(const SelectRows& op, const TensorForms& forms) : op_(op), forms_(forms) {}

  void run(const StepContext& step) override {
    const ActivationTensor& in = step.activations.tensor(op_.in);
    const ActivationTensor& out = step.activations.tensor(op_.out);
    step.for_rows(step.rows(out), [&](size_t row, float*) {
      const float* values = in.row(step.input.logit_rows[row]);
      if (forms_.values) std::copy_n(values, out.width, out.row(row));
      fill_row(step, out, forms_, row, values);
    });
  }

 private:
  SelectRows op_;
  TensorForms forms_;
};

class FillPanelsOperation : public CpuOperation {
 public:
  FillPanelsOperation(TensorId tensor, const TensorForms& forms) : tensor_(tensor), forms_(forms) {}

  void run(const StepContext& step) override {
    const ActivationTensor& tensor = step.activations.tensor(tensor_);
    step.for_rows(step.rows(tensor), [&](size_t row, float*) { fill_row(step, tensor, forms_, row, tensor.row(row)); });
  }

 private:
  TensorId tensor_;
  TensorForms forms_;
};

}  // namespace

std::unique_ptr<CpuOperation> make_embed(const Embed& op, const TensorForms& out) {
  return std::make_unique<EmbedOperation>(op, out);
}

std::unique_ptr<CpuOperation> make_add_norm(const AddNorm& op, uint32_t width, const TensorForms& residual,
                                            const TensorForms& out) {
  return std::make_unique<AddNormOperation>(op, width, residual, out);
}

std::unique_ptr<CpuOperation> make_activate(const Activate& op, uint32_t width, const TensorForms& out) {
  return std::make_unique<ActivateOperation>(op, width, out);
}

std::unique_ptr<CpuOperation> make_select_rows(const SelectRows& op, const TensorForms& out) {
  return std::make_unique<SelectRowsOperation>(op, out);
}

std::unique_ptr<CpuOperation> make_fill_panels(TensorId tensor, const TensorForms& forms) {
  return std::make_unique<FillPanelsOperation>(tensor, forms);
}

}  // namespace hearth::cpu
