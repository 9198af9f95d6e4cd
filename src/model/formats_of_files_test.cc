// Formats that are in files only: a model in one of them is the model whose numbers they stand for.

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <random>

#include "device/open_device.h"
#include "formats/gguf_types.h"
#include "formats/test_files.h"
#include "model/evaluate.h"
#include "model/testing/golden_logits.h"
#include "tensor/float16.h"
#include "tensor/quantize.h"
#include "tensor/recode.h"

namespace hearth {
namespace {

using enum NumberFormat;

constexpr uint32_t kHidden = 256, kFeedForward = 512, kHeads = 4, kVocabulary = 48;

/// Bytes of a block's f16 factors; iq1_m's is in the upper nibbles of four words.
std::vector<size_t> scale_places(NumberFormat format) {
  switch (format) {
    case q2_k:
      return {80, 82};
    case q3_k:
      return {108};
    case tq1_0:
      return {52};
    case tq2_0:
      return {64};
    case iq1_m:
      return {};
    default:
      return {0};
  }
}

/// Random blocks whose scales are such that values are about 1 / 16.
std::string random_blocks(NumberFormat format, size_t values, uint32_t seed) {
  std::mt19937 random(seed);
  std::string bytes(bytes_of(format, values), ' ');
  for (char& byte : bytes) byte = static_cast<char>(random());
  const size_t block_bytes = traits(format).block_bytes;
  const auto set = [&](size_t at, float factor) {
    const uint16_t bits = f32_to_f16(factor);
    std::memcpy(bytes.data() + at, &bits, sizeof(bits));
  };
  const bool is_ternary = format == tq1_0 || format == tq2_0;
  const float factor = is_ternary ? 0.06F : format == iq4_nl ? 1e-3F : format == q2_k ? 4e-3F : 3e-4F;
  for (size_t block = 0; block < bytes.size(); block += block_bytes) {
    for (const size_t place : scale_places(format)) set(block + place, factor);
    if (format != iq1_m) continue;
    const uint16_t bits = f32_to_f16(8e-3F);
    for (size_t word = 0; word < 4; ++word) {
      char& upper = bytes[block + 48 + 2 * word + 1];
      upper = static_cast<char>((upper & 15) | (bits >> (4 * word) & 15) << 4);
    }
  }
  return bytes;
}

/// A llama of one layer whose matrices are in `format`, or the same numbers in float32.
std::string small_llama(NumberFormat format, bool is_widened) {
  test_files::GgufBuilder gguf;
  gguf.key("general.architecture", "llama").key("llama.context_length", uint32_t{64});
  gguf.key("llama.embedding_length", kHidden).key("llama.block_count", uint32_t{1});
  gguf.key("llama.feed_forward_length", kFeedForward).key("llama.attention.head_count", kHeads);
  gguf.key("llama.attention.head_count_kv", kHeads).key("llama.vocab_size", kVocabulary);
  gguf.key("llama.attention.layer_norm_rms_epsilon", 1e-5F).key("llama.rope.dimension_count", kHidden / kHeads);
  gguf.key("tokenizer.ggml.model", "no_vocab");
  uint32_t seed = 0;
  const auto matrix = [&](const std::string& name, uint64_t rows, uint64_t cols) {
    const std::string blocks = random_blocks(format, rows * cols, ++seed);
    if (!is_widened) return (void)gguf.tensor(name, *gguf_tensor_type_of(format), {cols, rows}, blocks);
    std::vector<float> values(rows * cols);
    dequantize_row(format, std::as_bytes(std::span(blocks)), values);
    gguf.tensor(name, 0, {cols, rows}, {reinterpret_cast<const char*>(values.data()), 4 * values.size()});
  };
  const auto norm = [&](const std::string& name) {
    const std::vector<float> ones(kHidden, 1.0F);
    gguf.tensor(name, 0, {kHidden}, {reinterpret_cast<const char*>(ones.data()), 4 * ones.size()});
  };
  matrix("token_embd.weight", kVocabulary, kHidden);
  matrix("output.weight", kVocabulary, kHidden);
  norm("output_norm.weight");
  for (const char* name : {"attn_norm", "ffn_norm"}) norm(std::string("blk.0.") + name + ".weight");
  for (const char* name : {"q", "k", "v"}) {
    matrix(std::string("blk.0.attn_") + name + ".weight", kHidden, kHidden);
  }
  matrix("blk.0.attn_output.weight", kHidden, kHidden);
  matrix("blk.0.ffn_gate.weight", kFeedForward, kHidden);
  matrix("blk.0.ffn_up.weight", kFeedForward, kHidden);
  matrix("blk.0.ffn_down.weight", kHidden, kFeedForward);
  return gguf.build();
}

std::vector<float> logits_of(const std::string& file, Device& device) {
  const test_files::MemoryFile memory(file);
  const auto checkpoint = open_checkpoint(memory.path());
  if (!checkpoint) return ADD_FAILURE() << to_string(checkpoint.error()), std::vector<float>();
  LatestProgress progress;
  const auto model = Model::load(**checkpoint, device, {}, progress, {});
  if (!model) return ADD_FAILURE() << to_string(model.error()), std::vector<float>();
  auto sequence = SingleSequence::create(**model, 16, 16);
  if (!sequence) return ADD_FAILURE() << to_string(sequence.error()), std::vector<float>();
  std::vector<float> all;
  const std::vector<int32_t> tokens = {1, 5, 40, 7, 7, 0, 19};
  const auto keep = [&](size_t, std::span<const float> logits) { all.insert(all.end(), logits.begin(), logits.end()); };
  EXPECT_TRUE(sequence->append(tokens, keep));
  return all;
}

struct Case {
  NumberFormat format;
  const char* device;
  double tolerance;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const NumberFormat format :
       {q2_k, q3_k, iq1_s, iq1_m, iq2_xxs, iq2_xs, iq2_s, iq3_xxs, iq3_s, iq4_nl, iq4_xs, tq1_0, tq2_0}) {
    const bool is_exact = format == q3_k || format == iq4_nl || format == tq1_0 || format == tq2_0;
    const bool is_rounded_alone = format == q2_k || format == iq2_xs || format == iq2_s;
    all.push_back({format, "reference", is_exact ? 0 : is_rounded_alone ? 2e-2 : 4e-3});
    // Blocks meet activations in bytes there.
    all.push_back({format, "cpu", 6e-2});
    // Compiling shaders takes a software GPU long: one format for each that it is held as.
    if (format == q3_k || format == iq3_s || format == iq4_xs || format == tq2_0)
      all.push_back({format, "vulkan", 6e-2});
  }
  return all;
}

class FormatsOfFiles : public testing::TestWithParam<Case> {};

INSTANTIATE_TEST_SUITE_P(All, FormatsOfFiles, testing::ValuesIn(cases()), [](const auto& test) {
  return std::string(traits(test.param.format).name) + "_" + test.param.device;
});

TEST_P(FormatsOfFiles, AModelIsThatOfTheNumbersTheyStandFor) {
  auto device = open_device(GetParam().device, 2);
  if (!device && device.error().code == ErrorCode::unsupported && std::getenv("HEARTH_VULKAN_REQUIRED") == nullptr) {
    GTEST_SKIP() << to_string(device.error());
  }
  ASSERT_TRUE(device) << to_string(device.error());
  const auto ours = logits_of(small_llama(GetParam().format, false), **device);
  const auto expected = logits_of(small_llama(GetParam().format, true), *open_device("reference", 2).value());
  ASSERT_FALSE(expected.empty());
  ASSERT_EQ(ours.size(), expected.size());
  EXPECT_LE(relative_error(ours, expected), GetParam().tolerance);
}

}  // namespace
}  // namespace hearth
