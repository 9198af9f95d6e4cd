// The families with their prompts' products on an NPU (a fake XRT's), which rounds what it multiplies to bf16.

#include <gtest/gtest.h>

#include "device/cpu/cpu_device.h"
#include "device/cpu/step_context.h"
#include "device/testing/made_npu_machine.h"
#include "model/testing/golden_gguf.h"
#include "model/testing/golden_logits.h"
#include "model/testing/read_npy.h"
#include "tensor/float16.h"

namespace hearth {
namespace {

/// The meaning of an NPU's products in plain loops: inputs and weights rounded to bf16, sums in float32, in order.
class RoundingOffload final : public cpu::ProductOffload {
 public:
  std::string kind() const override { return "rounding"; }
  std::string description() const override { return "bf16"; }
  uint64_t promised_bytes() const override { return 0; }
  bool takes(MatrixId, size_t tokens) const override { return tokens > 1; }

  bool multiply(const cpu::CpuStorage& storage, MatrixId weight, const float* in, size_t tokens,
                const cpu::TakeProducts& take) override {
    const cpu::PackedMatrix& matrix = storage.matrices[weight.index];
    const size_t cols = matrix.cols();
    std::vector<float> products(tokens * matrix.rows()), row(cols);
    for (uint32_t r = 0; r < matrix.rows(); ++r) {
      matrix.read_row(r, row);
      for (size_t t = 0; t < tokens; ++t) {
        float sum = 0;
        for (size_t k = 0; k < cols; ++k) sum += rounded(in[t * cols + k]) * rounded(row[k]);
        products[t * matrix.rows() + r] = static_cast<float>(sum);
      }
    }
    take(0, tokens, products.data(), matrix.rows());
    return true;
  }

  Result<bool> tune(const cpu::CpuStorage&, std::span<const cpu::OffloadCandidate>,
                    const std::function<bool()>&) override {
    return false;
  }
  std::vector<OperationChoice> choices() const override { return {}; }

 private:
  static float rounded(float value) { return bf16_to_f32(f32_to_bf16(value)); }
};

struct Case {
  std::string family;
  bool gguf = false;
};

void PrintTo(const Case& each, std::ostream* out) { *out << each.family; }

class NpuGoldenTest : public testing::TestWithParam<Case> {
 protected:
  std::vector<float> logits_on(Device& device) {
    const auto folder = goldens() / GetParam().family;
    if (GetParam().gguf) return golden_logits(GetParam().family, GoldenGguf(folder).checkpoint(), device);
    return golden_logits(GetParam().family, *open_checkpoint(folder).value(), device);
  }

  std::vector<float> logits_on_npu() {
    auto device = open_npu_device(machine_.options(2), 2);  // all but steps of one token
    if (!device) return ADD_FAILURE() << to_string(device.error()), std::vector<float>();
    const int before = machine_.controls().runs;
    std::vector<float> logits = logits_on(**device);
    EXPECT_GT(machine_.controls().runs, before);
    return logits;
  }

  /// One block of k for all, so that its sums, too, are in order.
  MadeNpuMachine machine_{HEARTH_FAKE_XRT, {{32, 512, 96}}};
};

TEST_P(NpuGoldenTest, PromptsAreThoseOfRoundedProductsToTheBit) {
  const auto rounding = open_cpu_device(2, std::make_unique<RoundingOffload>()).value();
  const std::vector<float> expected = logits_on(*rounding);
  ASSERT_FALSE(expected.empty());
  EXPECT_TRUE(logits_on_npu() == expected);
}

const auto kName = [](const auto& test) { return test.param.family + (test.param.gguf ? "_gguf" : ""); };

INSTANTIATE_TEST_SUITE_P(Families, NpuGoldenTest,
                         testing::Values(Case{"llama"}, Case{"llama_bias"}, Case{"qwen3"}, Case{"gemma3_text"},
                                         Case{"phi3"}, Case{"starcoder2"}, Case{"stablelm"}, Case{"gpt_oss"},
                                         Case{"qwen3_moe"}, Case{"qwen3_next"}, Case{"nemotron_h"}, Case{"lfm2"},
                                         Case{"deepseek_v3"}, Case{"llama", true}, Case{"gemma3_std", true},
                                         Case{"mixtral", true}),
                         kName);

/// Beside transformers' logits in float64.
class NpuAgainstFloat64Test : public NpuGoldenTest {};

TEST_P(NpuAgainstFloat64Test, RoundingCostsLittle) {
  const std::vector<float> logits = logits_on_npu();
  const std::vector<float> expected = read_npy(goldens() / GetParam().family / "logits.npy");
  ASSERT_EQ(logits.size(), expected.size());
  EXPECT_LT(relative_error(logits, expected), 2e-2);
}

INSTANTIATE_TEST_SUITE_P(Families, NpuAgainstFloat64Test,
                         testing::Values(Case{"llama"}, Case{"llama_bias"}, Case{"qwen2"}, Case{"qwen3"},
                                         Case{"gemma2"}, Case{"gemma3_text"}, Case{"phi3"}, Case{"phi4_mini"},
                                         Case{"mistral"}, Case{"olmo3"}, Case{"granite"}, Case{"cohere2"}, Case{"glm4"},
                                         Case{"starcoder2"}, Case{"stablelm"}, Case{"smollm3"}),
                         kName);

}  // namespace
}  // namespace hearth
