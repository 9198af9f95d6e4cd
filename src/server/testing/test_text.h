#pragma once

#include <fmt/format.h>

#include <stdexcept>

#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace hearth {

/// A vocabulary of 3 control tokens, the 256 bytes (byte b is token 3 + b), and the space.
inline Tokenizer make_test_tokenizer() {
  GgufVocabulary vocabulary{.model = "llama", .pre = "", .tokens = {"<unk>", "<s>", "</s>"}};
  vocabulary.token_types = {2, 3, 3};
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary.tokens.push_back(fmt::format("<0x{:02X}>", byte));
    vocabulary.token_types.push_back(6);
  }
  vocabulary.tokens.push_back("▁");
  vocabulary.token_types.push_back(1);
  vocabulary.scores.assign(vocabulary.tokens.size(), 0.0F);
  vocabulary.bos = 1;
  vocabulary.eos = 2;
  vocabulary.unknown = 0;
  vocabulary.add_bos = true;
  vocabulary.add_space_prefix = false;
  auto tokenizer = Tokenizer::from_gguf(vocabulary);
  if (!tokenizer) throw std::runtime_error(to_string(tokenizer.error()));
  return *std::move(tokenizer);
}

inline constexpr int32_t kSpaceToken = 259;
inline constexpr uint32_t kTestVocabularySize = 260;

/// <s>user: hello</s><s>assistant:
inline ChatTemplate make_test_template() {
  constexpr const char* kSource =
      "{% for m in messages %}{% if m.role == 'system' and not loop.first %}"
      "{{ raise_exception('system comes first') }}{% endif %}"
      "<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}"
      "{% if add_generation_prompt %}<s>assistant:{% endif %}";
  auto chat_template = ChatTemplate::from_source(kSource, "<s>", "</s>");
  if (!chat_template) throw std::runtime_error(to_string(chat_template.error()));
  return *std::move(chat_template);
}

}  // namespace hearth
