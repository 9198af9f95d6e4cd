#include <fmt/format.h>

#include "base/printable.h"
#include "formats/codings/codings.h"
#include "formats/codings/settings.h"

namespace hearth::codings {
namespace {

using nlohmann::json;

/// Scales of activations and of a cache: hearth computes both with more bits than those.
void drop_scales_of_activations(StoredTensors& stored) {
  for (const char* suffix : {".input_scale", ".input_zero_point", ".output_scale", ".activation_scale",
                             ".input_scale_ub", ".input_global_scale", ".k_scale", ".v_scale", ".kv_scale"}) {
    for (const std::string& layer : stored.before(suffix)) stored.drop(layer + suffix);
  }
}

/// Intel's AutoRound writes others' layouts; its own is GPTQ's with zeros as they are.
Result<void> join_auto_round(StoredTensors& stored, json quantization) {
  const std::string packing = text_of(quantization, "packing_format", "");
  if (packing == "auto_round:auto_awq") return join_awq(stored, quantization);
  const bool is_minus_one = packing == "auto_round:auto_gptq";
  if (!is_minus_one && packing != "auto_round" && packing != "auto_round:gptqmodel") {
    return refuse_setting(quantization, "packing_format");
  }
  quantization["checkpoint_format"] = is_minus_one ? "gptq" : "gptq_v2";
  return join_gptq(stored, quantization);
}

Result<void> join_by_method(StoredTensors& stored, const json& quantization, const std::string& method) {
  if (method == "compressed-tensors") return join_compressed(stored, quantization);
  if (method == "fp8" || method == "fbgemm_fp8") return join_fp8(stored, quantization);
  if (method == "modelopt" || method == "modelopt_fp4") return join_modelopt(stored, quantization);
  if (method == "awq") return join_awq(stored, quantization);
  if (method == "gptq") return join_gptq(stored, quantization);
  if (method == "mxfp4") return join_mxfp4_blocks(stored), Result<void>();
  if (method == "torchao") return join_torchao(stored), Result<void>();
  if (method == "auto-round" || method == "intel/auto-round") return join_auto_round(stored, quantization);
  return refuse_setting(quantization, "quant_method");
}

}  // namespace

Result<void> join_quantized(StoredTensors& stored, const json& quantization) {
  if (!quantization.is_object()) return fail(ErrorCode::unsupported, "it is not an object");
  const std::string method = text_of(quantization, "quant_method", "");
  if (method == "bitsandbytes") {
    return fail(ErrorCode::unsupported,
                "its weights are in bitsandbytes' formats, which only CUDA code of theirs reads",
                "use the checkpoint that they were made of, or a GGUF, AWQ or GPTQ of it");
  }
  drop_scales_of_activations(stored);
  const size_t before = stored.joined();
  auto joined = join_by_method(stored, quantization, method);
  if (!joined) {
    Error error = joined.error();
    error.message = fmt::format("{} (quant_method '{}')", error.message, printable(method));
    error.hint = "hearth does not read this; use the bf16, f16 or f32 checkpoint, or a GGUF";
    return std::unexpected(std::move(error));
  }
  if (stored.joined() == before) {
    return fail(ErrorCode::unsupported,
                fmt::format("quant_method is '{}', but no tensor is so coded", printable(method)),
                "files and configuration do not belong together");
  }
  return {};
}

}  // namespace hearth::codings
