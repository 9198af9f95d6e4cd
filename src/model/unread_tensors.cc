#include "model/unread_tensors.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <string>

#include "base/printable.h"
#include "model/load_weights.h"

namespace hearth {
namespace {

/// K and V of a layer that reads another's: some checkpoints have them all the same.
bool is_replaced(const DecoderDescription& description, std::string_view name) {
  const TensorNames& n = description.names;
  for (uint32_t i = 0; i < description.config.layers.size(); ++i) {
    const auto* attention = std::get_if<AttentionConfig>(&description.config.layers[i].mixer);
    if (attention == nullptr || !attention->reads_layer) continue;
    for (const std::string& own : {n.k, n.v, n.k_norm}) {
      if (name == in_layer(own, i)) return true;
    }
  }
  return false;
}

/// Tensors beside the decoder, or that repeat what its configuration says.
bool is_harmless(const Checkpoint& checkpoint, const DecoderDescription& description, std::string_view name) {
  const size_t layers = description.config.layers.size();
  for (size_t i = layers; i < layers + description.extra_layers; ++i) {
    if (name.contains(fmt::format(".{}.", i))) return true;
  }
  if (is_replaced(description, name)) return true;
  // Applied with the ropes.
  if (checkpoint.kind() == CheckpointKind::gguf)
    return name == "rope_freqs.weight" || std::ranges::find(description.applied, name) != description.applied.end();
  constexpr std::array<std::string_view, 18> kVision = {"vision_tower.",
                                                        "vision_model.",
                                                        "visual.",
                                                        "multi_modal_projector.",
                                                        "model.vision_tower.",
                                                        "model.vision_model.",
                                                        "model.visual.",
                                                        "model.multi_modal_projector.",
                                                        "audio_tower.",
                                                        "model.audio_tower.",
                                                        "vision_language_adapter.",
                                                        "mm_projector.",
                                                        "connector.",
                                                        "model.connector.",
                                                        "image_newline",
                                                        "model.image_newline",
                                                        "model.embed_vision.",
                                                        "model.embed_audio."};
  const bool is_vision =
      std::ranges::any_of(kVision, [&](std::string_view prefix) { return name.starts_with(prefix); });
  // A head beside a tied embedding: families/family.cc has found them equal.
  const bool repeats = description.config.tied_embeddings && name == description.names.head;
  const bool predicts_more = name.starts_with("mtp.");  // tokens behind the next one
  return is_vision || repeats || predicts_more || name.ends_with(".rotary_emb.inv_freq");
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
  const auto list = list_weights(checkpoint, description);
  if (!list) return std::unexpected(list.error());
  std::vector<std::string> harmless, unread;
  for (const std::string& name : checkpoint.names()) {
    if (list->names.contains(name)) continue;
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
