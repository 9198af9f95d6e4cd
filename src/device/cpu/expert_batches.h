#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "device/cpu/step_context.h"

namespace hearth::cpu {

/// The routes of a step sorted by expert, and the rows that each expert multiplies gathered in panels, so that the
/// kernels of whole products serve. Its memory grows to what the largest step needs.
class ExpertBatches {
 public:
  struct Batch {
    uint32_t expert = 0;
    std::vector<std::pair<uint32_t, uint32_t>> routes;  ///< (row, which of its routes)
    ActivationTensor gathered;                          ///< panels of these rows, and nothing else
  };

  /// `routes` [rows][2 * chosen], as ChooseExperts writes them.
  void sort(const ActivationTensor& routes, size_t rows, uint32_t experts, uint32_t chosen) {
    std::vector<Batch> all(experts);
    for (uint32_t row = 0; row < rows; ++row) {
      for (uint32_t r = 0; r < chosen; ++r) all[static_cast<size_t>(routes.row(row)[r])].routes.emplace_back(row, r);
    }
    batches_.clear();
    for (uint32_t e = 0; e < experts; ++e) {
      if (all[e].routes.empty()) continue;
      all[e].expert = e;
      batches_.push_back(std::move(all[e]));
    }
  }

  /// As if the experts were heads: route h of every row goes to expert h.
  void take_all(size_t rows, uint32_t heads) {
    batches_.assign(heads, {});
    for (uint32_t h = 0; h < heads; ++h) {
      batches_[h].expert = h;
      for (uint32_t row = 0; row < rows; ++row) batches_[h].routes.emplace_back(row, h);
    }
  }

  /// Makes panels of the `width` values that `from(row, route)` points to, for each route.
  template <class F>
  void gather(const StepContext& step, PanelKind kind, size_t width, F&& from) {
    constexpr size_t kAlignment = 64;
    const size_t blocks = (width + kBlockCols - 1) / kBlockCols;
    std::vector<size_t> places;
    size_t bytes = 0;
    for (const Batch& batch : batches_) {
      places.push_back(bytes);
      bytes += (Panels::bytes(kind, batch.routes.size(), blocks) + kAlignment - 1) / kAlignment * kAlignment;
    }
    if (memory_.size() < bytes + kAlignment) memory_.resize(bytes + kAlignment);
    void* aligned = memory_.data();
    size_t space = memory_.size();
    auto* const base = static_cast<std::byte*>(std::align(kAlignment, bytes, aligned, space));
    const TensorForms forms = {.int8_panels = kind == PanelKind::int8, .float_panels = kind == PanelKind::floats};
    step.pool().parallel_for(batches_.size(), [&](size_t b, unsigned) {
      Batch& batch = batches_[b];
      batch.gathered = {.width = width};
      (kind == PanelKind::int8 ? batch.gathered.int8_panels : batch.gathered.float_panels) = base + places[b];
      for (size_t i = 0; i < batch.routes.size(); ++i) {
        const auto [row, route] = batch.routes[i];
        step.kernels().fill_panels(from(row, route), width, batch.gathered.panel_row(forms, i, batch.routes.size()), 0);
      }
    });
  }

  /// Calls f(batch, tile, first, end, thread) for each tile of an expert's `rows` rows and at most a panel of its
  /// routes [first, end), in parallel.
  template <class F>
  void for_tiles(const StepContext& step, uint32_t rows, F&& f) const {
    const size_t tiles = (rows + kTileRows - 1) / kTileRows;
    step.pool().parallel_for(batches_.size() * tiles, [&](size_t index, unsigned thread) {
      const Batch& batch = batches_[index / tiles];
      for (size_t first = 0; first < batch.routes.size(); first += kPanelTokens) {
        const size_t end = std::min<size_t>(batch.routes.size(), first + kPanelTokens);
        f(batch, static_cast<uint32_t>(index % tiles), first, end, thread);
      }
    });
  }

 private:
  std::vector<Batch> batches_;
  std::vector<std::byte> memory_;
};

}  // namespace hearth::cpu
