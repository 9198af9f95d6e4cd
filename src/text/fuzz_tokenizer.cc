#include <cstdint>
#include <string>
#include <vector>

#include "base/testing/fuzz_seeds.h"
#include "text/tokenizer.h"

namespace {

/// Small tokenizers of each kind that files have: byte pairs, byte pairs over bytes, unigrams, words.
const std::string kSeeds[] = {
    R"({"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"<e>":3},"merges":[["a","b"]]},
"added_tokens":[{"id":3,"content":"<e>","special":true}]})",
    R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":[{"id":4,"content":"<|end|>","single_word":false,
"lstrip":false,"rstrip":false,"normalized":false,"special":true}],"normalizer":null,"pre_tokenizer":{"type":"ByteLevel",
"add_prefix_space":false,"trim_offsets":true,"use_regex":true},"post_processor":null,"decoder":{"type":"ByteLevel"},
"model":{"type":"BPE","dropout":null,"unk_token":null,"vocab":{"h":0,"i":1,"hi":2,"Ġ":3},"merges":["h i"]}})",
    R"({"normalizer":{"type":"Replace","pattern":{"String":" "},"content":"▁"},"decoder":{"type":"Sequence","decoders":[
{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"}]},
"model":{"type":"BPE","byte_fallback":true,"unk_token":"<unk>","vocab":{"<unk>":0,"▁":1,"x":2,"▁x":3,"<0x41>":4},
"merges":[["▁","x"]]}})",
    R"({"pre_tokenizer":{"type":"Split","pattern":{"Regex":"\\s+|\\w+"},"behavior":"Isolated","invert":false},
"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0.0],["a",-1.5],["bc",-2.0]],"byte_fallback":false}})",
};

}  // namespace

/// libFuzzer's entry point: any bytes as a tokenizer.json, and what it makes of a text. Only built with HEARTH_FUZZ.
/// The library behind it is not instrumented, so that only its crashes and hangs are seen.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto tokenizer = hearth::Tokenizer::from_json({reinterpret_cast<const char*>(data), size});
  if (!tokenizer) return 0;
  const auto ids = tokenizer->encode("hi ab <e> \xC3\xA9 A\n", {.allow_special = true, .add_special = true});
  if (!ids) return 0;
  static_cast<void>(tokenizer->decode(*ids));
  for (const uint32_t id : *ids) static_cast<void>(tokenizer->token_bytes(id));
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most_bytes, unsigned random) {
  return hearth::testing::seed_or_mutate(kSeeds, data, size, most_bytes, random);
}
