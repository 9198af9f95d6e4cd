#include "formats/codings/codings.h"
#include "formats/codings/fp8.h"
#include "formats/codings/settings.h"

// NVIDIA's TensorRT Model Optimizer, by what vLLM reads of it.
namespace hearth::codings {

Result<void> join_modelopt(StoredTensors& stored, const nlohmann::json& quantization) {
  const std::string algorithm = text_of(quantization, "quant_algo", "");
  if (algorithm != "FP8" && algorithm != "NVFP4" && algorithm != "FP8_PER_CHANNEL_PER_TOKEN") {
    return refuse_setting(quantization, "quant_algo");
  }
  constexpr uint64_t kGroup = 16;
  for (const std::string& name : stored.before("_scale")) {
    if (stored.find(name + "_scale_2") != nullptr) {
      join_scaled_fp4(stored, name, name, name + "_scale", kGroup, name + "_scale_2", false);
    } else {
      join_scaled_fp8(stored, name, name + "_scale", {});
    }
  }
  return {};
}

}  // namespace hearth::codings
