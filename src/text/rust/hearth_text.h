#pragma once

// The C interface of the Rust crate in this folder; bridge.rs and bridge_template.rs define it. Only the C++ files of
// src/text include it. Functions return 0, or the code of an error (error.rs) whose sentence they wrote to `error`.

#include <cstddef>
#include <cstdint>

extern "C" {

struct HearthTokenizer;
struct HearthTemplate;

/// Borrowed bytes; `data` is null where an optional text is absent.
struct HearthSlice {
  const uint8_t* data;
  size_t size;
};

/// Receives a result in one or more pieces while the call lasts; `write` must not throw.
struct HearthSink {
  void* context;
  void (*write)(void* context, const uint8_t* data, size_t size);
};

struct HearthTextSegment {
  HearthSlice text;
  bool is_template;
};

/// -1 stands for an absent id or flag.
struct HearthTokenizerOptions {
  HearthSlice bos_text;
  HearthSlice eos_text;
  HearthSlice unknown_text;
  int64_t bos;
  int64_t eos;
  int64_t eot;
  int64_t unknown;
  int8_t add_bos;
  int8_t add_eos;
  int8_t add_space_prefix;
};

struct HearthGgufTables {
  HearthSlice model;
  HearthSlice pre;
  const HearthSlice* tokens;
  size_t token_count;
  const float* scores;
  size_t score_count;
  const int32_t* types;
  size_t type_count;
  const HearthSlice* merges;
  size_t merge_count;
};

struct HearthTokenizerFacts {
  size_t token_count;
  uint32_t leading_spaces_dropped;
  bool is_of_library;
};

/// Of `options`, uses the texts and add_bos, add_eos.
int32_t hearth_tokenizer_from_json(HearthSlice json, const HearthTokenizerOptions* options, HearthTokenizer** tokenizer,
                                   HearthSink error);
/// Of `options`, uses the ids and the flags.
int32_t hearth_tokenizer_from_gguf(const HearthGgufTables* tables, const HearthTokenizerOptions* options,
                                   HearthTokenizer** tokenizer, HearthSink error);
void hearth_tokenizer_free(HearthTokenizer* tokenizer);
/// Writes token ids as native uint32_t; max_tokens + 1 that mean nothing where there are surely more than max_tokens.
int32_t hearth_tokenizer_encode(const HearthTokenizer* tokenizer, const HearthTextSegment* segments, size_t count,
                                size_t max_tokens, HearthSink ids, HearthSink error);
/// -1 when there is no such token.
int64_t hearth_tokenizer_id_of(const HearthTokenizer* tokenizer, HearthSlice text);
/// To be called once. In the order of the ids: the bytes of all tokens, where each one's end as native uint32_t, and 0
/// or 1 for each.
HearthTokenizerFacts hearth_tokenizer_describe(HearthTokenizer* tokenizer, HearthSink bytes, HearthSink ends,
                                               HearthSink is_control, HearthSink prefix_ids, HearthSink suffix_ids,
                                               HearthSink end_ids);

/// `bos` and `eos` may be absent.
int32_t hearth_template_new(HearthSlice source, HearthSlice bos, HearthSlice eos, HearthTemplate** result,
                            HearthSink error);
void hearth_template_free(HearthTemplate* chat_template);
/// `messages`, `tools` and `variables` are JSON texts; `tools` and `variables` may be absent. Writes the rendered text
/// and the ends of its segments as native uint64_t: twice the byte offset, plus one for a template's segment.
int32_t hearth_template_render(const HearthTemplate* chat_template, HearthSlice messages, HearthSlice tools,
                               HearthSlice variables, bool add_generation_prompt, HearthSink text, HearthSink segments,
                               HearthSink error);

}  // extern "C"
