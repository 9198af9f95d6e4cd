#include "device/amdgpu/amdgpu_advice.h"

#include <gmock/gmock.h>

#include "device/testing/made_amdgpu.h"

namespace hearth {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;

testing::Matcher<Advice> tells(const std::string& finding, const std::string& command) {
  return AllOf(Field(&Advice::finding, HasSubstr(finding)), Field(&Advice::command, HasSubstr(command)));
}

/// A machine with all set up well: 112 GiB of GTT.
MadeAmdGpu well() { return {.gtt = "120259084288"}; }

std::vector<Advice> advice_for(const MadeAmdGpu& made) {
  const TemporaryTree tree;
  add_amdgpu(tree, made);
  const AmdSystem system = read_amd_system(tree.root());
  EXPECT_EQ(system.gpus.size(), 1U);
  return system.gpus.empty() ? std::vector<Advice>() : advise(system, system.gpus.front());
}

TEST(AmdGpuSigns, AreReadFromSysfs) {
  const TemporaryTree tree;
  EXPECT_TRUE(read_amd_system(tree.root()).gpus.empty());
  add_amdgpu(tree, {});
  const AmdSystem system = read_amd_system(tree.root());
  EXPECT_EQ(system.kernel_version, (KernelVersion{6, 18, 9}));
  EXPECT_EQ(system.memory_bytes, 130769216ULL * 1024);
  EXPECT_EQ(system.ttm_pages_limit, 16346152U);
  EXPECT_EQ(system.gtt_size_parameter, "-1");
  EXPECT_FALSE(system.has_lockup_timeout);
  EXPECT_EQ(system.platform_profile, "balanced");
  ASSERT_EQ(system.gpus.size(), 1U);
  const AmdGpu& gpu = system.gpus[0];
  EXPECT_EQ(gpu.card, "card1");
  EXPECT_EQ(gpu.pci_address, "0000:c5:00.0");
  EXPECT_EQ(gpu.chip, "Strix Halo");
  EXPECT_TRUE(gpu.is_integrated());
  EXPECT_EQ(gpu.vram_bytes, 536870912U);
  EXPECT_EQ(gpu.gtt_bytes, 66953838592U);
  EXPECT_EQ(gpu.performance_level, "auto");
  EXPECT_EQ(gpu.scheduler_firmware, 0x80U);
}

TEST(AmdGpuSigns, GarbageAndMissingFilesAreUnknown) {
  const MadeAmdGpu garbage = {.kernel = "\xff",
                              .device = "zz",
                              .vram = "lots",
                              .gtt = "-5",
                              .performance_level = "",
                              .scheduler_firmware = "0x",
                              .platform_profile = "\x01\x02",
                              .gtt_size = "",
                              .memory_kib = "x"};
  const TemporaryTree tree;
  add_amdgpu(tree, garbage);
  const AmdSystem system = read_amd_system(tree.root());
  ASSERT_EQ(system.gpus.size(), 1U);
  const AmdGpu& gpu = system.gpus[0];
  EXPECT_FALSE(system.kernel_version || system.memory_bytes || system.gtt_size_parameter);
  EXPECT_FALSE(gpu.device_id || gpu.vram_bytes || gpu.gtt_bytes || gpu.performance_level || gpu.scheduler_firmware);
  EXPECT_THAT(advise(system, gpu), IsEmpty());
  for (const char* folder : {"proc", "sys/module", "sys/firmware"}) std::filesystem::remove_all(tree.root() / folder);
  EXPECT_THAT(advise(read_amd_system(tree.root()), gpu), IsEmpty());
}

TEST(AmdGpuAdvice, AMachineThatIsSetUpWellGetsNone) { EXPECT_THAT(advice_for(well()), IsEmpty()); }

TEST(AmdGpuAdvice, HalfOfTheMemoryIsNotEnough) {
  // 130769216 KiB less an eighth, in pages
  EXPECT_THAT(advice_for({}),
              ElementsAre(tells("it may map 67.0 GB of the system's 133.9 GB beside its carve-out of 0.5 GB",
                                "options ttm pages_limit=28605766")));
  EXPECT_THAT(advice_for({.gtt_size = "61440"}),
              ElementsAre(tells("may map", "pages_limit"), tells("amdgpu.gttsize=61440", "take")));
  EXPECT_THAT(advice_for({.memory_kib = "6291456"}), IsEmpty()) << "what is mapped is more than may be asked for";
  EXPECT_THAT(advice_for({.device = "0x744c"}), IsEmpty()) << "a card with memory of its own (RX 7900 XTX)";
}

TEST(AmdGpuAdvice, ALargeCarveOutIsLostToAllElse) {
  MadeAmdGpu made = {.vram = "68719476736", .gtt = "57000000000", .memory_kib = "63660352"};  // 64 of 128 GiB
  EXPECT_THAT(advice_for(made), ElementsAre(tells("68.7 GB of 133.9 GB are carved out", "firmware's setup")));
  made.device = "0x744c";
  EXPECT_THAT(advice_for(made), IsEmpty()) << "a card's own memory is no carve-out";
}

TEST(AmdGpuAdvice, KernelsKnownToBeBadAreNamed) {
  MadeAmdGpu made = well();
  made.kernel = "6.18.3-arch1";
  EXPECT_THAT(advice_for(made),
              ElementsAre(tells("before 6.18.4 were reported to be unstable with this GPU (this is 6.18.3-arch1)",
                                "newer kernel")));
  made.device = "0x15bf";
  EXPECT_THAT(advice_for(made), IsEmpty()) << "known of Strix Halo only";
}

TEST(AmdGpuAdvice, FirmwareKnownToBeBadIsNamed) {
  MadeAmdGpu made = well();
  made.scheduler_firmware = "0x00000083";
  EXPECT_THAT(advice_for(made), ElementsAre(tells("MES 0x83", "linux-firmware")));
  made.device = "0x1114";
  made.scheduler_firmware = "0x00000082";
  EXPECT_THAT(advice_for(made), ElementsAre(tells("MES 0x82", "newer kernel")));
  made.kernel = "6.19.10";
  EXPECT_THAT(advice_for(made), IsEmpty());
}

TEST(AmdGpuAdvice, ShortTimeoutsOfNewKernelsAreNamed) {
  MadeAmdGpu made = well();
  made.kernel = "7.0.0-31-generic";
  EXPECT_THAT(advice_for(made), ElementsAre(tells("more than 2 seconds", "lockup_timeout=10000")));
  made.lockup_timeout = "10000";
  EXPECT_THAT(advice_for(made), IsEmpty());
}

TEST(AmdGpuAdvice, SavedPowerIsNamedWithWhatEndsIt) {
  MadeAmdGpu made = well();
  made.performance_level = "low";
  made.platform_profile = "low-power";
  EXPECT_THAT(advice_for(made),
              ElementsAre(tells("held down", "echo auto | sudo tee /sys/class/drm/card1/device/power_dpm_force"),
                          tells("saves power", "echo performance | sudo tee /sys/firmware/acpi/platform_profile")));
}

}  // namespace
}  // namespace hearth
