// What doctor says of an NPU beside the processor, with an XRT that computes on the host.

#include <gmock/gmock.h>

#include "app/describe_amd.h"
#include "app/examine_machine.h"
#include "app/print_machine.h"
#include "base/file.h"
#include "base/testing/source_folder.h"
#include "device/testing/made_npu_machine.h"

namespace hearth::app {
namespace {

using Json = nlohmann::ordered_json;
using testing::AllOf;
using testing::HasSubstr;

class NpuComparisonTest : public testing::Test {
 protected:
  Json compare(const NpuOptions& options) {
    const auto gpus = []() -> Result<Json> { return fail(ErrorCode::unsupported, "no Vulkan here"); };
    return examine_machine({.root = machine_.tree().root(),
                            .npu_driver = options.driver,
                            .describe_gpus = gpus,
                            .patience = std::chrono::minutes(5),
                            .npu = options})["npu_comparison"];
  }

  MadeNpuMachine machine_{HEARTH_FAKE_XRT, {{64, 256, 256, "f32", "row-major"}}};
};

TEST_F(NpuComparisonTest, IsMeasuredAndPrinted) {
  machine_.tree().write("sys/class/powercap/intel-rapl:0/name", "package-0\n");
  machine_.controls().faultless_runs = 2;  // those that check the kernel
  machine_.controls().fault = FakeXrtControls::Fault::computes_nothing;
  const Json comparison = compare(machine_.options());
  ASSERT_TRUE(comparison["error"].is_null()) << comparison;
  ASSERT_EQ(comparison["products"].size(), 4U);
  for (const Json& product : comparison["products"]) {
    EXPECT_EQ(product["product"], "linear 4096 to 4096 q4_0");
    EXPECT_GT(product["processor_seconds"].get<double>(), 0);
    EXPECT_GT(product["npu_seconds"].get<double>(), 0);
    EXPECT_EQ(product["npu_is_faster"], product["npu_seconds"] < product["processor_seconds"]);
    EXPECT_FALSE(product["npu_is_cheaper"]) << "nobody counts it";
  }
  EXPECT_THAT(npu_comparison_text(comparison),
              AllOf(HasSubstr("side by side, measured now"), HasSubstr("64 x 256 x 256 bf16 to f32"),
                    HasSubstr("512 tokens"), HasSubstr("ms by the NPU"), HasSubstr("may not be read")));
}

TEST_F(NpuComparisonTest, SaysWhatIsMissing) {
  NpuOptions options = machine_.options();
  options.kernels = "/nowhere";
  EXPECT_THAT(npu_comparison_text(compare(options)), HasSubstr("not compared               there are no kernels"));
  options = machine_.options();
  options.xrt_library = "/nowhere/xrt.so";
  EXPECT_THAT(npu_comparison_text(compare(options)), HasSubstr("XRT, through which NPUs compute, is not there"));
}

TEST_F(NpuComparisonTest, AnNpuThatCannotBeUsedIsNotCompared) {
  machine_.driver().open_result = -EACCES;
  EXPECT_TRUE(compare(machine_.options()).is_null()) << "what keeps it from being used is said already";
}

/// With energy, and with the numbers that docs/doctor.md shows.
TEST(NpuComparisonText, IsOnDoctorsPage) {
  NpuReport report = {.kernels = {"512 x 512 x 512 bf16 to f32"}, .comparisons = {}, .no_energy = {}};
  for (const uint32_t tokens : {64U, 128U, 256U, 512U}) {
    const double scale = tokens / 64.0;
    report.comparisons.push_back({.product = "linear 4096 to 4096 q4_0",
                                  .count = 1,
                                  .tokens = tokens,
                                  .processor_seconds = 0.004 * scale,
                                  .npu_seconds = 0.012,
                                  .processor_joules = 0.1 * scale,
                                  .npu_joules = 0.15});
  }
  const std::string text = npu_comparison_text(describe_npu_report(report));
  std::string indented;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) indented += line.empty() ? "" : "    " + line + "\n";
  EXPECT_THAT(read_whole_file(source_folder() / "docs/doctor.md").value_or(""), HasSubstr(indented));
}

}  // namespace
}  // namespace hearth::app
