// What keeps an NPU from being used is said by name, and what fails later leaves the processor to go on alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/cpu/test_device.h"
#include "device/open_device.h"
#include "device/testing/made_npu_machine.h"

namespace hearth {
namespace {

using Fault = FakeXrtControls::Fault;
using testing::AllOf;
using testing::HasSubstr;

class NpuFailuresTest : public testing::Test {
 protected:
  /// The whole error, hint and all.
  std::string refusal(const NpuOptions& options) {
    const auto device = open_npu_device(options, 1);
    return device ? "opened" : to_string(device.error());
  }
  std::string refusal() { return refusal(machine_.options()); }

  std::string refusal_of_list(const std::string& list) {
    machine_.tree().write("kernels/kernels.json", list);
    return refusal();
  }

  MadeNpuMachine machine_{HEARTH_FAKE_XRT};
};

TEST_F(NpuFailuresTest, NothingIsMissing) { EXPECT_EQ(refusal(), "opened"); }

TEST_F(NpuFailuresTest, NoNpu) {
  const TemporaryTree empty;
  NpuOptions options = machine_.options();
  options.root = empty.root();
  EXPECT_THAT(refusal(options), HasSubstr("this machine shows no NPU"));
}

TEST_F(NpuFailuresTest, AnNpuThatCannotBeUsed) {
  machine_.driver().open_result = -EACCES;
  EXPECT_THAT(refusal(), AllOf(HasSubstr("0000:c5:00.1"), HasSubstr("may not be opened"), HasSubstr("usermod")));
}

TEST_F(NpuFailuresTest, NoXrt) {
  NpuOptions options = machine_.options();
  options.xrt_library = "/nowhere/libxrt_coreutil.so.2";
  EXPECT_THAT(refusal(options), AllOf(HasSubstr("XRT, through which NPUs compute, is not there"),
                                      HasSubstr("/nowhere/libxrt_coreutil.so.2"), HasSubstr("install XRT")));
}

TEST_F(NpuFailuresTest, AnXrtThatIsTooOld) {
  NpuOptions options = machine_.options();
  options.xrt_library = HEARTH_OLD_FAKE_XRT;
  EXPECT_THAT(refusal(options), AllOf(HasSubstr("old_fake_xrt"), HasSubstr("xrt::hw_context::hw_context(xrt::device"),
                                      HasSubstr("older than what NPUs need")));
}

TEST_F(NpuFailuresTest, NoKernels) {
  NpuOptions options = machine_.options();
  options.kernels = machine_.tree().root() / "elsewhere";
  EXPECT_THAT(refusal(options), AllOf(HasSubstr("there are no kernels for the NPU"),
                                      HasSubstr("elsewhere/kernels.json"), HasSubstr("docs/devices.md")));
}

TEST_F(NpuFailuresTest, AListOfKernelsThatIsWrong) {
  const std::string files = R"("xclbin": "mm1.xclbin", "instructions": "mm1.bin", )";
  const std::string sides = R"("m": 64, "k": 64, "n": 64, )";
  const std::string types = R"("input": "bf16", "output": "f32", "b": "column-major")";
  const auto list = [](const std::string& entry) { return R"({"kernels": [{)" + entry + "}]}"; };
  EXPECT_EQ(refusal_of_list(list(files + sides + types)), "opened");
  EXPECT_THAT(refusal_of_list("{"), HasSubstr("kernels.json"));
  EXPECT_THAT(refusal_of_list("{}"), HasSubstr("no object with a list of 'kernels'"));
  EXPECT_THAT(refusal_of_list(R"({"kernels": []})"), HasSubstr("no object with a list of 'kernels'"));
  EXPECT_THAT(refusal_of_list(R"({"kernels": [1]})"), HasSubstr("kernel 0 is no object"));
  EXPECT_THAT(refusal_of_list(list(files + sides + types + R"(, "speed": 1)")), HasSubstr("a key 'speed'"));
  EXPECT_THAT(refusal_of_list(list(sides + types)), HasSubstr("needs a text as 'xclbin'"));
  EXPECT_THAT(refusal_of_list(list(R"("xclbin": "no.xclbin", "instructions": "mm1.bin", )" + sides + types)),
              HasSubstr("kernels/no.xclbin"));
  EXPECT_THAT(refusal_of_list(list(files + R"("m": 64, "k": 0, "n": 64, )" + types)), HasSubstr("as 'k'"));
  EXPECT_THAT(refusal_of_list(list(files + R"("m": -1, "k": 64, "n": 64, )" + types)), HasSubstr("as 'm'"));
  EXPECT_THAT(refusal_of_list(list(files + sides + R"("input": "i8", "output": "f32", "b": "row-major")")),
              AllOf(HasSubstr("'i8' as 'input'"), HasSubstr("only knows 'bf16'")));
  EXPECT_THAT(refusal_of_list(list(files + sides + R"("input": "bf16", "output": "i32", "b": "row-major")")),
              HasSubstr("'i32' as 'output'"));
  EXPECT_THAT(refusal_of_list(list(files + R"("kernel": "OTHER", )" + sides + types)),
              AllOf(HasSubstr("OTHER of"), HasSubstr("No such kernel 'OTHER'")));
}

TEST_F(NpuFailuresTest, AFileThatIsNoKernel) {
  machine_.tree().write("kernels/mm1.xclbin", "?");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("mm1.xclbin could not be loaded"), HasSubstr("XRT says: no xclbin")));
}

TEST_F(NpuFailuresTest, InstructionsThatAreNone) {
  machine_.tree().write("kernels/mm1.bin", "12345");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("mm1.bin"), HasSubstr("no instructions of 32 bits")));
}

TEST_F(NpuFailuresTest, InstructionsInText) {
  std::filesystem::rename(machine_.tree().root() / "kernels/mm1.bin", machine_.tree().root() / "kernels/mm1.txt");
  const std::string list = R"({"kernels": [{"xclbin": "mm1.xclbin", "instructions": "mm1.txt", "m": 64, "k": 64,
                               "n": 64, "input": "bf16", "output": "f32", "b": "column-major"}]})";
  machine_.tree().write("kernels/mm1.txt", "0A0B0C0D\n00000001\nffffffff\n");
  EXPECT_EQ(refusal_of_list(list), "opened");
  machine_.tree().write("kernels/mm1.txt", "0A0B0C0D\nno word\n");
  EXPECT_THAT(refusal_of_list(list), HasSubstr("no instructions"));
}

TEST_F(NpuFailuresTest, WhatXrtThrows) {
  machine_.controls().fault = Fault::open_throws;
  EXPECT_THAT(refusal(), AllOf(HasSubstr("the NPU at 0000:c5:00.1 could not be opened"), HasSubstr("No such device")));
  machine_.controls().fault = Fault::allocation_throws;
  EXPECT_THAT(refusal(), HasSubstr("could not be loaded"));
  machine_.controls().fault = Fault::start_throws;
  EXPECT_THAT(refusal(), HasSubstr("the command queue is gone"));
  machine_.controls().fault = Fault::run_fails;
  EXPECT_THAT(refusal(), HasSubstr("ended in state 5"));
  machine_.controls().fault = Fault::run_times_out;
  EXPECT_THAT(refusal(), HasSubstr("did not end within"));
}

TEST_F(NpuFailuresTest, OpeningThatHangsIsLeftBehind) {
  machine_.controls().fault = Fault::open_never_returns;
  NpuOptions options = machine_.options();
  options.patience = std::chrono::milliseconds(100);
  EXPECT_THAT(refusal(options), HasSubstr("no answer for 0.1 s while it was opened"));
}

TEST_F(NpuFailuresTest, AKernelThatComputesSomethingElse) {
  machine_.controls().fault = Fault::one_value_is_wrong;
  EXPECT_THAT(refusal(), AllOf(HasSubstr("mm1.xclbin"), HasSubstr("64 x 64 x 64 bf16 to f32"),
                               HasSubstr("does not compute what kernels.json says"), HasSubstr("row 63, column 63")));
  machine_.controls().fault = Fault::keeps_old_sums;
  EXPECT_THAT(refusal(), HasSubstr("does not compute what kernels.json says"));
  machine_.controls().fault = Fault::computes_nothing;
  EXPECT_THAT(refusal(), HasSubstr("does not compute what kernels.json says"));
  machine_.controls().fault = Fault::none;
  machine_.tree().write("kernels/mm1.xclbin", "64 64 64 f32 row");  // the list says column-major
  EXPECT_THAT(refusal(), HasSubstr("does not compute what kernels.json says"));
}

TEST_F(NpuFailuresTest, PowerThatNobodyCounts) {
  NpuOptions options = machine_.options();
  options.prefer = NpuPreference::power;
  EXPECT_THAT(refusal(options), AllOf(HasSubstr("nothing counts the energy"), HasSubstr("modprobe intel_rapl_msr")));
  machine_.tree().write("sys/class/powercap/intel-rapl:0/name", "package-0\n");
  EXPECT_THAT(refusal(options), AllOf(HasSubstr("may not be read"), HasSubstr("sudo chmod a+r")));
  machine_.tree().write("sys/class/powercap/intel-rapl:0/energy_uj", "12\n");
  EXPECT_EQ(refusal(options), "opened");
}

TEST(NpuNames, WhatCannotBeHonouredIsRefused) {
  const auto invariant = open_device("npu", 1, true);
  ASSERT_FALSE(invariant);
  EXPECT_THAT(to_string(invariant.error()), HasSubstr("--batch-invariant"));
  const auto power = open_devices("cpu+reference", 1, false, NpuPreference::power);
  ASSERT_FALSE(power);
  EXPECT_THAT(to_string(power.error()), AllOf(HasSubstr("'cpu+reference' is no NPU"), HasSubstr("--prefer power")));
  EXPECT_FALSE(npu_options_of(parse_device_name("cpu").value()));
}

/// A product that an NPU begins and cannot end.
class NpuLossTest : public NpuFailuresTest, public testing::WithParamInterface<Fault> {};

TEST_P(NpuLossTest, TheProcessorGoesOnAlone) {
  NpuOptions options = machine_.options(kLeastNpuTokens);
  if (GetParam() == Fault::wait_never_returns) options.patience = std::chrono::seconds(2);
  const auto npu = open_npu_device(options, 2).value();
  const auto processor = open_cpu_device(2).value();
  const auto record = [](Device& device) {
    Recording r;
    r.tensors = {{"x", Rows::tokens, 96}, {"y", Rows::tokens, 70}};
    r.operations.emplace_back(Embed{.table = cpu::add_table(device, cpu::random_values(100 * 96, 1), 96), .out = {0}});
    r.operations.emplace_back(
        Linear{.in = {0}, .weight = cpu::add_matrix(device, {{NumberFormat::q8_0, 70}}, 96, 2), .out = {1}});
    r.logits = {1};
    return r;
  };
  const auto with = cpu::compile(*npu, record(*npu));
  const auto without = cpu::compile(*processor, record(*processor));
  const cpu::PlainStep step(cpu::first_ids(80));
  const auto expected = cpu::run(*without, step.input());
  ASSERT_NE(cpu::run(*with, step.input()), expected) << "the NPU has no part in it";

  machine_.controls().fault = GetParam();
  EXPECT_EQ(cpu::run(*with, step.input()), expected);
  machine_.controls().fault = Fault::none;
  const int runs = machine_.controls().runs;
  EXPECT_EQ(cpu::run(*with, step.input()), expected);
  EXPECT_EQ(machine_.controls().runs, runs) << "what failed once is not tried again";
}

INSTANTIATE_TEST_SUITE_P(Faults, NpuLossTest,
                         testing::Values(Fault::wait_never_returns, Fault::run_times_out, Fault::run_fails,
                                         Fault::start_throws));

}  // namespace
}  // namespace hearth
