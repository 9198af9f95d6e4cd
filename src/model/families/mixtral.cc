#include <array>

#include "model/families/every_layer.h"
#include "model/families/expert_fields.h"

// Mixtral (arXiv 2401.04088): Mistral with experts in every layer. Its GGUF files call themselves llama.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"mixtral"};

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "mixtral",
                                            .sizes = {4096, 14336, 32, 32, 32000},
                                            .rope_theta = 1e6,
                                            .context_length = 131072,
                                            .kv_heads = 8,
                                            .epsilon = 1e-5F});
  fields::set_window_everywhere(d.config, f.u32("sliding_window", 0));
  fields::make_experts_of_dense(d.config, {.experts = f.u32("num_local_experts", 8),
                                           .chosen = f.u32("num_experts_per_tok", 2),
                                           .router = RouterKind::softmax_of_chosen});
  fields::name_experts_by_number(d.names);
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kMixtral = {"mixtral", kModelTypes, {}, from_hugging_face, nullptr};

}  // namespace hearth
