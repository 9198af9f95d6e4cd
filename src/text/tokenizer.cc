#include "text/tokenizer.h"

#include <algorithm>

#include "text/detokenizer.h"
#include "text/rust_bridge.h"
#include "text/tokenizer_config.h"

namespace hearth {
namespace {

int8_t flag(std::optional<bool> value) { return value ? static_cast<int8_t>(*value) : int8_t{-1}; }
int64_t id(std::optional<uint32_t> value) { return value ? int64_t{*value} : int64_t{-1}; }

std::vector<HearthSlice> slices(const std::vector<std::string>& texts) {
  std::vector<HearthSlice> result;
  result.reserve(texts.size());
  for (const std::string& text : texts) result.push_back(rust::slice(std::string_view(text)));
  return result;
}

}  // namespace

void Tokenizer::Free::operator()(HearthTokenizer* tokenizer) const { hearth_tokenizer_free(tokenizer); }

Tokenizer::Tokenizer(HearthTokenizer* tokenizer) : tokenizer_(tokenizer), byte_offsets_{0} {
  const HearthTokenizerFacts facts = hearth_tokenizer_describe(
      tokenizer, rust::append_to(bytes_), rust::append_to(byte_offsets_), rust::append_to(is_control_),
      rust::append_to(prefix_ids_), rust::append_to(suffix_ids_), rust::append_to(end_ids_));
  leading_spaces_dropped_ = facts.leading_spaces_dropped;
  is_of_library_ = facts.is_of_library;
}

Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::from_json(std::string_view tokenizer_json,
                                       std::optional<std::string_view> tokenizer_config_json) {
  TokenizerConfig config;
  if (tokenizer_config_json) {
    Result<TokenizerConfig> parsed = parse_tokenizer_config(*tokenizer_config_json);
    if (!parsed) return pass_on(parsed);
    config = std::move(*parsed);
  }
  const HearthTokenizerOptions options{.bos_text = rust::slice(config.bos_token),
                                       .eos_text = rust::slice(config.eos_token),
                                       .unknown_text = rust::slice(config.unk_token),
                                       .add_bos = flag(config.add_bos_token),
                                       .add_eos = flag(config.add_eos_token)};
  HearthTokenizer* created = nullptr;
  std::string error;
  const int32_t status =
      hearth_tokenizer_from_json(rust::slice(tokenizer_json), &options, &created, rust::append_to(error));
  if (status != 0) return rust::failure(status, std::move(error));
  Tokenizer tokenizer(created);
  tokenizer.bos_text_ = std::move(config.bos_token);
  tokenizer.eos_text_ = std::move(config.eos_token);
  return tokenizer;
}

Result<Tokenizer> Tokenizer::from_gguf(const GgufVocabulary& vocabulary) {
  const std::vector<HearthSlice> tokens = slices(vocabulary.tokens);
  const std::vector<HearthSlice> merges = slices(vocabulary.merges);
  const HearthGgufTables tables{.model = rust::slice(std::string_view(vocabulary.model)),
                                .pre = rust::slice(std::string_view(vocabulary.pre)),
                                .tokens = tokens.data(),
                                .token_count = tokens.size(),
                                .scores = vocabulary.scores.data(),
                                .score_count = vocabulary.scores.size(),
                                .types = vocabulary.token_types.data(),
                                .type_count = vocabulary.token_types.size(),
                                .merges = merges.data(),
                                .merge_count = merges.size()};
  const HearthTokenizerOptions options{.bos = id(vocabulary.bos),
                                       .eos = id(vocabulary.eos),
                                       .eot = id(vocabulary.eot),
                                       .unknown = id(vocabulary.unknown),
                                       .add_bos = flag(vocabulary.add_bos),
                                       .add_eos = flag(vocabulary.add_eos),
                                       .add_space_prefix = flag(vocabulary.add_space_prefix)};
  HearthTokenizer* created = nullptr;
  std::string error;
  const int32_t status = hearth_tokenizer_from_gguf(&tables, &options, &created, rust::append_to(error));
  if (status != 0) return rust::failure(status, std::move(error));
  Tokenizer tokenizer(created);
  if (vocabulary.bos) tokenizer.bos_text_ = vocabulary.tokens[*vocabulary.bos];
  if (vocabulary.eos) tokenizer.eos_text_ = vocabulary.tokens[*vocabulary.eos];
  return tokenizer;
}

Result<std::vector<uint32_t>> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  const HearthTextSegment segment{rust::slice(text), options.allow_special};
  auto ids = encode_borrowed({&segment, 1}, options.max_tokens);
  if (!ids || !options.add_special || ids->size() == options.max_tokens + 1) return ids;
  ids->insert(ids->begin(), prefix_ids_.begin(), prefix_ids_.end());
  ids->insert(ids->end(), suffix_ids_.begin(), suffix_ids_.end());
  return ids;
}

Result<std::vector<uint32_t>> Tokenizer::encode(std::span<const TextSegment> segments, size_t max_tokens) const {
  std::vector<HearthTextSegment> borrowed;
  borrowed.reserve(segments.size());
  for (const TextSegment& segment : segments) {
    borrowed.push_back({rust::slice(std::string_view(segment.text)), segment.is_template});
  }
  return encode_borrowed(borrowed, max_tokens);
}

Result<std::vector<uint32_t>> Tokenizer::encode_borrowed(std::span<const HearthTextSegment> segments,
                                                         size_t max_tokens) const {
  std::vector<uint32_t> ids;
  std::string error;
  const int32_t status = hearth_tokenizer_encode(tokenizer_.get(), segments.data(), segments.size(), max_tokens,
                                                 rust::append_to(ids), rust::append_to(error));
  if (status != 0) return rust::failure(status, std::move(error));
  return ids;
}

std::string Tokenizer::decode(std::span<const uint32_t> ids, DecodeOptions options) const {
  StreamingDetokenizer stream(*this, options);
  std::string text;
  for (const uint32_t id : ids) text += stream.push(id);
  return text + stream.flush();
}

std::string_view Tokenizer::token_bytes(uint32_t id) const {
  if (id >= is_control_.size()) return {};
  return std::string_view(bytes_).substr(byte_offsets_[id], byte_offsets_[id + 1] - byte_offsets_[id]);
}

std::optional<uint32_t> Tokenizer::id_of(std::string_view text) const {
  const int64_t found = hearth_tokenizer_id_of(tokenizer_.get(), rust::slice(text));
  if (found < 0) return std::nullopt;
  return static_cast<uint32_t>(found);
}

bool Tokenizer::is_end(uint32_t id) const { return std::ranges::binary_search(end_ids_, id); }

}  // namespace hearth
