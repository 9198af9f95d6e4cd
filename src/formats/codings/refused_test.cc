// What of a quantization_config hearth does not read is refused by its name.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/codings/codings.h"

namespace hearth::codings {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

std::string refusal_of(const json& quantization) {
  StoredTensors stored;
  const auto joined = join_quantized(stored, quantization);
  return joined ? "it is taken" : to_string(joined.error());
}

TEST(RefusedQuantizations, MethodsAreNamed) {
  EXPECT_THAT(refusal_of({{"quant_method", "hqq"}}), HasSubstr("quant_method is \"hqq\""));
  EXPECT_THAT(refusal_of({{"bits", 4}}), HasSubstr("quant_method is not given"));
  EXPECT_THAT(refusal_of({{"quant_method", "bitsandbytes"}, {"load_in_4bit", true}}),
              AllOf(HasSubstr("bitsandbytes"), HasSubstr("GGUF")));
  EXPECT_THAT(refusal_of(json::array({1})), HasSubstr("not an object"));
  EXPECT_THAT(refusal_of({{"quant_method", "awq"}}), HasSubstr("no tensor is so coded"));
}

TEST(RefusedQuantizations, SettingsThatMakeOtherValuesAreNamed) {
  const std::pair<json, const char*> cases[] = {
      {{{"quant_method", "awq"}, {"version", "gemv"}}, "version is \"gemv\""},
      {{{"quant_method", "awq"}, {"bits", 3}}, "bits is 3"},
      {{{"quant_method", "awq"}, {"group_size", 0}}, "group_size is 0"},
      {{{"quant_method", "gptq"}, {"checkpoint_format", "marlin"}}, "checkpoint_format is \"marlin\""},
      {{{"quant_method", "gptq"}, {"is_marlin_format", true}}, "is_marlin_format is true"},
      {{{"quant_method", "gptq"}, {"pack_dtype", "int16"}}, "pack_dtype is \"int16\""},
      {{{"quant_method", "gptq"}, {"dynamic", {{"+:.*", {{"group_size", 32}}}}}}, "dynamic is"},
      {{{"quant_method", "auto-round"}, {"packing_format", "auto_round:marlin"}}, "packing_format is"},
      {{{"quant_method", "fp8"}, {"weight_block_size", {0, 128}}}, "weight_block_size is [0,128]"},
      {{{"quant_method", "modelopt"}, {"quant_algo", "W4A8_AWQ"}}, "quant_algo is \"W4A8_AWQ\""},
      {{{"quant_method", "compressed-tensors"}, {"transform_config", {{"config_groups", 1}}}}, "transform_config is"},
      {{{"quant_method", "compressed-tensors"}, {"sparsity_config", {{"format", "sparse-24-bitmask"}}}},
       "sparsity_config is"},
      {{{"quant_method", "compressed-tensors"}, {"format", "marlin-24"}}, "format is \"marlin-24\""},
      {{{"quant_method", "compressed-tensors"}, {"format", "pack-quantized"}}, "config_groups is not given"},
      {{{"quant_method", "compressed-tensors"},
        {"format", "pack-quantized"},
        {"config_groups", {{"group_0", {{"weights", {{"num_bits", 99}}}}}}}},
       "weights is"},
  };
  for (const auto& [quantization, expected] : cases) {
    EXPECT_THAT(refusal_of(quantization), HasSubstr(expected)) << quantization;
  }
}

}  // namespace
}  // namespace hearth::codings
