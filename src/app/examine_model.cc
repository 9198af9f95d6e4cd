#include "app/examine_model.h"

#include <fmt/format.h>

#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "app/load_text.h"
#include "base/printable.h"
#include "formats/codings/stored_tensors.h"
#include "formats/gguf.h"
#include "formats/huggingface.h"
#include "formats/tensor_coding.h"
#include "model/families/family.h"
#include "model/load_weights.h"
#include "model/unread_tensors.h"
#include "tensor/recode.h"

namespace hearth::app {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const Error& error, const char* keeps_from) {
  return {{"keeps_from", keeps_from}, {"because", error.message}, {"remedy", error.hint}};
}

std::string kind_of(const Checkpoint& checkpoint) {
  if (const Gguf* gguf = checkpoint.as_gguf()) return fmt::format("GGUF, version {}", gguf->version());
  return "Hugging Face directory";
}

Json files_of(const Checkpoint& checkpoint) {
  Json files = Json::array();
  for (uint32_t i = 0; i < checkpoint.file_count(); ++i) {
    const File& file = checkpoint.file(i);
    files.push_back({{"path", printable(file.path().native(), 1024)}, {"bytes", file.size_bytes()}});
  }
  return files;
}

struct Sum {
  uint64_t tensors = 0, values = 0, bytes = 0;

  void add(const TensorInfo& tensor) {
    ++tensors;
    values += codings::values_of(tensor);
    bytes += tensor.bytes;
  }
};

/// What people call it: "q4_0", "int4, groups of 128".
std::string encoding_of(const TensorInfo& tensor) {
  return tensor.coding ? tensor.coding->description() : std::string(traits(tensor.format).name);
}

using Names = std::set<std::string, std::less<>>;

/// Of all tensors, or of those that are read.
Json formats_of(const Checkpoint& checkpoint, const std::optional<Names>& read) {
  std::map<std::tuple<NumberFormat, std::string>, Sum> sums;
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    if (read && !read->contains(tensor.name)) continue;
    sums[{tensor.format, encoding_of(tensor)}].add(tensor);
  }
  Json formats = Json::array();
  for (const auto& [key, sum] : sums) {
    const auto& [format, encoding] = key;
    const NumberFormat held = held_as(format);
    formats.push_back({{"format", encoding},
                       {"tensors", sum.tensors},
                       {"values", sum.values},
                       {"bytes", sum.bytes},
                       {"held_as", traits(held).name},
                       {"held_bytes", bytes_of(held, sum.values)}});
  }
  return formats;
}

/// What the decoder has no use for, such as a vision tower.
Json not_read(const Checkpoint& checkpoint, const std::optional<Names>& read) {
  Sum sum;
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    if (read && !read->contains(tensor.name)) sum.add(tensor);
  }
  return {{"tensors", sum.tensors}, {"bytes", sum.bytes}};
}

Json tensors_of(const Checkpoint& checkpoint) {
  Json tensors = Json::array();
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    tensors.push_back({{"name", printable(tensor.name)},
                       {"format", encoding_of(tensor)},
                       {"shape", tensor.shape},
                       {"file", tensor.file},
                       {"offset", tensor.offset},
                       {"bytes", tensor.bytes}});
  }
  return tensors;
}

/// "attention over 1024 positions", "attention", ...
std::string mixer_text(const LayerConfig& layer) {
  struct Text {
    std::string operator()(const AttentionConfig& c) const {
      const std::string heads =
          fmt::format("attention of {} heads of {}, {} of K and V", c.heads, c.head_dim, c.kv_heads);
      return c.window > 0 ? heads + fmt::format(", over {} positions", c.window) : heads;
    }
    std::string operator()(const LatentAttentionConfig& c) const {
      return fmt::format("latent attention of {} heads, rank {}", c.heads, c.latent_dim);
    }
    std::string operator()(const ShortConvolutionConfig& c) const {
      return fmt::format("convolution over {} tokens", c.kernel);
    }
    std::string operator()(const GatedDeltaConfig& c) const {
      return fmt::format("gated delta rule of {} heads", c.heads);
    }
    std::string operator()(const Mamba2Config& c) const { return fmt::format("Mamba 2 of {} heads", c.heads); }
    std::string operator()(const NoMixer&) const { return {}; }
  };
  return std::visit(Text{}, layer.mixer);
}

std::string feed_forward_text(const LayerConfig& layer) {
  struct Text {
    std::string operator()(const DenseConfig& c) const { return fmt::format("feed-forward of {}", c.width); }
    std::string operator()(const ExpertsConfig& c) const {
      const std::string text = fmt::format("{} of {} experts of {}", c.chosen, c.experts, c.width);
      return c.shared_width > 0 ? text + fmt::format(" and a shared one of {}", c.shared_width) : text;
    }
    std::string operator()(const DenseAndExpertsConfig& c) const {
      return (*this)(c.dense) + " beside " + (*this)(c.experts);
    }
    std::string operator()(const NoFeedForward&) const { return {}; }
  };
  return std::visit(Text{}, layer.feed_forward);
}

/// How many layers have each kind of part.
Json parts_of(const DecoderConfig& config) {
  std::map<std::string, uint32_t> counts;
  for (const LayerConfig& layer : config.layers) {
    ++counts[mixer_text(layer)];
    ++counts[feed_forward_text(layer)];
  }
  counts.erase("");
  Json parts = Json::array();
  for (const auto& [part, layers] : counts) parts.push_back({{"part", part}, {"layers", layers}});
  return parts;
}

Json decoder_of(const DecoderDescription& description) {
  const DecoderConfig& config = description.config;
  return {{"family", config.family},          {"layers", config.layers.size()},
          {"hidden", config.hidden},          {"vocabulary", config.vocabulary},
          {"context", config.context_length}, {"tied_embeddings", config.tied_embeddings},
          {"parts", parts_of(config)},        {"unknown_keys", description.unknown_keys}};
}

/// Where the tokenizer and the template would come from.
std::pair<std::string, std::string> text_sources(const Checkpoint& checkpoint) {
  if (checkpoint.as_gguf() != nullptr) return {"tokenizer.ggml.* of the file", "tokenizer.chat_template of the file"};
  const auto& folder = *checkpoint.as_hugging_face();
  const std::string tokenizer = folder.tokenizer_path() ? "tokenizer.json" : "";
  for (const char* name : {"chat_template.jinja", "chat_template.json"}) {
    std::error_code error;
    if (std::filesystem::exists(checkpoint.path() / name, error)) return {tokenizer, name};
  }
  return {tokenizer, "tokenizer_config.json"};
}

Json sampling_of(const SamplingParams& sampling) {
  return {{"temperature", sampling.temperature},
          {"top_k", sampling.top_k},
          {"top_p", sampling.top_p},
          {"min_p", sampling.min_p},
          {"repetition_penalty", sampling.repetition_penalty}};
}

void add_text(const Checkpoint& checkpoint, Json& report) {
  const auto [tokenizer_source, template_source] = text_sources(checkpoint);
  auto text = load_text(checkpoint);
  Json& obstacles = report["obstacles"];
  if (!text) return obstacles.push_back(json_of(text.error(), "serving"));
  report["sampling"] = sampling_of(text->default_sampling);
  if (text->tokenizer == nullptr) {
    obstacles.push_back(
        {{"keeps_from", "text"}, {"because", "there is no vocabulary"}, {"remedy", "prompts must be token ids"}});
    return;
  }
  report["tokenizer"] = {{"source", tokenizer_source}, {"tokens", text->tokenizer->vocabulary_size()}};
  if (text->chat_template_error) obstacles.push_back(json_of(*text->chat_template_error, "chat"));
  if (text->chat_template != nullptr) {
    report["chat_template"] = {{"source", template_source}};
  } else if (!text->chat_template_error) {
    obstacles.push_back({{"keeps_from", "chat"},
                         {"because", "there is no chat template, as in models that only complete text"},
                         {"remedy", "use completions, or give one with --chat-template"}});
  }
}

/// What it reads of the tensors, where that is known.
std::optional<Names> add_decoder(const Checkpoint& checkpoint, Json& report) {
  auto description = describe_decoder(checkpoint);
  if (!description) {
    report["obstacles"].push_back(json_of(description.error(), "serving"));
    return {};
  }
  report["decoder"] = decoder_of(*description);
  // Which also looks for every tensor that the family needs.
  if (auto checked = check_unread_tensors(checkpoint, *description); !checked) {
    report["obstacles"].push_back(json_of(checked.error(), "serving"));
    return {};
  }
  auto list = list_weights(checkpoint, *description);
  return list ? std::optional(std::move(list->names)) : std::nullopt;
}

}  // namespace

Json examine_model(const Checkpoint& checkpoint, bool with_tensors) {
  Json report = {{"model", printable(checkpoint.path().native(), 1024)},
                 {"kind", kind_of(checkpoint)},
                 {"files", files_of(checkpoint)},
                 {"coded_as", checkpoint.as_hugging_face() ? checkpoint.as_hugging_face()->coded_as() : ""},
                 {"formats", nullptr},
                 {"not_read", nullptr},
                 {"decoder", nullptr},
                 {"tokenizer", nullptr},
                 {"chat_template", nullptr},
                 {"sampling", nullptr},
                 {"obstacles", Json::array()}};
  const std::optional<Names> read = add_decoder(checkpoint, report);
  report["formats"] = formats_of(checkpoint, read);
  report["not_read"] = not_read(checkpoint, read);
  add_text(checkpoint, report);
  if (with_tensors) report["tensors"] = tensors_of(checkpoint);
  return report;
}

}  // namespace hearth::app
