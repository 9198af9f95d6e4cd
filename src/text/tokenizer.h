#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/gguf_vocabulary.h"
#include "text/text_segment.h"

struct HearthTextSegment;
struct HearthTokenizer;

namespace hearth {

inline constexpr size_t kAnyNumberOfTokens = SIZE_MAX - 1;

struct EncodeOptions {
  /// Whether the text may spell control tokens. Only for text whose writer may steer the model: a template, a raw
  /// completion's client; never a user's message.
  bool allow_special = false;
  /// Whether to put the ids before and after the text that the model was trained with (begin of sequence, usually).
  /// For raw completions; chat templates write them out themselves.
  bool add_special = false;
  /// Where the text has surely more ids, not all are worked out: the result is this many and one more, and they mean
  /// nothing. Any other result is whole.
  size_t max_tokens = kAnyNumberOfTokens;
};

struct DecodeOptions {
  /// Leaves out control tokens.
  bool skip_special = true;
  /// Whether the ids begin a text: vocabularies that put a space before each text drop it again there. False for the
  /// ids that a model generates after a prompt.
  bool starts_text = true;
};

/// Text to token ids and back. Immutable: all functions may be called from several threads at once.
class Tokenizer {
 public:
  /// From the bytes of a tokenizer.json and, where there is one, of the tokenizer_config.json beside it.
  /// `corrupt` or `unsupported` where they cannot be used.
  static Result<Tokenizer> from_json(std::string_view tokenizer_json,
                                     std::optional<std::string_view> tokenizer_config_json = std::nullopt);

  /// `unsupported` when the vocabulary's model or pre-tokenizer is not known, `corrupt` when it contradicts itself.
  static Result<Tokenizer> from_gguf(const GgufVocabulary& vocabulary);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// `invalid_argument` when `text` is not valid UTF-8, `out_of_memory` when a long text needs more than there is. Long
  /// texts wait for one another.
  Result<std::vector<uint32_t>> encode(std::string_view text, EncodeOptions options = {}) const;

  /// The ids of a rendered chat: those of the concatenated text, but that a control token comes only from text that
  /// lies wholly in neighbouring template segments. Adds no ids before or after. `max_tokens` and
  /// errors are as above.
  Result<std::vector<uint32_t>> encode(std::span<const TextSegment> segments,
                                       size_t max_tokens = kAnyNumberOfTokens) const;

  /// How many ids add_special puts before a text.
  size_t ids_before_text() const { return prefix_ids_.size(); }

  /// The text of the ids, as valid UTF-8 (see Utf8Stream). Ids outside the vocabulary have no text.
  std::string decode(std::span<const uint32_t> ids, DecodeOptions options = {}) const;

  /// What the token stands for; not always whole characters. Empty for ids outside the vocabulary.
  std::string_view token_bytes(uint32_t id) const;

  /// One more than the highest id that has a text. Models may have more rows of logits.
  size_t vocabulary_size() const { return is_control_.size(); }

  /// Id of the token that is spelled so in the vocabulary; exact, not an encoding of `text`.
  std::optional<uint32_t> id_of(std::string_view text) const;

  /// Whether the token steers the model rather than standing for text.
  bool is_control(uint32_t id) const { return id < is_control_.size() && is_control_[id] != 0; }

  /// Ids that end a generation, ascending: end of sequence, end of turn and their like.
  const std::vector<uint32_t>& end_ids() const { return end_ids_; }
  bool is_end(uint32_t id) const;

  /// Texts that chat templates ask for as bos_token and eos_token.
  const std::optional<std::string>& bos_text() const { return bos_text_; }
  const std::optional<std::string>& eos_text() const { return eos_text_; }

  /// Whether a model of the tokenizers library makes the tokens rather than hearth's byte pairs: where the vocabulary
  /// is none of byte pairs, or one with parts that they do not know. Such a tokenizer takes several times as long to
  /// make.
  bool is_of_library() const { return is_of_library_; }

  /// Spaces that decode drops from the start of a whole text.
  uint32_t leading_spaces_dropped() const { return leading_spaces_dropped_; }

 private:
  struct Free {
    void operator()(HearthTokenizer* tokenizer) const;
  };

  explicit Tokenizer(HearthTokenizer* tokenizer);
  Result<std::vector<uint32_t>> encode_borrowed(std::span<const HearthTextSegment> segments, size_t max_tokens) const;

  std::unique_ptr<HearthTokenizer, Free> tokenizer_;
  std::string bytes_;                   ///< Of all tokens, one after another.
  std::vector<uint32_t> byte_offsets_;  ///< vocabulary_size() + 1 borders in bytes_.
  std::vector<uint8_t> is_control_;
  std::vector<uint32_t> prefix_ids_;
  std::vector<uint32_t> suffix_ids_;
  std::vector<uint32_t> end_ids_;
  std::optional<std::string> bos_text_;
  std::optional<std::string> eos_text_;
  uint32_t leading_spaces_dropped_ = 0;
  bool is_of_library_ = false;
};

}  // namespace hearth
