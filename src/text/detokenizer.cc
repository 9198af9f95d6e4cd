#include "text/detokenizer.h"

namespace hearth {

StreamingDetokenizer::StreamingDetokenizer(const Tokenizer& tokenizer, DecodeOptions options)
    : tokenizer_(&tokenizer),
      skip_special_(options.skip_special),
      droppable_spaces_(options.starts_text ? tokenizer.leading_spaces_dropped() : 0) {}

std::string StreamingDetokenizer::push(uint32_t id) {
  if (skip_special_ && tokenizer_->is_control(id)) return {};
  std::string_view bytes = tokenizer_->token_bytes(id);
  while (droppable_spaces_ > 0 && bytes.starts_with(' ')) {
    bytes.remove_prefix(1);
    --droppable_spaces_;
  }
  if (!bytes.empty()) droppable_spaces_ = 0;
  return utf8_.push(bytes);
}

std::string StreamingDetokenizer::flush() { return utf8_.flush(); }

}  // namespace hearth
