#include "engine/output_text.h"

namespace hearth {

OutputText::OutputText(const Tokenizer* tokenizer, const Request& request) : stop_strings_(request.stop) {
  if (tokenizer == nullptr) return;
  detokenizer_.emplace(*tokenizer, DecodeOptions{.skip_special = request.skip_special_tokens, .starts_text = false});
}

std::optional<std::string> OutputText::push(int32_t token, bool stops_count, std::string& out) {
  if (!detokenizer_) return std::nullopt;
  const std::string piece = detokenizer_->push(static_cast<uint32_t>(token));
  if (stops_count) return stop_strings_.push(piece, out);
  out += piece;
  return std::nullopt;
}

std::optional<std::string> OutputText::flush(std::string& out) {
  if (!detokenizer_) return std::nullopt;
  std::optional<std::string> matched = stop_strings_.push(detokenizer_->flush(), out);
  if (!matched) stop_strings_.flush(out);
  return matched;
}

}  // namespace hearth
