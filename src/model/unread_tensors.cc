#include "model/unread_tensors.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <string>
#include <unordered_set>

#include "base/printable.h"

namespace hearth {
namespace {

/// Every name that the description gives a tensor, for all its layers.
std::unordered_set<std::string> names_of(const DecoderDescription& description) {
  const TensorNames& n = description.names;
  std::unordered_set<std::string> names;
  names.insert(n.embedding);
  names.insert(n.output_norm);
  if (!description.config.tied_embeddings) names.insert(n.head);
  for (uint32_t layer = 0; layer < description.config.layers.size(); ++layer) {
    for (const std::string* name : {&n.attention_norm,
                                    &n.q,
                                    &n.k,
                                    &n.v,
                                    &n.q_bias,
                                    &n.k_bias,
                                    &n.v_bias,
                                    &n.q_norm,
                                    &n.k_norm,
                                    &n.output,
                                    &n.output_bias,
                                    &n.attention_post_norm,
                                    &n.feed_forward_norm,
                                    &n.gate,
                                    &n.up,
                                    &n.down,
                                    &n.gate_bias,
                                    &n.up_bias,
                                    &n.down_bias,
                                    &n.feed_forward_post_norm}) {
      if (!name->empty()) names.insert(in_layer(*name, layer));
    }
  }
  return names;
}

/// Tensors beside the decoder, or that repeat what its configuration says.
bool is_harmless(const Checkpoint& checkpoint, const DecoderDescription& description, std::string_view name) {
  if (checkpoint.kind() == CheckpointKind::gguf) return name == "rope_freqs.weight";  // applied with the ropes
  constexpr std::array<std::string_view, 5> kVision = {"vision_tower.", "vision_model.", "visual.", "model.visual.",
                                                       "multi_modal_projector."};
  const bool is_vision =
      std::ranges::any_of(kVision, [&](std::string_view prefix) { return name.starts_with(prefix); });
  // A head beside a tied embedding: families/family.cc has found them equal.
  const bool repeats = description.config.tied_embeddings && name == description.names.head;
  return is_vision || repeats || name.ends_with(".rotary_emb.inv_freq");
}

/// "a, b and 7 more"
std::string some_of(const std::vector<std::string>& names) {
  constexpr size_t kShown = 3;
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i) text += (i == 0 ? "" : ", ") + printable(names[i]);
  if (names.size() > kShown) text += fmt::format(" and {} more", names.size() - kShown);
  return text;
}

}  // namespace

Result<void> check_unread_tensors(const Checkpoint& checkpoint, const DecoderDescription& description) {
  const std::unordered_set<std::string> read = names_of(description);
  std::vector<std::string> harmless, unread;
  for (const std::string& name : checkpoint.names()) {
    if (read.contains(name)) continue;
    (is_harmless(checkpoint, description, name) ? harmless : unread).push_back(name);
  }
  if (!unread.empty()) {
    return fail(ErrorCode::unsupported,
                fmt::format("{}: hearth has no use for {} in a decoder of the family {} with {} layers",
                            printable(checkpoint.path().native(), 1024), some_of(unread), description.config.family,
                            description.config.layers.size()),
                "without them it would compute something else than the model");
  }
  if (!harmless.empty()) spdlog::info("not needed in the checkpoint: {}", some_of(harmless));
  return {};
}

}  // namespace hearth
