// Steps that begin while the rows of their matrices are still being read.

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "device/open_device.h"
#include "device/split/split_device.h"
#include "model/testing/golden_logits.h"

namespace hearth {
namespace {

struct Case {
  std::string family, device;
};

std::unique_ptr<Device> open(const std::string& name) {
  if (name != "split") {
    auto device = open_device(name, 2);
    return device ? std::move(*device) : nullptr;
  }
  std::vector<SplitStage> stages;
  stages.push_back({.device = open_device("cpu", 2).value(), .first_layer = 0});
  stages.push_back({.device = open_device("reference", 2).value(), .first_layer = 2});
  return make_split_device(std::move(stages), 4).value();
}

/// Lets time pass between rows, and requests a stop when so many were read.
class SlowSink final : public ProgressSink {
 public:
  explicit SlowSink(double stop_at = 2) : stop_at_(stop_at) {}
  void report(const Progress& progress) override {
    if (progress.stage != "read") return;
    if (progress.fraction() >= stop_at_) source_.request_stop();
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  std::stop_token token() const { return source_.get_token(); }

 private:
  const double stop_at_;
  std::stop_source source_;
};

class ArrivingWeightsTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    device_ = open(GetParam().device);
    if (device_ == nullptr) GTEST_SKIP() << "there is no " << GetParam().device;
    const auto path = goldens() / GetParam().family;
    checkpoint_ = open_checkpoint(path).value();
    golden_ = nlohmann::json::parse(read_whole_file(path / "golden.json").value());
    tokens_ = golden_["input_ids"].get<std::vector<int32_t>>();
    SlowSink sink;
    model_ = Model::declare(*checkpoint_, *device_, {}, sink, {}).value();
    const auto size = static_cast<uint32_t>(tokens_.size());
    sequence_.emplace(SingleSequence::create(*model_, size, size, {.weights_arrive = true}).value());
  }

  Result<std::vector<float>> step() {
    std::vector<float> all;
    const auto keep = [&](size_t, std::span<const float> row) { all.insert(all.end(), row.begin(), row.end()); };
    if (auto done = sequence_->append(tokens_, keep); !done) return pass_on(done);
    return all;
  }

  std::unique_ptr<Device> device_;
  std::unique_ptr<Checkpoint> checkpoint_;
  nlohmann::json golden_;
  std::vector<int32_t> tokens_;
  std::unique_ptr<Model> model_;
  std::optional<SingleSequence> sequence_;
};

TEST_P(ArrivingWeightsTest, AStepWaitsForThemAndIsRight) {
  auto waiting = std::async(std::launch::async, [&] { return step(); });
  SlowSink sink;
  ASSERT_TRUE(model_->read(*checkpoint_, sink, {}));
  const auto logits = waiting.get();
  ASSERT_TRUE(logits) << to_string(logits.error());
  const auto device = open(GetParam().device);
  EXPECT_EQ(*logits, golden_logits(GetParam().family, *checkpoint_, *device)) << "as with weights that are all there";
}

TEST_P(ArrivingWeightsTest, AStepThatWaitsEndsWithTheReading) {
  auto waiting = std::async(std::launch::async, [&] { return step(); });
  SlowSink sink(0);
  const auto read = model_->read(*checkpoint_, sink, sink.token());
  ASSERT_FALSE(read);
  const auto logits = waiting.get();
  ASSERT_FALSE(logits);
  EXPECT_EQ(to_string(logits.error()), to_string(read.error()));
}

TEST_P(ArrivingWeightsTest, AProgramThatRunsOnlyLaterIsRight) {
  SlowSink sink;
  ASSERT_TRUE(model_->read(*checkpoint_, sink, {}));
  const auto logits = step();
  ASSERT_TRUE(logits) << to_string(logits.error());
  const auto device = open(GetParam().device);
  EXPECT_EQ(*logits, golden_logits(GetParam().family, *checkpoint_, *device));
}

INSTANTIATE_TEST_SUITE_P(Devices, ArrivingWeightsTest,
                         testing::Values(Case{"llama", "cpu"}, Case{"gemma3_text", "cpu"}, Case{"qwen3_moe", "cpu"},
                                         Case{"llama", "reference"}, Case{"llama", "split"}, Case{"llama", "vulkan"},
                                         Case{"gemma3_text", "vulkan"}, Case{"qwen3_moe", "vulkan"},
                                         Case{"deepseek_v3", "vulkan"}),
                         [](const auto& test) { return test.param.family + "_" + test.param.device; });

}  // namespace
}  // namespace hearth
