// Machines made of a tree of files, a list of GPUs and a driver that answers, as doctor shows them.

#include "app/examine_machine.h"

#include <gmock/gmock.h>

#include <future>
#include <limits>

#include "app/print_machine.h"
#include "base/testing/temporary_tree.h"
#include "device/testing/made_amdgpu.h"
#include "device/testing/made_npu.h"

namespace hearth::app {
namespace {

using Json = nlohmann::ordered_json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class ExamineMachineTest : public testing::Test {
 protected:
  Json examine() {
    return examine_machine({.root = tree_.root(),
                            .npu_driver = driver_,
                            .describe_gpus = [this] { return gpus_; },
                            .patience = std::chrono::minutes(5)});
  }

  TemporaryTree tree_;
  std::shared_ptr<FakeNpuDriver> driver_ = std::make_shared<FakeNpuDriver>();
  Result<Json> gpus_ = fail(ErrorCode::unsupported, "no Vulkan here", "install a driver");
};

TEST_F(ExamineMachineTest, AMachineThatShowsNothingIsToldAsThat) {
  const Json report = examine();
  EXPECT_TRUE(report["kernel"].is_null() && report["disk"].is_null() && report["memory"]["lockable_bytes"].is_null());
  EXPECT_TRUE(report["memory"]["read_gb_per_second"].is_null()) << "not asked for";
  for (const char* list : {"gpus", "amd_gpus", "npus", "numa_nodes", "render_nodes"}) {
    EXPECT_TRUE(report[list].is_array() && report[list].empty()) << list;
  }
  EXPECT_THAT(machine_text(report), AllOf(HasSubstr("GPU: none for Vulkan\n  no Vulkan here; install a driver\n"),
                                          HasSubstr("NPU: none of AMD's; one may be"), HasSubstr("may be locked")));
}

TEST_F(ExamineMachineTest, TellsProcessorAndMemory) {
  tree_.write("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu avx avx2 fma avx512_vnni sse\nflags\t\t: amx_int8\n");
  tree_.write("proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 4000000 kB\n");
  tree_.write("proc/self/limits", "Max locked memory         8388608              8388608              bytes     \n");
  tree_.write("proc/sys/kernel/osrelease", "6.12.9-amd64\n");
  tree_.write("sys/devices/system/node/node0/cpulist", "0-7\n");
  tree_.write("sys/devices/system/node/node0/meminfo", "Node 0 MemTotal: 8000000 kB\nNode 0 MemFree: 1000000 kB\n");
  const Json report = examine();
  EXPECT_EQ(report["cpu"]["features"], Json({"avx", "avx2", "fma", "avx512_vnni"}));
  EXPECT_EQ(report["memory"]["free_bytes"], 4'096'000'000U);
  EXPECT_THAT(machine_text(report), AllOf(HasSubstr("avx, avx2, fma, avx512_vnni\n"),
                                          HasSubstr("4.1 GB free; 0.0 GB may be locked\n"), HasSubstr("6.12.9-amd64\n"),
                                          HasSubstr("NUMA node 0                8.2 GB, 1.0 GB free; cores 0-7\n")));
}

TEST_F(ExamineMachineTest, AmdGpusComeWithAdvice) {
  add_amdgpu(tree_, {});
  const Json report = examine();
  ASSERT_EQ(report["amd_gpus"].size(), 1U);
  EXPECT_EQ(report["amd_gpus"][0]["chip"], "Strix Halo");
  EXPECT_EQ(report["amd_gpus"][0]["advice"].size(), 1U);
  EXPECT_THAT(machine_text(report),
              AllOf(HasSubstr("\nAMD's driver for card1 (Strix Halo) at 0000:c5:00.0\n"),
                    HasSubstr("carve-out (VRAM)           0.5 GB, 0.1 GB used\n"),
                    HasSubstr("67.0 GB at most, 0.0 GB used; ttm.pages_limit 16346152, amdgpu.gttsize -1\n"),
                    HasSubstr("MES 0x80\n"), HasSubstr("options ttm pages_limit=28605766")));
}

TEST_F(ExamineMachineTest, WhatAmdGpusDoNotShowIsUnknown) {
  add_amdgpu(tree_, {.device = "?", .vram = "", .gtt = "x", .performance_level = "", .scheduler_firmware = ""});
  std::filesystem::remove_all(tree_.root() / "sys/module");
  EXPECT_THAT(machine_text(examine()),
              AllOf(HasSubstr("AMD's driver for card1 at"), HasSubstr("unknown, 0.1 GB used"),
                    HasSubstr("ttm.pages_limit unknown, amdgpu.gttsize unknown"), Not(HasSubstr("advice"))));
}

TEST_F(ExamineMachineTest, GpusKeepTheirPropertiesAndGetNotes) {
  gpus_ = Json::array({{{"name", "Radeon 780M"},
                        {"usable", true},
                        {"obstacle", nullptr},
                        {"vendor_id", 0x1002},
                        {"shared_memory_bytes", 65536},
                        {"cooperative_matrices", {"16x16x16 f16 to f32", "16x16x16 i8 to i32"}},
                        {"integer_dot_product", "in hardware"},
                        {"one_memory", true},
                        {"memory_budget", true},
                        {"timestamp_ns", std::numeric_limits<double>::infinity()},
                        {"heaps", Json::array()},
                        {"kept_tuning", nullptr}},
                       {{"name", "Old"}, {"usable", false}, {"obstacle", "no Vulkan 1.3"}, {"heaps", Json::array()}}});
  const Json report = examine();
  EXPECT_TRUE(report["gpus"][0]["notes"]["lacks"].empty());
  EXPECT_THAT(
      machine_text(report),
      AllOf(HasSubstr("\nGPU 0 (--device vulkan:0): Radeon 780M\n  vendor id                  0x1002\n"),
            HasSubstr("shared memory bytes        64 KiB\n"), HasSubstr("timestamp ns               no\n"),
            HasSubstr("hearth uses                matrix units for prompts and their attention (16x16x16 f16"),
            HasSubstr("GPU 1 (--device vulkan:1): Old, cannot be used: no Vulkan 1.3\n"), Not(HasSubstr("it lacks"))));
}

TEST_F(ExamineMachineTest, AVulkanDriverThatHangsIsNotWaitedFor) {
  std::promise<void> release;
  const auto hang = [released = release.get_future().share()]() -> Result<Json> {
    released.wait();
    return Json::array();
  };
  const Json report = examine_machine({.root = tree_.root(),
                                       .npu_driver = driver_,
                                       .describe_gpus = hang,
                                       .patience = std::chrono::minutes(5),
                                       .gpu_patience = std::chrono::milliseconds(50)});
  release.set_value();
  EXPECT_THAT(report["gpu_error"].get<std::string>(), HasSubstr("the Vulkan driver: no answer came for"));
  EXPECT_TRUE(report["gpus"].empty());
}

TEST_F(ExamineMachineTest, NpusTellWhatTheirDriverSays) {
  made_npus().front().make(tree_, *driver_);
  driver_->answers[FakeNpuDriver::kFirmwareVersion] = FakeNpuDriver::bytes_of(1U, 5U, 2U, 381U);
  const Json npu = examine()["npus"].at(0);
  EXPECT_EQ(npu["state"], "usable");
  EXPECT_EQ(npu["array"]["columns"], 5);
  EXPECT_EQ(npu["clocks"][1]["mhz"], 1024);
  EXPECT_EQ(npu["resources"]["tops_max"], 10);
  EXPECT_EQ(npu["firmware"], "1.5.2.381") << "the driver's, not sysfs's";
  EXPECT_TRUE(npu["obstacle"].is_null() && npu["remedy"].is_null());
}

}  // namespace
}  // namespace hearth::app
