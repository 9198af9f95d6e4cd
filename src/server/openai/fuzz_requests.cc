#include <cstdint>
#include <string>
#include <utility>

#include "base/testing/fuzz_seeds.h"
#include "server/openai/chat_request.h"
#include "server/openai/completion_request.h"
#include "server/openai/endpoint.h"
#include "server/openai/tokenize.h"
#include "server/testing/test_text.h"

namespace {

using hearth::ApiResult;

/// Errors go out as JSON, whatever the request said.
template <class T>
bool is_understood(const ApiResult<T>& result) {
  if (result) return true;
  if (result.error().status < 400 || result.error().message.empty()) __builtin_trap();
  if (to_response(result.error()).body.empty()) __builtin_trap();
  return false;
}

void check_request(const hearth::GenerationParams& params, size_t prompts, const hearth::RequestLimits& limits) {
  if (prompts == 0 || prompts * params.choices > limits.max_choices) __builtin_trap();
  const hearth::Request request = make_engine_request(params, {1}, params.choices - 1);
  if (request.max_tokens == 0 && params.max_tokens) __builtin_trap();
}

}  // namespace

/// libFuzzer's entry point: any bytes as the body of each kind of request. Only built with HEARTH_FUZZ.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const hearth::Tokenizer kTokenizer = hearth::make_test_tokenizer();
  static const hearth::ChatTemplate kTemplate = hearth::make_test_template();
  const hearth::RequestLimits limits{.max_choices = 8, .vocabulary_size = hearth::kTestVocabularySize};
  hearth::HttpRequest request;
  request.body.assign(reinterpret_cast<const char*>(data), size);
  const auto body = hearth::parse_body(request);
  if (!is_understood(body)) return 0;
  if (const auto chat = hearth::parse_chat_request(*body, limits); is_understood(chat)) {
    check_request(chat->params, 1, limits);
    is_understood(render_chat(kTemplate, kTokenizer, chat->inputs));
  }
  if (const auto completion = hearth::parse_completion_request(*body, limits); is_understood(completion)) {
    check_request(completion->params, completion->prompts.size(), limits);
  }
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most_bytes, unsigned random) {
  static const std::string kSeeds[] = {
      R"({"model":"m","messages":[{"role":"system","content":"a"},)"
      R"({"role":"user","content":[{"type":"text","text":"b"}]}],)"
      R"("temperature":0.5,"top_p":0.9,"top_k":5,"n":2,"stop":["x"],"seed":7,"stream":true,)"
      R"("stream_options":{"include_usage":true},"logprobs":true,"top_logprobs":3,"max_completion_tokens":5})",
      R"({"prompt":[[1,2],[3]],"max_tokens":5,"logprobs":1,"echo":true,"logit_bias":{"5":-100},"min_tokens":1})",
      R"({"messages":[{"role":"user","content":"\u00e9\ud83d\ude00"}],"chat_template_kwargs":{"a":[1,{"b":null}]},)"
      R"("response_format":{"type":"text"},"stop_token_ids":[1],"cache_salt":"s","add_generation_prompt":false})"};
  return hearth::testing::seed_or_mutate(kSeeds, data, size, most_bytes, random);
}
