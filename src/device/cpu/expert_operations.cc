#include <algorithm>

#include "device/cpu/expert_batches.h"
#include "device/cpu/tile_product.h"

namespace hearth::cpu {
namespace {

using Batch = ExpertBatches::Batch;

PanelKind kind_of(const PackedMatrix& matrix) { return panel_kind(matrix.parts().front().encoding); }

/// [routes first to end][kTileRows]: the products of a batch's rows with one tile of its expert, which lies in the
/// expert's own part of the matrix, or in the one of all experts.
void multiply(const StepContext& step, const PackedMatrix& matrix, const Batch& batch, uint32_t expert_rows,
              uint32_t tile, size_t first, size_t end, float* out) {
  const bool own_part = matrix.parts().size() > 1;
  const PackedPart& part = matrix.parts()[own_part ? batch.expert : 0];
  const size_t before = own_part ? 0 : size_t{batch.expert} * (expert_rows / kTileRows);
  const Panels panels = batch.gathered.panels(panel_kind(part.encoding), batch.routes.size());
  multiply_tile(step, part, before + tile, panels, first, end, out, kTileRows);
}

/// Of an expert's rows from `row` on; null where there is no bias.
const float* bias_of(const StepContext& step, const std::optional<VectorId>& bias, size_t row) {
  return bias ? step.storage.vectors[bias->index].data() + row : nullptr;
}

void add(float* values, const float* bias, size_t count) {
  for (size_t i = 0; bias != nullptr && i < count; ++i) values[i] += bias[i];
}

class ExpertGateUpOperation : public CpuOperation {
 public:
  ExpertGateUpOperation(const ExpertGateUp& op, ExpertBatches& batches) : op_(op), batches_(batches) {}

  size_t scratch_floats() const override { return size_t{2} * kPanelTokens * kTileRows; }

  void run(const StepContext& step) override {
    const ActivationTensor& in = step.activations.tensor(op_.in);
    const ActivationTensor& out = step.activations.tensor(op_.out);
    if (step.rows(in) == 0) return;
    const PackedMatrix& gate = step.storage.matrices[op_.gate.index];
    const PackedMatrix& up = step.storage.matrices[op_.up.index];
    const uint32_t width = gate.rows() / op_.experts;
    batches_.sort(step.activations.tensor(op_.routes), step.rows(in), op_.experts, op_.chosen);
    batches_.gather(step, kind_of(gate), in.width, [&](uint32_t row, uint32_t) { return in.row(row); });
    batches_.for_tiles(step, width, [&](const Batch& batch, uint32_t tile, size_t first, size_t end, unsigned thread) {
      float* const gated = step.scratch[thread].get();
      float* const upped = gated + size_t{kPanelTokens} * kTileRows;
      multiply(step, gate, batch, width, tile, first, end, gated);
      multiply(step, up, batch, width, tile, first, end, upped);
      const size_t column = size_t{tile} * kTileRows, count = std::min<size_t>(kTileRows, width - column);
      for (size_t i = first; i < end; ++i) {
        const auto [row, route] = batch.routes[i];
        const size_t at = (i - first) * kTileRows;
        float* const to = out.row(row) + size_t{route} * width + column;
        const size_t first_row = size_t{batch.expert} * width + column;
        if (op_.weighs_input) {
          const float weight = step.activations.tensor(op_.routes).row(row)[op_.chosen + route];
          step.kernels().scale_and_cap(gated + at, count, weight, 0.0F);
          step.kernels().scale_and_cap(upped + at, count, weight, 0.0F);
        }
        add(gated + at, bias_of(step, op_.gate_bias, first_row), count);
        add(upped + at, bias_of(step, op_.up_bias, first_row), count);
        limit(gated + at, upped + at, count);
        step.kernels().activate(op_.activation, gated + at, upped + at, to, count);
      }
    });
  }

 private:
  void limit(float* gate, float* up, size_t count) const {
    for (size_t i = 0; op_.limit > 0 && i < count; ++i) {
      gate[i] = std::min(gate[i], op_.limit);
      up[i] = std::clamp(up[i], -op_.limit, op_.limit);
    }
    for (size_t i = 0; op_.up_offset != 0 && i < count; ++i) up[i] += op_.up_offset;
  }

  ExpertGateUp op_;
  ExpertBatches& batches_;
};

/// ExpertLinear, and HeadLinear, whose heads are experts that every row is routed to.
class ExpertLinearOperation : public CpuOperation {
 public:
  ExpertLinearOperation(const ExpertLinear& op, ExpertBatches& batches)
      : in_(op.in),
        routes_(op.routes),
        weight_(op.weight),
        experts_(op.experts),
        chosen_(op.chosen),
        same_input_(op.same_input),
        bias_(op.bias),
        out_(op.out),
        batches_(batches) {}
  ExpertLinearOperation(const HeadLinear& op, ExpertBatches& batches)
      : in_(op.in), weight_(op.weight), experts_(op.heads), chosen_(op.heads), out_(op.out), batches_(batches) {}

  size_t scratch_floats() const override { return size_t{kPanelTokens} * kTileRows; }

  void run(const StepContext& step) override {
    const ActivationTensor& in = step.activations.tensor(in_);
    const ActivationTensor& out = step.activations.tensor(out_);
    if (step.rows(in) == 0) return;
    const PackedMatrix& matrix = step.storage.matrices[weight_.index];
    const uint32_t width = matrix.rows() / experts_;
    const size_t columns = matrix.cols(), out_share = out.width / chosen_;
    const size_t in_share = same_input_ ? 0 : in.width / chosen_;
    if (routes_) {
      batches_.sort(step.activations.tensor(*routes_), step.rows(in), experts_, chosen_);
    } else {
      batches_.take_all(step.rows(in), experts_);
    }
    const auto from = [&](uint32_t row, uint32_t route) { return in.row(row) + route * in_share; };
    batches_.gather(step, kind_of(matrix), columns, from);
    batches_.for_tiles(step, width, [&](const Batch& batch, uint32_t tile, size_t first, size_t end, unsigned thread) {
      float* const products = step.scratch[thread].get();
      multiply(step, matrix, batch, width, tile, first, end, products);
      const size_t column = size_t{tile} * kTileRows, count = std::min<size_t>(kTileRows, width - column);
      for (size_t i = first; i < end; ++i) {
        const auto [row, route] = batch.routes[i];
        float* const to = out.row(row) + route * out_share + column;
        std::copy_n(products + (i - first) * kTileRows, count, to);
        add(to, bias_of(step, bias_, size_t{batch.expert} * width + column), count);
      }
    });
  }

 private:
  TensorId in_;
  std::optional<TensorId> routes_;
  MatrixId weight_;
  uint32_t experts_, chosen_;
  bool same_input_ = false;
  std::optional<VectorId> bias_;
  TensorId out_;
  ExpertBatches& batches_;
};

class CombineExpertsOperation : public CpuOperation {
 public:
  explicit CombineExpertsOperation(const CombineExperts& op) : op_(op) {}

  void run(const StepContext& step) override {
    const ActivationTensor& in = step.activations.tensor(op_.in);
    const ActivationTensor& out = step.activations.tensor(op_.out);
    step.for_rows(step.rows(out), [&](size_t row, float*) {
      if (op_.shared) {
        std::copy_n(step.activations.tensor(*op_.shared).row(row), out.width, out.row(row));
      } else {
        std::fill_n(out.row(row), out.width, 0.0F);
      }
      const float* weights = step.activations.tensor(op_.routes).row(row) + op_.chosen;
      for (uint32_t r = 0; r < op_.chosen; ++r) {
        const float weight = op_.weighted ? weights[r] : 1.0F;
        step.kernels().add_scaled(out.row(row), in.row(row) + r * out.width, weight, out.width);
      }
    });
  }

 private:
  CombineExperts op_;
};

}  // namespace

std::unique_ptr<CpuOperation> make_expert_gate_up(const ExpertGateUp& op, ExpertBatches& batches) {
  return std::make_unique<ExpertGateUpOperation>(op, batches);
}
std::unique_ptr<CpuOperation> make_expert_linear(const ExpertLinear& op, ExpertBatches& batches) {
  return std::make_unique<ExpertLinearOperation>(op, batches);
}
std::unique_ptr<CpuOperation> make_head_linear(const HeadLinear& op, ExpertBatches& batches) {
  return std::make_unique<ExpertLinearOperation>(op, batches);
}
std::unique_ptr<CpuOperation> make_combine_experts(const CombineExperts& op) {
  return std::make_unique<CombineExpertsOperation>(op);
}

}  // namespace hearth::cpu
