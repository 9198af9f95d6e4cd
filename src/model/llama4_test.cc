// Llama 4 where its golden does not reach: queries that grow with the position, and what a GGUF leaves to the reader.

#include <gtest/gtest.h>

#include <cmath>
#include <span>

#include "model/evaluate.h"
#include "model/testing/edited_checkpoint.h"
#include "model/testing/golden_gguf.h"
#include "model/testing/read_npy.h"

namespace hearth {
namespace {

using Json = nlohmann::json;

const std::string kFamily = "llama4_text";

std::vector<float> logits_of(const Checkpoint& checkpoint, const char* device_name = "reference") {
  const auto device = open_device(device_name, 2).value();
  LatestProgress progress;
  const auto model = Model::load(checkpoint, *device, {}, progress, {});
  if (!model) return ADD_FAILURE() << to_string(model.error()), std::vector<float>();
  const Json golden = Json::parse(read_whole_file(goldens() / kFamily / "golden.json").value());
  const std::vector<int32_t> tokens = golden["input_ids"];
  auto sequence = SingleSequence::create(**model, static_cast<uint32_t>(tokens.size()), 64);
  if (!sequence) return ADD_FAILURE() << to_string(sequence.error()), std::vector<float>();
  std::vector<float> all;
  const auto keep = [&](size_t, std::span<const float> logits) { all.insert(all.end(), logits.begin(), logits.end()); };
  EXPECT_TRUE(sequence->append(tokens, keep));
  return all;
}

std::vector<float> logits_of_edited(const std::function<void(Json&)>& edit, const char* device = "reference") {
  const EditedCheckpoint edited(kFamily, edit);
  return logits_of(*open_checkpoint(edited.path()).value(), device);
}

double relative_error(std::span<const float> a, std::span<const float> b) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += std::pow(double{a[i]} - b[i], 2);
    size += std::pow(double{b[i]}, 2);
  }
  return std::sqrt(difference / size);
}

// growing.npy: the last eight tokens by a numpy float64 evaluation, which agrees with the golden within 2e-6.
TEST(Llama4, QueriesGrowWithThePositionWhereThereIsNoRope) {
  const std::vector<float> expected = read_npy(goldens() / kFamily / "growing.npy");
  for (const auto& [device, tolerance] : {std::pair("reference", 1e-4), std::pair("cpu", 2e-2)}) {
    const std::vector<float> all = logits_of_edited(
        [](Json& config) {
          config["floor_scale"] = 8;
          config["attn_scale"] = 0.3;
        },
        device);
    ASSERT_GT(all.size(), expected.size());
    EXPECT_LT(relative_error(std::span(all).last(expected.size()), expected), tolerance) << device;
  }
}

TEST(Llama4, NothingGrowsWithoutTuning) {
  const auto logits = [](const Json& tuning) {
    return logits_of_edited([&](Json& config) {
      config["floor_scale"] = 8;
      config["attn_temperature_tuning"] = tuning;
    });
  };
  const std::vector<float> plain = logits(false);
  EXPECT_EQ(plain, logits_of_edited([](Json&) {})) << "48 tokens are less than the golden's floor_scale";
  EXPECT_EQ(plain, logits(0));
  EXPECT_NE(plain, logits(4)) << "as some published files say it";
}

// By the rules of llama.cpp's converter; its reader takes chunks of 8192.
TEST(Llama4, AGgufIsTheSameModelWithLlamaCppsChunks) {
  const GoldenGguf gguf(goldens() / kFamily);
  const auto whole = logits_of_edited([](Json& config) { config["attention_chunk_size"] = 8192; });
  EXPECT_LT(relative_error(logits_of(gguf.checkpoint()), whole), 1e-6);
}

}  // namespace
}  // namespace hearth
