// docs/doctor.md shows what doctor prints for every made state of an NPU: this test holds the page to the program.

#include <gtest/gtest.h>

#include <regex>
#include <sstream>

#include "app/describe_amd.h"
#include "app/print_machine.h"
#include "base/file.h"
#include "base/testing/source_folder.h"
#include "device/testing/made_amdgpu.h"
#include "device/testing/made_npu.h"

namespace hearth::app {
namespace {

using Json = nlohmann::ordered_json;

std::string page() { return read_whole_file(source_folder() / "docs/doctor.md").value_or(""); }

/// As it would stand on the page: paths from "/" on, and times and threads as they are for the real limit.
std::string on_the_page(std::string text, const TemporaryTree& tree) {
  const std::string root = tree.root();
  for (size_t at = 0; (at = text.find(root, at)) != text.npos;) text.erase(at, root.size());
  text = std::regex_replace(text, std::regex("came for [0-9.]+ s"), "came for 3.0 s");
  text = std::regex_replace(text, std::regex("; the thread that waits is [^\n]*"), "");
  std::string indented;
  for (std::istringstream lines(text); std::getline(lines, text);) indented += text.empty() ? "" : "    " + text + "\n";
  return indented;
}

TEST(DoctorPage, ShowsEveryStateOfAnNpu) {
  for (const MadeNpu& made : made_npus()) {
    const TemporaryTree tree;
    const auto driver = std::make_shared<FakeNpuDriver>();
    made.make(tree, *driver);
    const auto limit = driver->hang_at == 0 ? std::chrono::minutes(5) : std::chrono::milliseconds(50);
    const auto npus = detect_npus(tree.root(), driver, limit);
    driver->release();
    ASSERT_TRUE(npus);
    const std::string text = on_the_page(npus_text({{"npus", describe_npus(*npus)}, {"npu_error", nullptr}}), tree);
    EXPECT_NE(page().find("**" + std::string(name_of(made.state)) + "** (" + made.what + "):\n\n" + text),
              std::string::npos)
        << "docs/doctor.md lacks\n**" << name_of(made.state) << "** (" << made.what << "):\n\n"
        << text;
  }
}

TEST(DoctorPage, ShowsAnAmdGpuThatNobodySetUp) {
  const TemporaryTree tree;
  add_amdgpu(tree, {.kernel = "7.0.0-31-generic", .scheduler_firmware = "0x00000083", .platform_profile = "low-power"});
  const Json gpus = describe_amd_gpus(read_amd_system(tree.root()));
  const std::string text = on_the_page(amd_gpus_text({{"amd_gpus", gpus}, {"amd_gpu_error", nullptr}}), tree);
  EXPECT_NE(page().find(text), std::string::npos) << "docs/doctor.md lacks\n" << text;
}

}  // namespace
}  // namespace hearth::app
