// Tuning that a program measures: that it is kept, heeded and overridden.

#include "device/vulkan/measuring/matmul_tuner.h"

#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <map>
#include <set>

#include "base/file.h"
#include "device/vulkan/measuring/tuning_file.h"
#include "device/vulkan/testing/tuner_fixture.h"

namespace hearth::vulkan {
namespace {

namespace fs = std::filesystem;

/// What doctor gets to know of the best device's tuning.
nlohmann::ordered_json described(const fs::path& folder) {
  auto gpu = Gpu::open({});
  EXPECT_TRUE(gpu);
  const auto all = describe_vulkan_devices(folder).value();
  const auto mine =
      std::ranges::find_if(all, [&](const auto& device) { return device["name"] == (*gpu)->properties().name; });
  return mine->at("kept_tuning");
}

/// A driver that leaves out half of the work wherever a grid is not one of these, which is quicker.
std::set<uint32_t> right_grids;
PFN_vkCmdDispatch dispatch_all;

VKAPI_ATTR void VKAPI_CALL dispatch_half(VkCommandBuffer commands, uint32_t x, uint32_t y, uint32_t z) {
  dispatch_all(commands, right_grids.contains(x) ? x : x / 2, y, z);
}

void leave_out_half(VolkDeviceTable& table) {
  dispatch_all = table.vkCmdDispatch;
  table.vkCmdDispatch = dispatch_half;
}

TEST_F(MatmulTunerTest, TheFirstStartMeasuresAndLaterOnesRead) {
  std::vector<float> untuned;
  {
    auto device = *open(0);
    auto program = compile_tuned(*device);
    ASSERT_TRUE(program);
    EXPECT_EQ(tunings(*program).origin(kLinear, 1), TuningOrigin::table);
    untuned = run(*program);
    EXPECT_TRUE(file().empty()) << "nothing was measured";
    EXPECT_TRUE(program->expected_seconds(std::array{1U}).empty());
  }
  TuningChanges chosen;
  {
    auto device = *open(1000);
    auto program = compile_tuned(*device);
    ASSERT_TRUE(program);
    for (const char* shape : {kLinear, kLogits}) {
      ASSERT_EQ(tunings(*program).origin(shape, 1), TuningOrigin::measured) << shape;
      EXPECT_GT(tunings(*program).measured(shape, 1)->seconds, 0);
      EXPECT_LE(tunings(*program).measured(shape, 1)->seconds, tunings(*program).measured(shape, 1)->table_seconds);
    }
    chosen = tunings(*program).measured(kLinear, 1)->changes;
    EXPECT_EQ(program->expected_seconds(std::array{1U}),
              std::vector{2 * tunings(*program).measured(kLinear, 1)->seconds});
    const uint32_t made = device->pipelines_made();
    EXPECT_LT(relative_error(run(*program), untuned), 1e-5) << "only the order of sums may change";
    EXPECT_EQ(device->pipelines_made(), made) << "no step waits for what was chosen";
    EXPECT_EQ(device->validation_messages(), 0U);
  }
  const std::string written = read_whole_file(file()).value();
  {
    auto device = *open(1000);
    auto program = compile_tuned(*device);
    ASSERT_TRUE(program);
    EXPECT_EQ(tunings(*program).origin(kLinear, 1), TuningOrigin::kept);
    EXPECT_EQ(tunings(*program).measured(kLinear, 1)->changes, chosen);
    EXPECT_EQ(read_whole_file(file()).value(), written);
  }
  {
    auto device = *open(1000);
    ASSERT_TRUE(device->set_tuning("short_linear.rows=2"));
    EXPECT_EQ(tunings(*compile_tuned(*device)).origin(kLinear, 1), TuningOrigin::forced);
    ASSERT_TRUE(device->set_tuning("norm_threads=64"));
    EXPECT_EQ(tunings(*compile_tuned(*device)).origin(kLinear, 1), TuningOrigin::kept) << "that is not about matmuls";
  }
}

TEST_F(MatmulTunerTest, ExpectedTimesClimbInTheStairsOfTheTilesThatRun) {
  auto device = *open(0);
  ASSERT_TRUE(device->set_tuning("many_tokens_path=1"));  // tiles of 64 tokens
  auto compiled = model_.compile(*device, {.tokens = 1024, .logit_rows = 1, .sequences = 1});
  ASSERT_TRUE(compiled) << to_string(compiled.error());
  auto& program = static_cast<VulkanProgram&>(**compiled);
  const auto seconds_at = [](double seconds) { return MeasuredTuning{.seconds = seconds, .table_seconds = seconds}; };
  ASSERT_TRUE(program.set_matmuls({{kLinear, {{1, seconds_at(1)}, {64, seconds_at(2)}, {512, seconds_at(8)}}}}));
  const std::array tokens = {1U, 3U, 64U, 257U, 320U, 321U, 512U, 1000U};
  const std::vector<double> expected = {2, 2, 4, 10, 10, 12, 16, 32};  // of two products
  EXPECT_EQ(program.expected_seconds(tokens), expected);
}

TEST_F(MatmulTunerTest, EveryStartGetsFurtherHoweverShortItsTime) {
  for (uint32_t start = 0; start < 2; ++start) {
    auto device = *open(1e-9);
    auto program = compile_tuned(*device, 2);
    ASSERT_TRUE(program);
    const MatmulTunings& now = tunings(*program);
    EXPECT_EQ(now.origin(kLinear, 1), start == 0 ? TuningOrigin::measured : TuningOrigin::kept);
    EXPECT_EQ(now.origin(kLinear, 2), start == 0 ? TuningOrigin::table : TuningOrigin::measured);
  }
}

TEST_F(MatmulTunerTest, WhatComputesSomethingElseIsNotChosen) {
  const auto grids = [&](Device& device) {
    std::set<uint32_t> all;
    auto program = compile(device);
    const auto statistics = static_cast<VulkanProgram&>(*program).statistics(1, 1);
    EXPECT_TRUE(statistics);
    for (const Launch& launch : statistics->launches) all.insert(launch.groups.x);
    return all;
  };
  auto untuned = *open(0);
  right_grids = grids(*untuned);
  auto opened = open_vulkan_device({.tune_seconds = 1000, .wrap = leave_out_half});
  ASSERT_TRUE(opened) << to_string(opened.error());
  // Not all of them: another choice may share a grid with the table's.
  EXPECT_TRUE(std::ranges::includes(right_grids, grids(**opened)));
  auto program = compile_tuned(**opened);
  EXPECT_EQ(tunings(*program).origin(kLinear, 1), TuningOrigin::measured);
  EXPECT_LT(relative_error(run(*program), run(*compile(*untuned))), 1e-5);
}

/// A file made by hand: what it says is what runs, and what it does not know is not measured without time.
TEST_F(MatmulTunerTest, HeedsWhatIsKept) {
  // Without the validation layer, as doctor looks at devices: with it NVIDIA's driver names another pipeline cache.
  const auto open_plainly = [&] { return open_vulkan_device({.pipeline_cache = folder_, .tune_seconds = 0}); };
  EXPECT_TRUE(described(folder_).is_null());
  {
    auto gpu = Gpu::open({});
    ASSERT_TRUE(gpu);
    const TuningFile kept(folder_, (*gpu)->properties(), tuning_for((*gpu)->properties()), hash_of_shaders());
    ASSERT_TRUE(kept.write({{kLinear, {{1, {{{"few_tokens_limit", 0}, {"many_tokens_path", 1}}, 1e-5, 2e-5}}}}}));
  }
  const auto shaders = [&](Program& program) {
    std::vector<std::string> names;
    const auto statistics = static_cast<VulkanProgram&>(program).statistics(1, 1);
    EXPECT_TRUE(statistics);
    for (const Launch& launch : statistics->launches) names.emplace_back(name_of(launch.key.shader));
    return names;
  };
  EXPECT_TRUE(described(folder_).contains("operations"));
  {
    auto device = *open_plainly();
    auto program = compile(*device);
    ASSERT_TRUE(program);
    EXPECT_EQ(std::ranges::count(shaders(*program), "linear_many"), 2);
    auto choices = static_cast<VulkanProgram&>(*program).choices();
    ASSERT_TRUE(choices) << to_string(choices.error());
    std::map<std::string, OperationChoice> explained;
    for (OperationChoice& choice : *choices) explained[choice.operation] = std::move(choice);
    const OperationChoice& linear = explained.at(kLinear);
    EXPECT_EQ(linear.count, 2U);
    EXPECT_EQ(linear.tokens, 1U);
    EXPECT_EQ(linear.origin, "kept");
    EXPECT_EQ(linear.tuning, "few_tokens_limit=0,many_tokens_path=1");
    EXPECT_NEAR(linear.table_microseconds, 20, 1e-6);
    ASSERT_FALSE(linear.launches.empty());
    EXPECT_EQ(linear.launches[0].substr(0, 34), "linear_many q4_0 threads=256 tile_");
    EXPECT_EQ(explained.at(kLogits).origin, "table");
    EXPECT_TRUE(explained.contains("embed") && explained.contains("select rows"));
    EXPECT_EQ(std::ranges::count(shaders(*program), "linear_few"), 1) << "the head, of which the file says nothing";
  }
  std::ofstream(file(), std::ios::trunc) << "{";
  EXPECT_TRUE(described(folder_).contains("ignored"));
  auto device = *open_plainly();
  auto program = compile(*device);
  ASSERT_TRUE(program);
  EXPECT_EQ(std::ranges::count(shaders(*program), "linear_many"), 0) << "a damaged file is ignored";
  run(*program);
}

}  // namespace
}  // namespace hearth::vulkan
