#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "device/tune_to_end.h"
#include "device/vulkan/recording/program.h"
#include "device/vulkan/testing/test_model.h"
#include "device/vulkan/vulkan_device.h"

namespace hearth::vulkan {

/// A model of few pipelines, and a folder in which its tuning is kept.
class MatmulTunerTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) / ("hearth_tuner_" + std::to_string(getpid()));
    std::filesystem::remove_all(folder_);
    auto opened = open(0);
    if (!opened && may_be_missing(opened.error())) GTEST_SKIP() << to_string(opened.error());
    ASSERT_TRUE(opened) << to_string(opened.error());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Result<std::unique_ptr<VulkanDevice>> open(double seconds) const {
    return open_vulkan_device({.validation = std::getenv("HEARTH_VULKAN_VALIDATION") != nullptr,
                               .pipeline_cache = folder_,
                               .tune_seconds = seconds});
  }

  /// Two products of one shape and a head; single tokens only, to have few pipelines.
  static TestModel model() {
    TestModel model(1);
    const TensorId in = model.input(256);
    const TensorId once = model.tensor(Rows::tokens, 256), twice = model.tensor(Rows::tokens, 256);
    for (const auto& [from, to] : {std::pair(in, once), std::pair(once, twice)}) {
      const MatrixId weight = model.matrix({{NumberFormat::q4_0, 256}}, 256);
      model.recording.operations.push_back(Linear{.in = from, .weight = weight, .out = to});
    }
    const TensorId selected = model.tensor(Rows::logits, 256);
    model.recording.operations.push_back(SelectRows{.in = twice, .out = selected});
    model.recording.logits = model.tensor(Rows::logits, 64);
    model.recording.operations.push_back(
        Logits{.in = selected, .head = model.matrix({{NumberFormat::f32, 64}}, 256), .out = model.recording.logits});
    return model;
  }

  std::unique_ptr<Program> compile(Device& device, uint32_t tokens = 1) const {
    auto program = model_.compile(device, {.tokens = tokens, .logit_rows = 1, .sequences = 1}, {.prepare = true});
    EXPECT_TRUE(program) << to_string(program.error());
    return program ? std::move(*program) : nullptr;
  }

  std::unique_ptr<Program> compile_tuned(Device& device, uint32_t tokens = 1) const {
    auto program = compile(device, tokens);
    if (program == nullptr) return program;
    const auto tuned = tune_to_end(*program);
    EXPECT_TRUE(tuned) << to_string(tuned.error());
    return program;
  }

  static const MatmulTunings& tunings(Program& program) { return static_cast<VulkanProgram&>(program).matmuls(); }

  static std::vector<float> run(Program& program) {
    TestSteps steps(1, 0, 0, 3);
    const auto step = steps.next({1}, 64);
    const auto output = program.run(step.input());
    EXPECT_TRUE(output) << to_string(output.error());
    return output ? std::vector<float>(output->logits.begin(), output->logits.end()) : std::vector<float>();
  }

  /// The only file of tunings.
  std::filesystem::path file() const {
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      if (entry.path().extension() == ".json") return entry.path();
    }
    return {};
  }

  const TestModel model_ = model();
  std::filesystem::path folder_;
};

// Its matmuls.
inline constexpr const char* kLinear = "linear 256 to 256 q4_0";
inline constexpr const char* kLogits = "logits 256 to 64 f32";

}  // namespace hearth::vulkan
