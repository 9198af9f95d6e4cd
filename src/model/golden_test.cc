// The families against logits that Hugging Face's transformers computed in float64 (tests/golden). The models were cast
// to bf16 before, which rounded their ropes' inverse frequencies too: a numpy float64 evaluation agrees with the
// goldens within 2e-6 with rounded frequencies and only within 1e-2 with float32 ones.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "device/open_device.h"
#include "model/evaluate.h"
#include "model/model.h"
#include "model/testing/goldens.h"

namespace hearth {
namespace {

struct Golden {
  std::vector<int32_t> input_ids;
  std::vector<int32_t> greedy;
  std::vector<double> greedy_margin;
  std::vector<float> logits;  // [input_ids, vocabulary]
};

/// The numbers of a version 1 .npy file of float32.
std::vector<float> read_npy(const std::filesystem::path& path) {
  const std::string file = read_whole_file(path).value();
  const size_t header = 10 + static_cast<unsigned char>(file[8]) + 256 * static_cast<unsigned char>(file[9]);
  EXPECT_NE(file.substr(0, header).find("'<f4'"), std::string::npos);
  std::vector<float> values((file.size() - header) / sizeof(float));
  std::memcpy(values.data(), file.data() + header, values.size() * sizeof(float));
  return values;
}

Golden read_golden(const std::filesystem::path& folder) {
  const auto json = nlohmann::json::parse(read_whole_file(folder / "golden.json").value());
  return {json["input_ids"], json["greedy"], json["greedy_margin"], read_npy(folder / "logits.npy")};
}

struct Case {
  std::string family;
  std::string device;
  double tolerance;  // of |error| / |logits|, over each row
};

class GoldenTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    golden_ = read_golden(goldens() / GetParam().family);
    checkpoint_ = open_checkpoint(goldens() / GetParam().family).value();
    auto device = open_device(GetParam().device, 2);
    // Where a GPU is expected, none is an error, not a skipped test.
    const bool required = std::getenv("HEARTH_VULKAN_REQUIRED") != nullptr;
    if (!device && device.error().code == ErrorCode::unsupported && !required) {
      GTEST_SKIP() << to_string(device.error());
    }
    ASSERT_TRUE(device) << to_string(device.error());
    device_ = std::move(*device);
    auto model = Model::load(*checkpoint_, *device_, {.round_ropes_to_bf16 = true}, progress_, {});
    ASSERT_TRUE(model) << to_string(model.error());
    model_ = std::move(*model);
  }

  Golden golden_;
  LatestProgress progress_;
  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Model> model_;
};

/// |a - b| / |b| in the Euclidean norm.
double relative_error(std::span<const float> a, std::span<const float> b) {
  double difference = 0;
  double size = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
    size += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / size);
}

TEST_P(GoldenTest, LogitsAgreeWithFloat64) {
  const size_t vocabulary = model_->config().vocabulary;
  ASSERT_EQ(golden_.logits.size(), golden_.input_ids.size() * vocabulary);
  for (const uint32_t chunk : {64U, 7U}) {
    auto sequence = SingleSequence::create(*model_, 64, chunk);
    ASSERT_TRUE(sequence) << to_string(sequence.error());
    const auto ran = sequence->append(golden_.input_ids, [&](size_t i, std::span<const float> logits) {
      const auto expected = std::span(golden_.logits).subspan(i * vocabulary, vocabulary);
      EXPECT_LT(relative_error(logits, expected), GetParam().tolerance) << "token " << i << ", chunks of " << chunk;
    });
    ASSERT_TRUE(ran) << to_string(ran.error());
  }
}

TEST_P(GoldenTest, GreedyContinuationIsTheSame) {
  auto sequence = SingleSequence::create(*model_, 128, 64);
  ASSERT_TRUE(sequence) << to_string(sequence.error());
  std::vector<float> last;
  const auto keep = [&](size_t, std::span<const float> logits) { last.assign(logits.begin(), logits.end()); };
  ASSERT_TRUE(sequence->append(golden_.input_ids, keep));
  for (size_t i = 0; i < golden_.greedy.size(); ++i) {
    const auto best = std::ranges::max_element(last);
    const double error = GetParam().tolerance * std::abs(*best);
    // A margin below the error decides nothing, and the texts may part from there on.
    if (golden_.greedy_margin[i] <= 2 * error) break;
    ASSERT_EQ(best - last.begin(), golden_.greedy[i]) << "token " << i;
    ASSERT_TRUE(sequence->append(std::span(&golden_.greedy[i], 1), keep));
  }
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const char* family : {"llama", "llama3_rope", "qwen2", "qwen3", "mistral", "gemma2", "gemma3_text"}) {
    all.push_back({family, "reference", 1e-4});
    all.push_back({family, "cpu", 2e-2});
    all.push_back({family, "vulkan", 4e-3});  // float32 but for the cache, which is f16
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Families, GoldenTest, testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.family + "_" + test.param.device; });

}  // namespace
}  // namespace hearth
