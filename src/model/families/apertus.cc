#include <array>

#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"
#include "model/layers/dense.h"

// Apertus (Swiss AI, arXiv 2509.14233): norms of heads, a feed-forward part that is not gated, with xIELU.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"apertus"};
constexpr std::array<std::string_view, 1> kArchitectures = {"apertus"};

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "apertus",
                                            .sizes = {4096, 14336, 32, 32, 131072},
                                            .rope_theta = 12e6,
                                            .context_length = 65536,
                                            .activation = Activation::xielu,
                                            .gated = false,
                                            .epsilon = 1e-5F});
  if (!f.has("rope_parameters") && !f.has("rope_scaling")) f.fail("there are no rope_parameters");
  fields::add_attention_biases(f, d.names);
  fields::add_head_norms(f, d.names);
  const std::string layer = "model.layers.{}.";
  d.names.attention_norm = layer + "attention_layernorm.weight";
  d.names.feed_forward_norm = layer + "feedforward_layernorm.weight";
  d.names.xielu_positive = layer + "mlp.act_fn.alpha_p";
  d.names.xielu_negative = layer + "mlp.act_fn.alpha_n";
  d.names.xielu_linear = layer + "mlp.act_fn.beta";
  d.names.xielu_bound = layer + "mlp.act_fn.eps";
  return fields::finish(f, std::move(d));
}

/// A number for each layer, under a name without the architecture's.
std::vector<float> numbers(fields::GgufFields& f, const char* key, size_t count) {
  auto read = f.gguf().metadata().get_f32_array(key);
  if (!read) f.fail(read.error());
  if (read && read->size() < count)
    f.fail({ErrorCode::corrupt, std::string(key) + " is shorter than the layers are many", ""});
  return f.error() ? std::vector<float>(count) : *read;
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "apertus", .activation = Activation::xielu, .gated = false});
  fields::add_head_norms(gguf, d.names);
  const size_t layers = d.config.layers.size();
  const auto positive = numbers(f, "xielu.alpha_p", layers), negative = numbers(f, "xielu.alpha_n", layers);
  const auto linear = numbers(f, "xielu.beta", layers), bound = numbers(f, "xielu.eps", layers);
  for (size_t i = 0; i < layers; ++i) {
    std::get<DenseConfig>(d.config.layers[i].feed_forward).xielu =
        xielu_of(positive[i], negative[i], linear[i], bound[i]);
  }
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kApertus = {"apertus", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
