#include "app/gpu_notes.h"

#include <gmock/gmock.h>

namespace hearth::app {
namespace {

using Json = nlohmann::ordered_json;
using testing::HasSubstr;

Json gpu_with(Json matrices) {
  return {{"usable", true},
          {"cooperative_matrices", std::move(matrices)},
          {"integer_dot_product", "in hardware"},
          {"one_memory", false},
          {"transfer_queue", true},
          {"memory_budget", true},
          {"timestamp_ns", 1.0}};
}

TEST(GpuNotes, NothingIsSaidOfDevicesThatCannotBeUsed) {
  EXPECT_EQ(gpu_notes({{"usable", false}}), Json({{"uses", Json::array()}, {"lacks", Json::array()}}));
}

TEST(GpuNotes, MatricesAreUsedByTheirNumbers) {
  const auto lacks = [](Json matrices) { return gpu_notes(gpu_with(std::move(matrices)))["lacks"].dump(); };
  EXPECT_EQ(lacks({"16x8x16 f16 to f16", "16x8x16 f16 to f32", "16x8x32 i8 to i32"}), "[]");
  EXPECT_THAT(lacks({"16x8x16 f16 to f16"}), HasSubstr("prompts run on packed dot products"));
  EXPECT_THAT(lacks(Json::array()), HasSubstr("prompts run on packed dot products"));
  EXPECT_THAT(lacks({"16x16x16 i8 to i32"}), HasSubstr("matrices of f16 to f32"));
  EXPECT_THAT(lacks({"16x16x16 f16 to f32"}), HasSubstr("matrices of bytes"));
  EXPECT_EQ(gpu_notes(gpu_with({"16x16x16 f16 to f32"}))["uses"][0],
            "matrix units for prompts and their attention (16x16x16 f16 to f32)");
}

TEST(GpuNotes, WhatIsLackingIsSaidWithItsCost) {
  Json gpu = gpu_with({"16x8x16 f16 to f32", "16x8x32 i8 to i32"});
  gpu["integer_dot_product"] = "emulated";
  gpu["memory_budget"] = false;
  gpu["timestamp_ns"] = nullptr;
  const Json lacks = gpu_notes(gpu)["lacks"];
  ASSERT_EQ(lacks.size(), 3U);
  EXPECT_THAT(lacks[0].get<std::string>(), HasSubstr("several instructions"));
  EXPECT_THAT(lacks[1].get<std::string>(), HasSubstr("memory=MiB"));
  EXPECT_THAT(lacks[2].get<std::string>(), HasSubstr("timestamps"));
}

TEST(GpuNotes, UnknownPropertiesAreNoFault) { EXPECT_FALSE(gpu_notes({{"usable", true}})["lacks"].empty()); }

}  // namespace
}  // namespace hearth::app
