#include "device/vulkan/memory/activations.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <set>

#include "device/vulkan/gpu/cooperative_matrices.h"
#include "device/vulkan/gpu/divide_up.h"
#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {
namespace {

uint64_t align(uint64_t bytes) { return (bytes + Arena::kAlignment - 1) / Arena::kAlignment * Arena::kAlignment; }

struct Life {
  size_t first = SIZE_MAX, last = 0;  ///< operations that touch the tensor
};

/// Which operations touch each tensor, and in which form matmuls read it.
class Usage {
 public:
  Usage(const Recording& recording, std::span<const Matrix> matrices)
      : matrices_(matrices), lives(recording.tensors.size()), places(recording.tensors.size()) {
    for (; now_ < recording.operations.size(); ++now_) {
      visit(recording.operations[now_]);
    }
    if (recording.has_logits) touch(recording.logits);  // read by the host after the last operation
    for (const TensorId output : recording.outputs) use_floats(output);
    now_ = 0;
    for (const TensorId input : recording.inputs) touch(input);
  }

 private:
  std::span<const Matrix> matrices_;
  size_t now_ = 0;

 public:
  std::vector<Life> lives;
  std::vector<ActivationPlace> places;
  std::set<uint32_t> split;   ///< tensors that may be read as sums of two halves
  std::set<uint32_t> padded;  ///< tensors that matmuls read, whose rows are not whole blocks

 private:
  void touch(TensorId tensor) {
    lives[tensor.index].first = std::min(lives[tensor.index].first, now_);
    lives[tensor.index].last = std::max(lives[tensor.index].last, now_);
  }
  void use_floats(TensorId tensor) {
    touch(tensor);
    places[tensor.index].needs_floats = true;
  }
  void multiply(TensorId in, MatrixId matrix) {
    touch(in);
    if (matrices_[matrix.index].spec.cols % 32 != 0) padded.insert(in.index);
    for (const WeightRun& run : matrices_[matrix.index].runs) {
      const bool bytes = uses_quantized_activations(run.layout.encoding);
      (bytes ? places[in.index].needs_bytes : places[in.index].needs_floats) = true;
      if (uses_split_activations(run.layout.encoding)) split.insert(in.index);
    }
  }

  /// What it writes itself as bytes where only bytes are read; all else comes as floats.
  static bool writes_either_form(const Operation& operation) {
    return std::visit(
        Overloaded{[](const OneOf<AddNorm, GateUp, Attention> auto&) { return true; },
                   [](const OneOf<Embed, Linear, Activate, ChooseExperts, ExpertGateUp, ExpertLinear, CombineExperts,
                                  CausalConvolution, LinearAttention, GatedNorm, Gate, StoreLatents, HeadLinear,
                                  LatentAttention, RopeAndStore, SelectRows, Logits> auto&) { return false; }},
        operation);
  }

  void visit(const Operation& operation) {
    const bool either = writes_either_form(operation);
    visit_uses(operation,
               Overloaded{[&](Reads use) { use_floats(use.tensor); }, [&](Updates use) { use_floats(use.tensor); },
                          [&](Multiplies use) { multiply(use.in, use.matrix); },
                          [&](MultipliesChosen use) { use_floats(use.in); },
                          [&](Writes use) { either ? touch(use.tensor) : use_floats(use.tensor); },
                          [](OneOf<LooksUp, NeedsVector, WritesCache, ReadsCache, UpdatesState> auto) {}});
    // One launch may do this and the attention behind it: then qkv is read while attention's result is written.
    if (const auto* op = std::get_if<RopeAndStore>(&operation)) {
      lives[op->qkv.index].last = std::max(lives[op->qkv.index].last, now_ + 1);
    }
  }
};

struct Placed {
  Life life;
  uint64_t begin = 0, end = 0;
};

/// First fit: the lowest offset where no tensor of an overlapping life lies.
uint64_t find_gap(std::vector<Placed>& placed, const Life& life, uint64_t bytes) {
  std::ranges::sort(placed, {}, &Placed::begin);
  uint64_t offset = 0;
  for (const Placed& other : placed) {
    if (other.life.last < life.first || life.last < other.life.first) continue;
    if (offset + bytes <= other.begin) break;
    offset = std::max(offset, other.end);
  }
  placed.push_back({life, offset, offset + bytes});
  return offset;
}

}  // namespace

Result<uint64_t> Activations::lay_out(const GpuProperties& gpu, const Recording& recording,
                                      std::span<const Matrix> matrices, uint32_t token_rows, uint32_t logit_rows) {
  Usage usage(recording, matrices);
  places_ = std::move(usage.places);
  std::vector<Placed> placed;
  uint64_t total = Arena::kAlignment;
  // Tiles are read whole, so that the last one's rows need places too.
  const uint64_t most_rows = uint64_t{divide_up(std::max(token_rows, logit_rows), kMostTileTokens)} * kMostTileTokens;
  uint64_t split_width = 0, bytes_width = 0, padded_width = 0;
  for (size_t i = 0; i < recording.tensors.size(); ++i) {
    const ActivationSpec& spec = recording.tensors[i];
    ActivationPlace& place = places_[i];
    const uint64_t values = uint64_t{spec.rows == Rows::tokens ? token_rows : logit_rows} * spec.width;
    const uint64_t whole_width = uint64_t{divide_up(spec.width, 32)} * 32;
    if (usage.split.contains(static_cast<uint32_t>(i))) split_width = std::max(split_width, whole_width);
    if (usage.padded.contains(static_cast<uint32_t>(i))) padded_width = std::max(padded_width, whole_width);
    if (place.needs_bytes) bytes_width = std::max(bytes_width, uint64_t{spec.width});
    if (usage.lives[i].first == SIZE_MAX) continue;
    if (place.needs_bytes && spec.width % 32 != 0) {
      return fail(ErrorCode::internal,
                  fmt::format("activation {} is {} wide, not whole blocks", spec.name, spec.width));
    }
    // Floats always have a place: some operations cannot write bytes themselves.
    const uint64_t floats = align(values * 4);
    const uint64_t quants = place.needs_bytes ? align(values) : 0;
    const uint64_t pairs = place.needs_bytes ? align(values / 32 * 8) : 0;
    place.floats = find_gap(placed, usage.lives[i], floats + quants + pairs);
    place.quants = place.floats + floats;
    place.pairs = place.quants + quants;
    place.end = place.pairs + pairs;
    total = std::max(total, place.end);
  }
  const auto add_halves = [&](uint64_t row_bytes) {
    const uint64_t scales = total + align(most_rows * row_bytes), numbers = align(most_rows * 4);
    const HalvesPlace place = {.halves = total,
                               .scales = scales,
                               .largest = scales + numbers,
                               .end = scales + numbers + align(most_rows * shared::kLargestStride * 4)};
    total = place.end;
    return place;
  };
  const bool halves = takes_halves(gpu);
  if (halves && split_width > 0) split_ = add_halves(split_width * 4);
  // In the order of fragments a row is whole groups of blocks.
  const uint64_t fragment_width = uint64_t{divide_up(bytes_width, kMostFragmentColumns)} * kMostFragmentColumns;
  if (halves && bytes_width > 0) halved_bytes_ = add_halves(fragment_width * 2);
  if (padded_width > 0) {
    padded_ = {.floats = total, .end = total + align(most_rows * padded_width * 4)};
    total = padded_.end;
  }
  return total;
}

Result<void> Activations::create(const Gpu& gpu, const Recording& recording, std::span<const Matrix> matrices,
                                 uint32_t token_rows, uint32_t logit_rows) {
  auto bytes = lay_out(gpu.properties(), recording, matrices, token_rows, logit_rows);
  if (!bytes) return pass_on(bytes);
  auto buffer = Buffer::create(gpu, *bytes, Placement::device, MemoryOwner::activations);
  if (!buffer) return pass_on(buffer);
  buffer_ = std::move(*buffer);
  return {};
}

Result<uint64_t> Activations::planned_bytes(const GpuProperties& gpu, const Recording& recording,
                                            std::span<const Matrix> matrices, uint32_t token_rows,
                                            uint32_t logit_rows) {
  return Activations().lay_out(gpu, recording, matrices, token_rows, logit_rows);
}

}  // namespace hearth::vulkan
