#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hearth {

/// The vocabulary in a GGUF file's metadata; each field is the key `tokenizer.ggml.<name in the comment>`.
struct GgufVocabulary {
  std::string model;  ///< model: "gpt2" (byte-level BPE), "llama" (SentencePiece) or "gemma4" (as it, with merges)
  std::string pre;    ///< pre: how byte-level BPE cuts text into words; for "gpt2"
  std::vector<std::string> tokens;   ///< tokens
  std::vector<float> scores;         ///< scores; one for each token of a "llama" vocabulary
  std::vector<int32_t> token_types;  ///< token_type: 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte
  std::vector<std::string> merges;   ///< merges, each two tokens with a space between them; for "gpt2" and "gemma4"
  std::optional<uint32_t> bos;       ///< bos_token_id
  std::optional<uint32_t> eos;       ///< eos_token_id
  std::optional<uint32_t> eot;       ///< eot_token_id
  std::optional<uint32_t> unknown;   ///< unknown_token_id
  std::optional<bool> add_bos;       ///< add_bos_token
  std::optional<bool> add_eos;       ///< add_eos_token
  std::optional<bool> add_space_prefix;  ///< add_space_prefix; "llama" vocabularies put a space first by default

  bool operator==(const GgufVocabulary&) const = default;
};

}  // namespace hearth
