#include "server/openai/logprobs.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/utf8_stream.h"

namespace hearth {
namespace {

using nlohmann::ordered_json;

/// JSON has no infinity; OpenAI writes this for a token that could not come.
constexpr float kLowestLogprob = -9999.0F;

std::string_view token_bytes(const Tokenizer* tokenizer, int32_t token) {
  return tokenizer != nullptr && token >= 0 ? tokenizer->token_bytes(static_cast<uint32_t>(token)) : "";
}

float logprob_value(const TokenLogprob& token) { return std::max(token.logprob, kLowestLogprob); }

ordered_json chat_entry(const Tokenizer* tokenizer, const TokenLogprob& token) {
  ordered_json bytes = ordered_json::array();
  for (const char byte : token_bytes(tokenizer, token.token)) bytes.push_back(static_cast<unsigned char>(byte));
  return {
      {"token", token_text(tokenizer, token.token)}, {"logprob", logprob_value(token)}, {"bytes", std::move(bytes)}};
}

}  // namespace

std::string token_text(const Tokenizer* tokenizer, int32_t token) {
  Utf8Stream stream;
  std::string text = stream.push(token_bytes(tokenizer, token));
  return text + stream.flush();
}

namespace {

/// What text completions call a token: its text; "bytes:\\xe4\\xb8" where that is not whole characters, as OpenAI
/// writes it, since all of those read the same; and its id where it has no text.
std::string token_name(const Tokenizer* tokenizer, int32_t token) {
  const std::string_view bytes = token_bytes(tokenizer, token);
  if (bytes.empty()) return fmt::format("token_id:{}", token);
  std::string text = token_text(tokenizer, token);
  if (text == bytes) return text;
  std::string name = "bytes:";
  for (const char byte : bytes) name += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
  return name;
}

/// The alternatives by name. Where two tokens have one name (a letter and the byte that spells it), the one that comes
/// first keeps it, and the other is named by its id, so that none is lost.
ordered_json alternatives(const Tokenizer* tokenizer, const TokenLogprobs& token) {
  ordered_json by_name = {{token_name(tokenizer, token.chosen.token), logprob_value(token.chosen)}};
  for (const TokenLogprob& alternative : token.top) {
    if (alternative.token == token.chosen.token) continue;
    const std::string name = token_name(tokenizer, alternative.token);
    const bool is_taken = by_name.contains(name);
    by_name[is_taken ? fmt::format("token_id:{}", alternative.token) : name] = logprob_value(alternative);
  }
  return by_name;
}

}  // namespace

size_t count_code_points(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](unsigned char byte) { return (byte & 0xC0U) != 0x80U; }));
}

ordered_json chat_logprobs(const Tokenizer* tokenizer, std::span<const TokenLogprobs> tokens) {
  ordered_json content = ordered_json::array();
  for (const TokenLogprobs& token : tokens) {
    ordered_json entry = chat_entry(tokenizer, token.chosen);
    ordered_json& top = entry["top_logprobs"] = ordered_json::array();
    for (const TokenLogprob& alternative : token.top) top.push_back(chat_entry(tokenizer, alternative));
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

CompletionLogprobs::CompletionLogprobs(const Tokenizer* tokenizer, DecodeOptions options, size_t text_offset)
    : tokenizer_(tokenizer), text_offset_(text_offset) {
  if (tokenizer != nullptr) detokenizer_.emplace(*tokenizer, options);
}

ordered_json CompletionLogprobs::empty() {
  return {{"tokens", ordered_json::array()},
          {"token_logprobs", ordered_json::array()},
          {"top_logprobs", ordered_json::array()},
          {"text_offset", ordered_json::array()}};
}

void CompletionLogprobs::append(ordered_json& to, std::span<const TokenLogprobs> tokens, bool first_has_logprob) {
  bool has_logprob = first_has_logprob;
  for (const TokenLogprobs& token : tokens) {
    ordered_json logprob = nullptr, top = nullptr;
    if (has_logprob) {
      logprob = logprob_value(token.chosen);
      top = alternatives(tokenizer_, token);
    }
    has_logprob = true;
    to["tokens"].push_back(token_name(tokenizer_, token.chosen.token));
    to["token_logprobs"].push_back(std::move(logprob));
    to["top_logprobs"].push_back(std::move(top));
    to["text_offset"].push_back(text_offset_);
    if (detokenizer_ && token.chosen.token >= 0) {
      text_offset_ += count_code_points(detokenizer_->push(static_cast<uint32_t>(token.chosen.token)));
    }
  }
}

}  // namespace hearth
