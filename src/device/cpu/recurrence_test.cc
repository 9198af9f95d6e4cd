#include <gtest/gtest.h>

#include "device/cpu/test_device.h"
#include "device/testing/state_layer.h"

namespace hearth::cpu {
namespace {

using namespace testing_state;

class Recurrence : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Isa, Recurrence, testing::ValuesIn(isa_names()), isa_name);

std::vector<std::vector<int32_t>> texts() { return {random_text(48, 1), random_text(48, 2), random_text(48, 3)}; }

TEST_P(Recurrence, IsTheReferences) {
  for (const Shape& shape : shapes()) {
    const auto cpu = open_cpu(GetParam(), 2);
    const auto reference = open_reference_device(1);
    Runner is(shape, *cpu), should(shape, *reference);
    ASSERT_EQ(is.error(), "") << shape.name;
    const auto all = texts();
    for (const auto& shares : mixed_steps(all)) {
      EXPECT_LT(relative_error(is.run(shares), should.run(shares)), 2e-5) << shape.name << " " << is.error();
    }
  }
}

/// The bits of a text's rows are the same in one step, token by token, and in company.
TEST_P(Recurrence, BitsDependOnNothingButTheText) {
  for (const Shape& shape : shapes()) {
    const auto cpu = open_cpu(GetParam(), 2);
    Runner runner(shape, *cpu);
    ASSERT_EQ(runner.error(), "") << shape.name;
    const auto text = random_text(20, 4), other = random_text(7, 5);
    const std::vector<float> whole = runner.run({{text, -1, 0}});
    const size_t width = whole.size() / text.size();
    std::vector<float> pieces, in_company;
    for (size_t first = 0, count = 1; first < text.size(); first += count, count = first % 5 + 1) {
      const size_t end = std::min(text.size(), first + count);
      const Share share = {std::span(text).subspan(first, end - first), first == 0 ? -1 : 1, 1};
      const auto rows = runner.run({share});
      pieces.insert(pieces.end(), rows.begin(), rows.end());
      const Share again = {share.tokens, first == 0 ? -1 : 2, 2};
      const auto with_other = runner.run({{other, -1, 3}, again});
      in_company.insert(in_company.end(), with_other.begin() + static_cast<ptrdiff_t>(other.size() * width),
                        with_other.end());
    }
    EXPECT_EQ(pieces, whole) << shape.name;
    EXPECT_EQ(in_company, whole) << shape.name;
  }
}

/// A state that a step starts from stays as it is where the step writes to another.
TEST_P(Recurrence, StatesThatAreOnlyReadStay) {
  for (const Shape& shape : shapes()) {
    const auto cpu = open_cpu(GetParam(), 2);
    Runner runner(shape, *cpu);
    const auto text = random_text(20, 6);
    const auto beginning = std::span(text).first(9), rest = std::span(text).subspan(9);
    runner.run({{beginning, -1, 0}});
    const auto once = runner.run({{rest, 0, 1}});
    EXPECT_EQ(runner.run({{rest, 0, 2}, {rest.first(1), 0, 3}}).size(), once.size() / rest.size() * 12);
    EXPECT_EQ(runner.run({{rest, 0, 0}}), once) << shape.name;
  }
}

TEST(RecurrenceChecks, RefusesWhatDoesNotFit) {
  const auto cpu = open_cpu("", 1);
  Shape shape = shapes()[2];
  shape.kernel = 17;
  EXPECT_NE(Runner(shape, *cpu).error().find("convolution over 17"), std::string::npos);
  shape = shapes()[2];
  shape.heads = 3;
  EXPECT_NE(Runner(shape, *cpu).error().find("cannot share 2 key heads"), std::string::npos);
  const auto text = random_text(1, 1);
  for (const Share& share : {Share{text, -2, 0}, Share{text, 16, 0}, Share{text, -1, 16}, Share{text, -1, -1}}) {
    Runner runner(shapes()[2], *cpu);
    EXPECT_TRUE(runner.run({share}).empty());
    EXPECT_NE(runner.error().find("blocks of the states"), std::string::npos) << runner.error();
  }
}

}  // namespace
}  // namespace hearth::cpu
