#include "server/openai/generation_params.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <utility>

namespace hearth {
namespace {

using nlohmann::json;

constexpr size_t kMaxStopStrings = 16;
constexpr size_t kMaxStopBytes = 1024;  ///< of one; every choice looks for them in every piece of its text
constexpr size_t kMaxCacheSaltBytes = 1024;
constexpr size_t kMaxStopTokens = 256;
constexpr size_t kMaxLogitBiases = 1024;
constexpr double kMaxPenalty = 2.0;
constexpr double kMaxLogitBias = 100.0;

/// OpenAI's and vLLM's fields that would change the answer, and that this version cannot honour.
constexpr std::array kRefused = {"tools",
                                 "functions",
                                 "guided_json",
                                 "guided_regex",
                                 "guided_choice",
                                 "guided_grammar",
                                 "structured_outputs",
                                 "logits_processors",
                                 "allowed_token_ids",
                                 "bad_words",
                                 "use_beam_search",
                                 "prompt_logprobs",
                                 "truncate_prompt_tokens",
                                 "include_stop_str_in_output",
                                 "return_tokens_as_token_ids",
                                 "web_search_options",
                                 "audio"};

void read_top_k(Fields& fields, uint32_t& top_k) {
  const json* value = fields.find("top_k");
  if (value != nullptr && value->is_number() && *value == -1) {
    top_k = 0;  // vLLM's spelling of "all"
  } else {
    fields.read("top_k", top_k, 0, std::numeric_limits<int32_t>::max());
  }
}

void read_logit_bias(Fields& fields, const RequestLimits& limits, std::unordered_map<int32_t, float>& biases) {
  const json* value = fields.find("logit_bias");
  if (value == nullptr) return;
  if (!value->is_object()) {
    return fields.fail("logit_bias", fmt::format("must be an object of token ids, not {}", type_name(*value)));
  }
  if (value->size() > kMaxLogitBiases) {
    return fields.fail("logit_bias", fmt::format("must have at most {} entries", kMaxLogitBiases));
  }
  Fields entries(*value, "logit_bias");
  for (const auto& [key, bias] : value->items()) {
    int32_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    const bool in_vocabulary = limits.vocabulary_size == 0 || static_cast<uint32_t>(id) < limits.vocabulary_size;
    if (error != std::errc() || end != key.data() + key.size() || id < 0 || !in_vocabulary) {
      return fields.fail("logit_bias", "its keys must be ids of tokens in the vocabulary");
    }
    entries.read(key, biases[id], -kMaxLogitBias, kMaxLogitBias);
  }
  if (entries.error()) fields.fail(*entries.error());
}

SamplingParams read_sampling(Fields& fields, const RequestLimits& limits) {
  SamplingParams sampling = limits.default_sampling;
  fields.read("temperature", sampling.temperature, 0.0, 2.0);
  fields.read("top_p", sampling.top_p, 0.0, 1.0);
  // OpenAI allows 0: of a nucleus that small only the best token is left.
  if (sampling.top_p <= 0.0F) sampling.top_p = std::numeric_limits<float>::min();
  read_top_k(fields, sampling.top_k);
  fields.read("min_p", sampling.min_p, 0.0, 1.0);
  fields.read("presence_penalty", sampling.presence_penalty, -kMaxPenalty, kMaxPenalty);
  fields.read("frequency_penalty", sampling.frequency_penalty, -kMaxPenalty, kMaxPenalty);
  fields.read("repetition_penalty", sampling.repetition_penalty, 0.01, 100.0);
  fields.read("seed", sampling.seed);
  read_logit_bias(fields, limits, sampling.logit_bias);
  return sampling;
}

void read_stop(Fields& fields, const RequestLimits& limits, GenerationParams& params) {
  fields.read_strings("stop", params.stop, kMaxStopStrings);
  for (const std::string& stop : params.stop) {
    if (stop.empty()) fields.fail("stop", "a stop string must not be empty");
    if (stop.size() > kMaxStopBytes) {
      fields.fail("stop", fmt::format("a stop string must be at most {} bytes, not {}", kMaxStopBytes, stop.size()));
    }
  }
  if (!params.stop.empty() && !limits.has_tokenizer) {
    fields.fail("stop", "this model has no tokenizer, so there is no text to look for it in; use stop_token_ids");
  }
  fields.read("stop_token_ids", params.stop_token_ids);
  if (params.stop_token_ids.size() > kMaxStopTokens) {
    fields.fail("stop_token_ids", fmt::format("must be at most {} ids", kMaxStopTokens));
  }
  check_token_ids(fields, "stop_token_ids", params.stop_token_ids, limits);
}

void read_stream_options(Fields& fields, GenerationParams& params) {
  const json* options = fields.find("stream_options");
  if (options == nullptr) return;
  if (!params.stream) return fields.fail("stream_options", "is only for stream: true");
  Fields inner(*options, "stream_options");
  inner.read("include_usage", params.include_usage);
  if (inner.error()) fields.fail(*inner.error());
}

void refuse_what_is_missing(Fields& fields) {
  for (const char* name : kRefused) fields.refuse(name);
  fields.refuse("tool_choice", "none");
  if (!fields.has("tools")) fields.refuse("function_call", "none");
  fields.refuse("modalities", json::array({"text"}));
  const json* format = fields.find("response_format");
  if (format != nullptr && !(format->is_object() && format->value("type", json()) == "text")) {
    fields.refuse("response_format");
  }
}

}  // namespace

void check_token_ids(Fields& fields, std::string_view name, const std::vector<int32_t>& ids,
                     const RequestLimits& limits) {
  if (limits.vocabulary_size == 0) return;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (static_cast<uint32_t>(ids[i]) >= limits.vocabulary_size) {
      return fields.fail(fmt::format("{}[{}]", name, i), fmt::format("the vocabulary has {} tokens, so there is no {}",
                                                                     limits.vocabulary_size, ids[i]));
    }
  }
}

GenerationParams read_generation_params(Fields& fields, const RequestLimits& limits) {
  GenerationParams params;
  fields.read("model", params.model);
  params.sampling = read_sampling(fields, limits);
  read_stop(fields, limits, params);
  fields.read("min_tokens", params.min_tokens, 0, std::numeric_limits<int32_t>::max());
  fields.read("ignore_eos", params.ignore_end_tokens);
  fields.read("skip_special_tokens", params.skip_special_tokens);
  fields.read("n", params.choices, 1, limits.max_choices);
  uint32_t best_of = params.choices;
  fields.read("best_of", best_of, 1, limits.max_choices);
  if (best_of != params.choices) fields.fail("best_of", "is only supported when it equals n");
  fields.read("stream", params.stream);
  read_stream_options(fields, params);
  fields.read("return_token_ids", params.return_token_ids);
  fields.read("cache_salt", params.cache_salt);
  if (params.cache_salt.size() > kMaxCacheSaltBytes) {
    fields.fail("cache_salt",
                fmt::format("must be at most {} bytes, not {}", kMaxCacheSaltBytes, params.cache_salt.size()));
  }
  refuse_what_is_missing(fields);
  return params;
}

Request make_engine_request(const GenerationParams& params, std::vector<int32_t> prompt, uint32_t choice) {
  Request request{.prompt = std::move(prompt), .sampling = params.sampling};
  // To the engine 0 is "no limit"; who asks for no token gets one made and dropped.
  request.max_tokens = params.max_tokens ? std::max(*params.max_tokens, 1U) : 0;
  request.min_tokens = params.min_tokens;
  request.stop = params.stop;
  request.stop_token_ids = params.stop_token_ids;
  request.ignore_end_tokens = params.ignore_end_tokens;
  request.skip_special_tokens = params.skip_special_tokens;
  request.logprobs = params.logprobs;
  request.cache_salt = params.cache_salt;
  return request_of_choice(std::move(request), choice);
}

Request request_of_choice(Request request, uint32_t choice) {
  // Choices must differ, and each must come out the same again.
  if (request.sampling.seed) *request.sampling.seed += choice;
  return request;
}

}  // namespace hearth
