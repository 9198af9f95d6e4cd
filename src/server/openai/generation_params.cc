#include "server/openai/generation_params.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "server/openai/unsupported_fields.h"

namespace hearth {
namespace {

using nlohmann::json;

constexpr size_t kMaxStopStrings = 16;
constexpr size_t kMaxStopBytes = 1024;  ///< of one; every choice looks for them in every piece of its text
constexpr size_t kMaxCacheSaltBytes = 1024;
constexpr size_t kMaxStopTokens = 256;
constexpr size_t kMaxLogitBiases = 1024;
constexpr double kMaxPenalty = 2.0;
constexpr double kMinRepetitionPenalty = 0.01;
constexpr double kMaxRepetitionPenalty = 100.0;
constexpr double kMaxLogitBias = 100.0;

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

bool has_penalty(const SamplingParams& sampling) {
  return sampling.presence_penalty != 0.0F || sampling.frequency_penalty != 0.0F || sampling.repetition_penalty != 1.0F;
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
  for (const char* name : {"repeat_penalty", "repetition_penalty"}) {  // llama.cpp's name, and vLLM's
    fields.read(name, sampling.repetition_penalty, kMinRepetitionPenalty, kMaxRepetitionPenalty);
  }
  // Penalties look at the whole context here.
  if (has_penalty(sampling)) fields.refuse("repeat_last_n", -1);
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
  inner.read("continuous_usage_stats", params.continuous_usage);
  if (params.continuous_usage && !params.include_usage) {
    inner.fail("continuous_usage_stats", "needs include_usage: true");
  }
  if (inner.error()) fields.fail(*inner.error());
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

void read_max_tokens(Fields& fields, uint32_t lowest, GenerationParams& params) {
  constexpr int64_t kHighest = std::numeric_limits<int32_t>::max();
  if (const json* value = fields.find("n_predict"); value != nullptr && value->is_number() && *value == -1) {
    params.max_tokens = std::nullopt;  // llama.cpp's spelling of "no limit"
  } else {
    fields.read("n_predict", params.max_tokens, lowest, kHighest);
  }
  for (const char* name : {"max_tokens", "max_completion_tokens"}) {
    fields.read(name, params.max_tokens, lowest, kHighest);
  }
  if (params.max_tokens && *params.max_tokens < params.min_tokens) {
    fields.fail("min_tokens", "must not be more than max_tokens");
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
  for (const char* name : {"n_cmpl", "n"}) fields.read(name, params.choices, 1, limits.max_choices);
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
  fields.read("priority", params.priority, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max());
  refuse_unsupported(fields);
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
  request.priority = params.priority;
  return request_of_choice(std::move(request), choice);
}

Request request_of_choice(Request request, uint32_t choice) {
  // Choices must differ, and each must come out the same again.
  if (request.sampling.seed) *request.sampling.seed += choice;
  return request;
}

}  // namespace hearth
