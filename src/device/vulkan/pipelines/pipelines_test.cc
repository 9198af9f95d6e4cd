// Pipelines on a device: made once, before tokens are, and kept in a file that may be damaged.

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "device/vulkan/testing/test_model.h"
#include "device/vulkan/vulkan_device.h"

namespace hearth::vulkan {
namespace {

namespace fs = std::filesystem;

class PipelinesTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("hearth_start_" + std::to_string(getpid()));
    fs::remove_all(folder_);
    auto opened = open();
    if (!opened && may_be_missing(opened.error())) GTEST_SKIP() << to_string(opened.error());
    ASSERT_TRUE(opened) << to_string(opened.error());
  }
  void TearDown() override { fs::remove_all(folder_); }

  Result<std::unique_ptr<VulkanDevice>> open() const {
    return open_vulkan_device(
        {.validation = std::getenv("HEARTH_VULKAN_VALIDATION") != nullptr, .pipeline_cache = folder_});
  }

  /// A small model with every operation but attention, whose results depend on all pipelines.
  static TestModel model() {
    TestModel model(1);
    const TensorId in = model.input(256);
    const TensorId activated = model.tensor(Rows::tokens, 256);
    const MatrixId gate_up = model.gate_up_matrix({{NumberFormat::q4_0, 256}, {NumberFormat::q4_0, 256}}, 256);
    model.recording.operations.push_back(GateUp{.in = in, .gate_up = gate_up, .out = activated});
    const TensorId selected = model.tensor(Rows::logits, 256);
    model.recording.operations.push_back(SelectRows{.in = activated, .out = selected});
    model.recording.logits = model.tensor(Rows::logits, 64);
    model.recording.operations.push_back(
        Logits{.in = selected, .head = model.matrix({{NumberFormat::q8_0, 64}}, 256), .out = model.recording.logits});
    return model;
  }

  /// Logits of a step of `count` tokens.
  static std::vector<float> run(Program& program, uint32_t count) {
    TestSteps steps(1, 0, 0, 3);
    const auto step = steps.next({count}, 64);
    const auto output = program.run(step.input());
    EXPECT_TRUE(output) << to_string(output.error());
    return output ? std::vector<float>(output->logits.begin(), output->logits.end()) : std::vector<float>();
  }

  fs::path folder_;
};

TEST_F(PipelinesTest, NoneIsMadeWhileTokensAre) {
  auto device = *open();
  auto program = model().compile(*device, {.tokens = 40, .logit_rows = 40, .sequences = 1}, {.prepare = true});
  ASSERT_TRUE(program) << to_string(program.error());
  const uint32_t prepared = device->pipelines_made();
  EXPECT_GT(prepared, 20U);  // two few-token matmuls for each of eight counts or more, and other shaders
  for (const uint32_t count : {1U, 7U, 17U}) run(**program, count);
  EXPECT_EQ(device->pipelines_made(), prepared);
}

TEST_F(PipelinesTest, WithoutPreparingTheyAreMadeWhenFirstMet) {
  auto device = *open();
  const uint32_t learning = device->pipelines_made();  // what its matrices look like
  auto program = *model().compile(*device, {.tokens = 40, .logit_rows = 40, .sequences = 1});
  EXPECT_EQ(device->pipelines_made(), learning);
  run(*program, 3);
  const uint32_t made = device->pipelines_made();
  EXPECT_GT(made, learning);
  run(*program, 3);
  EXPECT_EQ(device->pipelines_made(), made);
}

TEST_F(PipelinesTest, AnotherStartReadsThemAndSurvivesDamage) {
  std::vector<float> first;
  const auto start = [&] {
    auto device = *open();
    auto program = *model().compile(*device, {.tokens = 2, .logit_rows = 2, .sequences = 1});
    const auto logits = run(*program, 2);
    if (first.empty()) first = logits;
    EXPECT_EQ(logits, first);
  };
  start();
  ASSERT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1);
  const fs::path file = fs::directory_iterator(folder_)->path();
  start();
  {
    std::fstream damaged(file, std::ios::in | std::ios::out | std::ios::binary);
    damaged.seekp(static_cast<std::streamoff>(fs::file_size(file) / 2));
    damaged.put('!').put('?');
  }
  start();
  std::ofstream(file, std::ios::trunc) << "no pipelines";
  start();
  EXPECT_GT(fs::file_size(file), 64U) << "what was damaged is written anew";
}

}  // namespace
}  // namespace hearth::vulkan
