#include "device/npu/package_energy.h"

#include <gtest/gtest.h>

#include "base/testing/temporary_tree.h"

namespace hearth {
namespace {

constexpr const char* kZone = "sys/class/powercap/intel-rapl:0/";
constexpr const char* kOther = "sys/class/powercap/intel-rapl:1/";

class PackageEnergyTest : public testing::Test {
 protected:
  void write(const std::string& zone, const std::string& name, const std::string& microjoules) {
    tree_.write(zone + "name", name + "\n");
    tree_.write(zone + "max_energy_range_uj", "1000000\n");
    tree_.write(zone + "energy_uj", microjoules + "\n");
  }

  TemporaryTree tree_;
};

TEST_F(PackageEnergyTest, CountsPackagesAndNothingTwice) {
  write(kZone, "package-0", "500000");
  write(kOther, "package-1", "0");
  write("sys/class/powercap/intel-rapl:0:0/", "core", "7");
  write("sys/class/powercap/intel-rapl:2/", "psys", "7");
  auto energy = PackageEnergy::find(tree_.root()).value();
  EXPECT_EQ(energy.joules(), 0.0);
  write(kZone, "package-0", "750000");
  write(kOther, "package-1", "250000");
  write("sys/class/powercap/intel-rapl:0:0/", "core", "999999");
  EXPECT_EQ(energy.joules(), 0.5);
}

TEST_F(PackageEnergyTest, BeginsAgainFromNothing) {
  write(kZone, "package-0", "900000");
  auto energy = PackageEnergy::find(tree_.root()).value();
  write(kZone, "package-0", "150000");
  EXPECT_EQ(energy.joules(), 0.25);
  write(kZone, "package-0", "200000");
  EXPECT_NEAR(energy.joules().value(), 0.3, 1e-12);
}

TEST_F(PackageEnergyTest, SaysWhatIsMissing) {
  EXPECT_EQ(PackageEnergy::find(tree_.root()).error().code, ErrorCode::unsupported);
  write(kZone, "package-0", "");
  EXPECT_EQ(PackageEnergy::find(tree_.root()).error().code, ErrorCode::unsupported);
  write(kZone, "package-0", "1");
  auto energy = PackageEnergy::find(tree_.root()).value();
  write(kZone, "package-0", "nothing");
  EXPECT_EQ(energy.joules().error().code, ErrorCode::io);
}

}  // namespace
}  // namespace hearth
