// Llama 4 where its golden does not reach: queries that grow with the position, and what a GGUF leaves to the reader.

#include <gtest/gtest.h>

#include <span>

#include "model/testing/edited_checkpoint.h"
#include "model/testing/golden_gguf.h"
#include "model/testing/golden_logits.h"
#include "model/testing/read_npy.h"

namespace hearth {
namespace {

using Json = nlohmann::json;

const std::string kFamily = "llama4_text";

std::vector<float> logits_of(const Checkpoint& checkpoint, const char* device = "reference") {
  return golden_logits(kFamily, checkpoint, *open_device(device, 2).value());
}

std::vector<float> logits_of_edited(const std::function<void(Json&)>& edit, const char* device = "reference") {
  const EditedCheckpoint edited(kFamily, edit);
  return logits_of(*open_checkpoint(edited.path()).value(), device);
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
