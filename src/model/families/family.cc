#include "model/families/family.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "base/nearest_word.h"
#include "base/printable.h"
#include "model/families/hugging_face_fields.h"
#include "model/families/unread_keys.h"

namespace hearth {
namespace {

constexpr std::array kFamilies = {&kLlama,   &kQwen2,         &kQwen3,      &kMistral,    &kMinistral3, &kGemma2,
                                  &kGemma3,  &kGemma4,        &kPhi3,       &kOlmo,       &kGranite,    &kCohere2,
                                  &kSeedOss, &kSmolLM3,       &kGlm4,       &kExaone4,    &kErnie,      &kHunyuan,
                                  &kArcee,   &kApertus,       &kStarcoder2, &kStableLm,   &kQwen3Moe,   &kMixtral,
                                  &kGlm4Moe, &kMiniMaxM2,     &kGptOss,     &kLlama4,     &kLfm2,       &kQwen3Next,
                                  &kQwen35,  &kGraniteHybrid, &kNemotronH,  &kDeepseekV2, &kDeepseekV3, &kGlm4MoeLite};

/// What could be meant by a name that no family has.
std::string known(std::span<const std::string_view> Family::*names, std::string_view wanted) {
  std::vector<std::string_view> all;
  for (const Family* family : kFamilies) all.insert(all.end(), (family->*names).begin(), (family->*names).end());
  const std::string_view nearest = nearest_word(wanted, all);
  return fmt::format("{}hearth knows {}", nearest.empty() ? "" : fmt::format("the nearest is {}; ", nearest),
                     fmt::join(all, ", "));
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

/// Names begin with "model." in most checkpoints, with nothing in some, and with something longer where the decoder is
/// a part of a model that also sees or hears.
void find_prefix(const HuggingFaceDirectory& directory, TensorNames& names) {
  constexpr std::string_view kUsual = "model.";
  constexpr std::string_view kPrefixes[] = {"language_model.model.", "model.language_model.", "language_model.",
                                            "model.text_model.", ""};
  if (directory.contains(names.embedding)) return;
  const std::string embedding = names.embedding.substr(kUsual.size());
  const auto* prefix = std::ranges::find_if(
      kPrefixes, [&](std::string_view text) { return directory.contains(std::string(text) + embedding); });
  if (prefix == std::end(kPrefixes)) return;
  for (const auto member : kAllTensorNames) {
    std::string& name = names.*member;
    if (name.starts_with(kUsual)) name.replace(0, kUsual.size(), *prefix);
  }
  const std::string head = "language_model." + names.head;
  if (!directory.contains(names.head) && directory.contains(head)) names.head = head;
}

Result<DecoderDescription> describe(const HuggingFaceDirectory& directory) {
  auto description = describe_config(directory.config(), directory.path().string());
  if (!description) return description;
  if (directory.quantization_error()) return std::unexpected(*directory.quantization_error());
  find_prefix(directory, description->names);
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
                known(&Family::gguf_architectures, *architecture));
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
std::string_view wrong_with(const LatentAttentionConfig& c, const std::vector<RopeSpec>& ropes) {
  if (!in_range(c.heads, 4096)) return "number of heads";
  for (const uint32_t size : {c.nope_dim, c.rope_dim, c.value_dim, c.latent_dim}) {
    if (!in_range(size, kMostHeadDim)) return "head size";
  }
  if (c.q_rank > 1 << 20) return "rank of queries";
  if (!positive(c.scale)) return "scale";
  if (c.rope >= ropes.size()) return "rope";
  return ropes[c.rope].inverse_frequencies.size() * 2 > c.rope_dim ? "rope dimension" : "";
}

constexpr uint32_t kMostConvolutionRows = 16;

std::string_view wrong_with(const ShortConvolutionConfig& c, const std::vector<RopeSpec>&) {
  if (!in_range(c.channels, 1 << 20)) return "number of channels";
  return c.kernel >= 2 && c.kernel <= kMostConvolutionRows ? "" : "convolution";
}

std::string_view wrong_with(const GatedDeltaConfig& c, const std::vector<RopeSpec>&) {
  if (!in_range(c.heads, 4096) || !in_range(c.key_heads, c.heads) || c.heads % c.key_heads != 0) {
    return "number of a state's heads";
  }
  if (!in_range(c.key_dim, 1024) || !in_range(c.value_dim, 1024)) return "size of a state";
  return c.kernel >= 2 && c.kernel <= kMostConvolutionRows ? "" : "convolution";
}

std::string_view wrong_with(const Mamba2Config& c, const std::vector<RopeSpec>&) {
  if (!in_range(c.heads, 4096) || !in_range(c.groups, c.heads) || c.heads % c.groups != 0) {
    return "number of a state's heads";
  }
  if (!in_range(c.state_dim, 1024) || !in_range(c.head_dim, 1024)) return "size of a state";
  if (!(c.least_step >= 0 && c.least_step < 1)) return "least step";
  return c.kernel >= 2 && c.kernel <= kMostConvolutionRows ? "" : "convolution";
}

std::string_view wrong_with(const NoMixer&, const std::vector<RopeSpec>&) { return ""; }
std::string_view wrong_with(const NoFeedForward&, const std::vector<RopeSpec>&) { return ""; }

std::string_view wrong_with(const DenseConfig& dense, const std::vector<RopeSpec>&) {
  return in_range(dense.width, 1 << 22) ? "" : "feed-forward size";
}

std::string_view wrong_with(const ExpertsConfig& c, const std::vector<RopeSpec>&) {
  if (!in_range(c.experts, 1 << 14) || !in_range(c.chosen, std::min(c.experts, 256U))) return "number of experts";
  if (!in_range(c.width, 1 << 20) || c.shared_width > 1 << 22) return "experts' size";
  if (!in_range(c.groups, c.experts) || c.experts % c.groups != 0) return "number of groups of experts";
  if (!in_range(c.chosen_groups, c.groups) || c.chosen > c.experts / c.groups * c.chosen_groups) {
    return "number of chosen groups of experts";
  }
  return positive(c.scale) ? "" : "scale of experts";
}

std::string_view wrong_with(const DenseAndExpertsConfig& c, const std::vector<RopeSpec>& ropes) {
  const std::string_view wrong = wrong_with(c.dense, ropes);
  return wrong.empty() ? wrong_with(c.experts, ropes) : wrong;
}

/// A layer whose K and V another reads stands before it, has its own, and remembers the same.
bool reads_earlier_layer(const DecoderConfig& config, size_t layer) {
  const auto* reader = std::get_if<AttentionConfig>(&config.layers[layer].mixer);
  if (reader == nullptr || !reader->reads_layer) return true;
  if (*reader->reads_layer >= layer) return false;
  const auto* read = std::get_if<AttentionConfig>(&config.layers[*reader->reads_layer].mixer);
  return read != nullptr && !read->reads_layer && read->kv_heads == reader->kv_heads &&
         read->head_dim == reader->head_dim && read->window == reader->window;
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
  for (const float scale : {config.embedding_scale, config.branch_scale, config.logit_scale}) {
    if (!positive(scale)) wrong = "scale";
  }
  if (!(config.logit_softcap >= 0)) wrong = "soft cap";
  if (!std::ranges::all_of(config.ropes, makes_sense)) wrong = "rope";
  if (config.long_rope && !makes_sense(config.long_rope->rope)) wrong = "rope";
  if (const auto& inputs = config.layer_inputs) {
    if (!in_range(inputs->width, 1 << 16) || !in_range(inputs->layers, 4096)) wrong = "size of layers' inputs";
    if (inputs->layers < config.layers.size()) wrong = "number of layers' inputs";
  }
  for (size_t i = 0; i < config.layers.size(); ++i) {
    if (!reads_earlier_layer(config, i)) wrong = "layer whose keys and values another reads";
  }
  const auto look = [&](const auto& part) {
    if (wrong.empty()) wrong = wrong_with(part, config.ropes);
  };
  for (const LayerConfig& layer : config.layers) {
    std::visit(look, layer.mixer);
    std::visit(look, layer.feed_forward);
    const bool is_empty =
        std::holds_alternative<NoMixer>(layer.mixer) && std::holds_alternative<NoFeedForward>(layer.feed_forward);
    if (is_empty) wrong = "layer without parts";
  }
  if (wrong.empty()) return {};
  return fail(ErrorCode::corrupt, fmt::format("{}: its {} makes no sense", path, wrong));
}

/// The decoder's part of a model that also sees or hears. What stands beside it is said of the whole and counts first,
/// as in transformers 5; the decoder's own keys are read inside alone there, and refused outside here.
Result<nlohmann::json> text_config_of(const nlohmann::json& config, const std::string& path) {
  nlohmann::json text = config["text_config"];
  text.erase("text_config");  // once is enough
  for (const char* key : {"eos_token_id", "bos_token_id", "tie_word_embeddings"}) {
    // Embeddings are tied where either says so; a head that differs counts all the same (untie_if_different).
    const bool stays = text.value(key, nlohmann::json()) == true;
    if (config.contains(key) && !config[key].is_null() && !stays) text[key] = config[key];
  }
  if (const auto key = fields::key_beside_text_config(config, text)) {
    return fail(
        ErrorCode::unsupported,
        fmt::format("{}: config.json has {} beside its text_config, where nothing reads it", path, printable(*key)),
        "move it into text_config if the decoder is meant, or remove it");
  }
  return text;
}

}  // namespace

std::span<const Family* const> families() { return kFamilies; }

Result<DecoderDescription> describe_config(const nlohmann::json& config, const std::string& path) {
  if (config.contains("text_config") && config["text_config"].is_object()) {
    auto text = text_config_of(config, path);
    if (!text) return pass_on(text);
    return describe_config(*text, path);
  }
  const auto type = config.contains("model_type") && config["model_type"].is_string()
                        ? config["model_type"].get<std::string>()
                        : std::string();
  const Family* family = find_family(&Family::model_types, type);
  if (family == nullptr) {
    return fail(ErrorCode::unsupported, fmt::format("{}: model_type is '{}'", path, printable(type)),
                known(&Family::model_types, type));
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
