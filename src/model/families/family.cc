#include "model/families/family.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "base/printable.h"
#include "model/families/hugging_face_fields.h"

namespace hearth {
namespace {

constexpr std::array<const Family*, 6> kFamilies = {&kLlama, &kQwen2, &kQwen3, &kMistral, &kGemma2, &kGemma3};

std::string known(std::span<const std::string_view> Family::*names) {
  std::vector<std::string_view> all;
  for (const Family* family : kFamilies) all.insert(all.end(), (family->*names).begin(), (family->*names).end());
  return fmt::format("hearth knows {}", fmt::join(all, ", "));
}

const Family* find_family(std::span<const std::string_view> Family::*names, std::string_view wanted) {
  const auto* found = std::ranges::find_if(kFamilies, [&](const Family* family) {
    return std::ranges::find(family->*names, wanted) != (family->*names).end();
  });
  return found == kFamilies.end() ? nullptr : *found;
}

/// A checkpoint may repeat a tied embedding as its head. Where they differ it is the head that counts, as in
/// transformers 5.
Result<void> untie_if_different(const HuggingFaceDirectory& directory, DecoderDescription& description) {
  auto embedding = directory.find(description.names.embedding), head = directory.find(description.names.head);
  if (!description.config.tied_embeddings || !directory.contains(description.names.head) || !embedding) return {};
  if (!head) return pass_on(head);
  description.config.tied_embeddings = head->format == embedding->format && head->bytes == embedding->bytes;
  constexpr uint64_t kPieceBytes = 1 << 20;
  std::vector<std::byte> a, b;
  for (uint64_t at = 0; at < head->bytes && description.config.tied_embeddings; at += kPieceBytes) {
    a.resize(std::min(kPieceBytes, head->bytes - at));
    b.resize(a.size());
    if (auto read = directory.read(*embedding, at, a); !read) return read;
    if (auto read = directory.read(*head, at, b); !read) return read;
    description.config.tied_embeddings = a == b;
  }
  return {};
}

Result<DecoderDescription> describe(const HuggingFaceDirectory& directory) {
  auto description = describe_config(directory.config(), directory.path().string());
  if (!description) return description;
  if (auto checked = untie_if_different(directory, *description); !checked) return pass_on(checked);
  // generation_config.json is the later word on where a text ends.
  const auto end = fields::token_ids(directory.generation_config(), "eos_token_id");
  if (!end.empty()) description->config.end_tokens = end;
  return description;
}

Result<DecoderDescription> describe(const Gguf& gguf) {
  const auto architecture = gguf.metadata().get_string("general.architecture");
  if (!architecture) return std::unexpected(architecture.error());
  const Family* family = find_family(&Family::gguf_architectures, *architecture);
  if (family == nullptr) {
    return fail(ErrorCode::unsupported,
                fmt::format("{}: general.architecture is '{}'", gguf.path().string(), *architecture),
                known(&Family::gguf_architectures));
  }
  return family->from_gguf(gguf);
}

bool in_range(uint64_t value, uint64_t most) { return value > 0 && value <= most; }
bool positive(float number) { return std::isfinite(number) && number > 0; }

/// What makes no sense of a layer; nothing where all does.
std::string_view wrong_with(const AttentionConfig& attention, const std::vector<RopeSpec>& ropes) {
  if (!in_range(attention.heads, 4096) || !in_range(attention.kv_heads, 4096)) return "number of heads";
  if (!in_range(attention.head_dim, kMostHeadDim) || attention.head_dim % 2 != 0) return "head size";
  if (attention.heads % attention.kv_heads != 0) return "ratio of heads to KV heads";
  if (!positive(attention.scale)) return "scale";
  if (!(attention.softcap >= 0)) return "soft cap";
  if (!attention.rope) return {};
  if (*attention.rope >= ropes.size()) return "rope";
  return ropes[*attention.rope].inverse_frequencies.size() * 2 > attention.head_dim ? "rope dimension" : "";
}
std::string_view wrong_with(const DenseConfig& dense, const std::vector<RopeSpec>&) {
  return in_range(dense.width, 1 << 22) ? "" : "feed-forward size";
}

bool makes_sense(const RopeSpec& rope) {
  const bool finite = std::ranges::all_of(rope.inverse_frequencies, [](float f) { return std::isfinite(f); });
  return finite && positive(rope.magnitude);
}

/// Numbers from files decide about allocations and loops, so each has a ceiling far above any real model's.
Result<void> check(const DecoderConfig& config, const std::string& path) {
  std::string_view wrong;
  if (!in_range(config.hidden, 1 << 20)) wrong = "hidden size";
  if (!in_range(config.layers.size(), 4096)) wrong = "number of layers";
  if (!in_range(config.vocabulary, 1 << 24)) wrong = "vocabulary size";
  if (!in_range(config.context_length, 1U << 30)) wrong = "context length";
  if (!(config.norm_epsilon >= 0 && config.norm_epsilon < 1)) wrong = "norm epsilon";
  if (!positive(config.embedding_scale)) wrong = "scale";
  if (!(config.logit_softcap >= 0)) wrong = "soft cap";
  if (!std::ranges::all_of(config.ropes, makes_sense)) wrong = "rope";
  const auto look = [&](const auto& part) {
    if (wrong.empty()) wrong = wrong_with(part, config.ropes);
  };
  for (const LayerConfig& layer : config.layers) {
    std::visit(look, layer.mixer);
    std::visit(look, layer.feed_forward);
  }
  if (wrong.empty()) return {};
  return fail(ErrorCode::corrupt, fmt::format("{}: its {} makes no sense", path, wrong));
}

}  // namespace

std::span<const Family* const> families() { return kFamilies; }

Result<DecoderDescription> describe_config(const nlohmann::json& config, const std::string& path) {
  const auto type = config.contains("model_type") && config["model_type"].is_string()
                        ? config["model_type"].get<std::string>()
                        : std::string();
  const Family* family = find_family(&Family::model_types, type);
  if (family == nullptr) {
    return fail(ErrorCode::unsupported, fmt::format("{}: model_type is '{}'", path, printable(type)),
                known(&Family::model_types));
  }
  if (config.contains("quantization_config") && !config["quantization_config"].is_null()) {
    return fail(ErrorCode::unsupported, fmt::format("{}: config.json has a quantization_config", path),
                "use the bf16, f16 or f32 checkpoint, or a GGUF");
  }
  auto description = family->from_hugging_face(config);
  if (!description) return description;
  if (auto checked = check(description->config, path); !checked) return pass_on(checked);
  return description;
}

Result<DecoderDescription> describe_decoder(const Checkpoint& checkpoint) {
  auto description =
      checkpoint.as_gguf() != nullptr ? describe(*checkpoint.as_gguf()) : describe(*checkpoint.as_hugging_face());
  if (!description) return description;
  if (auto checked = check(description->config, checkpoint.path().string()); !checked) return pass_on(checked);
  return description;
}

}  // namespace hearth
