// A served model whose device is lost: the device is opened again, the weights are loaded again, and the request under
// way is computed again, to the same tokens.

#include "app/serving_model.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "base/testing/source_folder.h"
#include "device/open_device.h"
#include "device/testing/forwarding_device.h"
#include "server/health.h"
#include "server/testing/loading_model.h"
#ifdef HEARTH_VULKAN
#include "device/vulkan/testing/fault_injection.h"
#include "device/vulkan/vulkan_device.h"
#endif

namespace hearth::app {
namespace {

TEST(DescribeCache, SaysWhatWasAskedForAndWhyThereIsLess) {
  const std::vector<CacheGroup> groups = {{.window = 0, .bytes_per_block = 1 << 20}};
  EngineOptions planned = {.context_length = 4 * kBlockTokens, .max_sequences = 10, .cache_bytes = 40 << 20};
  EXPECT_EQ(describe_cache(0, planned, groups), "40 MiB of KV cache (chosen by the free memory)");
  EXPECT_EQ(describe_cache(40 << 20, planned, groups), "40 MiB of KV cache (as asked for)");
  EXPECT_EQ(describe_cache(64 << 20, planned, groups),
            "40 MiB of KV cache (64 MiB were asked for; 10 sequences of 64 tokens need no more)");
  planned.cache_bytes = 31 << 20;
  EXPECT_EQ(describe_cache(39 << 20, planned, groups),
            "31 MiB of KV cache (39 MiB were asked for; the rest is less than a block for each of 10 sequences)");
}

struct Answer {
  std::vector<int32_t> tokens;
  std::optional<Error> error;
};

/// Greedy tokens behind a short prompt that begins with `first`.
std::future<Answer> submit(Engine& engine, int32_t first, uint32_t max_tokens) {
  auto answer = std::make_shared<Answer>();
  auto done = std::make_shared<std::promise<Answer>>();
  auto finished = done->get_future();
  Request request;
  request.prompt = {first, 5, 9, 13};
  request.sampling.temperature = 0.0F;
  request.max_tokens = max_tokens;
  request.ignore_end_tokens = true;
  const auto submitted = engine.submit(std::move(request), [answer, done](const RequestEvent& event) {
    answer->tokens.insert(answer->tokens.end(), event.tokens.begin(), event.tokens.end());
    answer->error = event.error;
    if (event.finish_reason) done->set_value(*answer);
  });
  EXPECT_TRUE(submitted) << to_string(submitted.error());
  if (!submitted) done->set_value({.tokens = {}, .error = submitted.error()});
  return finished;
}

Answer ask(Engine& engine) { return submit(engine, 1, 6).get(); }

ServingModel::Options options_for(std::function<Result<std::unique_ptr<Device>>(const Checkpoint&)> open) {
  return {.path = source_folder() / "tests/golden/llama",
          .load = {},
          .engine = {.max_sequences = 2, .max_batched_tokens = 16, .cache_bytes = 1 << 20},
          .open_device = std::move(open),
          .rebuild_delays = {std::chrono::milliseconds(0), std::chrono::milliseconds(1)}};
}

/// Positions of a model made for long contexts depend on how long they may be (model/model.h).
TEST(ServingModel, ComputesPositionsForTheContextThatWasAskedFor) {
  const auto folder = source_folder() / "tests/golden/phi3_longrope";
  const auto open = [](const Checkpoint&) { return open_device("cpu", 2); };
  const auto tokens_with = [&](uint32_t context) {
    LoadingModel loading("m");
    ServingModel::Options options = options_for(open);
    options.path = folder;
    options.engine.context_length = context;
    options.engine.cache_bytes = 16 << 20;
    ServingModel serving(std::move(options), *loading.model);
    const auto loaded = serving.load({});
    EXPECT_TRUE(loaded) << to_string(loaded.error());
    return submit(*loading.model->ready()->engine, 1, 200).get().tokens;
  };
  const auto tokens_of = [&](uint32_t context) {
    const auto checkpoint = open_checkpoint(folder).value();
    const auto device = open_device("cpu", 2).value();
    LatestProgress progress;
    const auto model = Model::load(*checkpoint, *device, {.context_tokens = context}, progress, {}).value();
    const auto engine = Engine::start(*model, nullptr, {.context_length = 512, .max_sequences = 2}).value();
    return submit(*engine, 1, 200).get().tokens;
  };
  const std::vector<int32_t> for_short = tokens_of(512), for_long = tokens_of(4096);
  ASSERT_NE(for_short, for_long);
  EXPECT_EQ(tokens_with(512), for_short);
  EXPECT_EQ(tokens_with(4096), for_long);
}

#ifdef HEARTH_VULKAN

void wait_until_ready(const ServedModel& served) {
  while (served.ready() == nullptr) std::this_thread::yield();
}

Result<std::unique_ptr<Device>> open_faulty_gpu() {
  auto device = open_vulkan_device({.wrap = vulkan::inject_faults});
  if (!device) return pass_on(device);
  return std::move(*device);
}

/// On a GPU whose faults a test chooses; skipped where there is none.
class ServingModelOnFaultyGpu : public testing::Test {
 protected:
  void SetUp() override {
    vulkan::faults.reset();
    if (const auto gpu = open_faulty_gpu(); !gpu) GTEST_SKIP() << to_string(gpu.error());
  }

  LoadingModel loading_{"m"};
  ServedModel& served_ = *loading_.model;
};

TEST_F(ServingModelOnFaultyGpu, GoesOnAfterTheGpuWasLost) {
  std::atomic<int> opened = 0;
  std::promise<void> may_open;
  auto gate = may_open.get_future().share();
  ServingModel serving(options_for([&](const Checkpoint&) -> Result<std::unique_ptr<Device>> {
                         if (++opened > 1) gate.wait();
                         vulkan::faults.reset();
                         return open_faulty_gpu();
                       }),
                       served_);
  const auto loaded = serving.load({});
  ASSERT_TRUE(loaded) << to_string(loaded.error());
  Engine& engine = *served_.ready()->engine;
  const Answer before = ask(engine);
  ASSERT_FALSE(before.error) << to_string(*before.error);
  EXPECT_EQ(before.tokens.size(), 6U);

  vulkan::faults.wait.start(2);
  auto answer = submit(engine, 1, 6);
  while (opened < 2) std::this_thread::yield();
  EXPECT_EQ(health(loading_.models).status, 503) << "while the device is opened";
  EXPECT_NE(health(loading_.models).body.find("loading"), std::string::npos) << health(loading_.models).body;
  may_open.set_value();
  EXPECT_EQ(answer.get().tokens, before.tokens) << "the client saw a pause";
  wait_until_ready(served_);
  EXPECT_EQ(ask(engine).tokens, before.tokens);
}

void expect_idle(const Engine& engine) {
  while (engine.metrics().requests_running > 0) std::this_thread::yield();
  const EngineMetrics metrics = engine.metrics();
  EXPECT_EQ(metrics.requests_waiting, 0U);
  EXPECT_EQ(metrics.kv_blocks_used, 0U);
  for (const BufferPoolStatistics& pool : metrics.buffer_pools) EXPECT_EQ(pool.in_use, 0U) << pool.buffer_bytes;
}

// Greedy decoding keeps two steps in flight; the GPU is lost at the submit of one or in the wait for one, with two
// requests running and two waiting, again and again.
TEST_F(ServingModelOnFaultyGpu, GoesOnAfterTheGpuWasLostWithStepsInFlight) {
  ServingModel serving(options_for([](const Checkpoint&) {
                         vulkan::faults.reset();
                         return open_faulty_gpu();
                       }),
                       served_);
  ASSERT_TRUE(serving.load({}));
  Engine& engine = *served_.ready()->engine;
  const std::vector<int32_t> expected = ask(engine).tokens;
  for (const auto& [countdown, calls] :
       {std::pair(&vulkan::faults.submit, 6), {&vulkan::faults.submit, 7}, {&vulkan::faults.wait, 6}}) {
    countdown->start(calls);
    std::vector<std::future<Answer>> futures;
    for (int32_t i = 0; i < 4; ++i) futures.push_back(submit(engine, i + 1, 30));
    for (auto& future : futures) {
      const Answer answer = future.get();
      EXPECT_FALSE(answer.error) << to_string(*answer.error);
      EXPECT_EQ(answer.tokens.size(), 30U);
    }
    EXPECT_EQ(ask(engine).tokens, expected);
    EXPECT_EQ(health(loading_.models).status, 200);
    expect_idle(engine);
    EXPECT_EQ(engine.metrics().finished[static_cast<size_t>(FinishReason::failed)], 0U);
  }
}

// Another program takes the GPU's memory while it is opened again, and leaves it a little later.
TEST_F(ServingModelOnFaultyGpu, WaitsForMemoryThatOthersTook) {
  std::atomic<int> opened = 0;
  ServingModel serving(options_for([&](const Checkpoint&) -> Result<std::unique_ptr<Device>> {
                         vulkan::faults.reset();
                         if (++opened == 2) vulkan::faults.left_bytes = 0;
                         return open_faulty_gpu();
                       }),
                       served_);
  ASSERT_TRUE(serving.load({}));
  Engine& engine = *served_.ready()->engine;
  const std::vector<int32_t> expected = ask(engine).tokens;
  vulkan::faults.submit.start(0);
  EXPECT_EQ(ask(engine).tokens, expected);
  EXPECT_EQ(opened, 3) << "at the second attempt there was no memory";
}

// What a step needs for the first time cannot be had: its requests fail with a sentence, and the next ones do not.
TEST_F(ServingModelOnFaultyGpu, GoesOnWithLessCacheAfterMemoryRanOut) {
  ServingModel serving(options_for([](const Checkpoint&) { return open_faulty_gpu(); }), served_);
  ASSERT_TRUE(serving.load({}));
  Engine& engine = *served_.ready()->engine;
  const uint32_t blocks = engine.metrics().kv_blocks_total;
  vulkan::faults.allocation.start(0);
  const Answer answer = ask(engine);
  ASSERT_FALSE(answer.error) << to_string(*answer.error);
  EXPECT_EQ(answer.tokens, ask(engine).tokens);
  EXPECT_LT(engine.metrics().kv_blocks_total, blocks);
  expect_idle(engine);
}

TEST_F(ServingModelOnFaultyGpu, GoesOnAfterTheGpuOfASplitWasLost) {
  std::atomic<int> opened = 0;
  ServingModel serving(options_for([&](const Checkpoint&) -> Result<std::unique_ptr<Device>> {
                         ++opened;
                         vulkan::faults.reset();
                         std::vector<std::unique_ptr<Device>> devices;
                         devices.push_back(open_device("cpu", 1).value());
                         devices.push_back(open_faulty_gpu().value());
                         return join_devices(std::move(devices), {2, 2});
                       }),
                       served_);
  const auto loaded = serving.load({});
  ASSERT_TRUE(loaded) << to_string(loaded.error());
  Engine& engine = *served_.ready()->engine;
  const Answer before = ask(engine);
  ASSERT_FALSE(before.error) << to_string(*before.error);
  vulkan::faults.wait.start(2);
  EXPECT_EQ(ask(engine).tokens, before.tokens);
  EXPECT_EQ(opened, 2);
}

TEST_F(ServingModelOnFaultyGpu, TellsWhenTheGpuDoesNotComeBack) {
  std::atomic<int> opened = 0;
  std::promise<Error> failure;
  auto options = options_for([&](const Checkpoint&) -> Result<std::unique_ptr<Device>> {
    if (++opened > 1) return fail(ErrorCode::unsupported, "the GPU is gone");
    return open_faulty_gpu();
  });
  options.on_failure = [&](const Error& error) { failure.set_value(error); };
  ServingModel serving(std::move(options), served_);
  ASSERT_TRUE(serving.load({}));
  vulkan::faults.submit.start(0);
  ask(*served_.ready()->engine);
  EXPECT_EQ(failure.get_future().get().message, "the GPU is gone");
  EXPECT_EQ(opened, 3) << "two attempts";
  EXPECT_EQ(health(loading_.models).status, 503);
  EXPECT_NE(health(loading_.models).body.find("the GPU is gone"), std::string::npos);
}

#endif

TEST(ServingModel, SaysWhatFailedWhileLoading) {
  const LoadingModel loading("m");
  ServedModel& served = *loading.model;
  ServingModel serving(options_for([](const Checkpoint&) -> Result<std::unique_ptr<Device>> {
                         return fail(ErrorCode::unsupported, "no such device");
                       }),
                       served);
  const auto loaded = serving.load({});
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().message, "no such device");
}

/// Takes no rows before a test lets it, and may be lost by its first step.
class HeldDevice final : public ForwardingDevice {
 public:
  HeldDevice(std::shared_future<void> may_write, bool is_lost)
      : ForwardingDevice(open_device("cpu", 1).value()), may_write_(std::move(may_write)), is_lost_(is_lost) {}

  Result<void> write_rows(MatrixId matrix, uint32_t part, uint32_t first_row,
                          std::span<const std::byte> rows_bytes) override {
    may_write_.wait();
    return ForwardingDevice::write_rows(matrix, part, first_row, rows_bytes);
  }
  Result<std::unique_ptr<Program>> compile(const Recording& recording, const ProgramLimits& limits,
                                           const CompileOptions& options) override {
    if (is_lost_) return std::make_unique<LostProgram>();
    return ForwardingDevice::compile(recording, limits, options);
  }

 private:
  class LostProgram final : public Program {
   public:
    Result<void> submit(const StepInput&) override { return fail(ErrorCode::device_lost, "it is gone"); }
    Result<StepOutput> wait() override { return fail(ErrorCode::internal, "nothing was submitted"); }
  };

  const std::shared_future<void> may_write_;
  const bool is_lost_;
};

class ServingModelOnHeldDevice : public testing::Test {
 protected:
  /// Begins a load, which goes on when `may_write_` is set, and returns when requests are taken.
  void begin(bool is_lost) {
    serving_.emplace(options_for([this, is_lost](const Checkpoint&) -> Result<std::unique_ptr<Device>> {
                       return std::make_unique<HeldDevice>(writes_, is_lost);
                     }),
                     served_);
    loaded_ = std::async(std::launch::async, [this] { return serving_->load({}); });
    while (served_.ready() == nullptr) std::this_thread::yield();
  }

  LoadingModel loading_{"m"};
  ServedModel& served_ = *loading_.model;
  std::promise<void> may_write_;
  std::shared_future<void> writes_ = may_write_.get_future().share();
  std::optional<ServingModel> serving_;
  std::future<Result<void>> loaded_;
};

TEST_F(ServingModelOnHeldDevice, TakesRequestsBeforeItsWeightsAreThere) {
  begin(false);
  auto early = submit(*served_.ready()->engine, 1, 6);
  EXPECT_EQ(health(loading_.models).status, 503);
  may_write_.set_value();
  const Answer answer = early.get();
  EXPECT_FALSE(answer.error);
  ASSERT_TRUE(loaded_.get());
  EXPECT_EQ(health(loading_.models).status, 200);
  EXPECT_EQ(answer.tokens, ask(*served_.ready()->engine).tokens);
}

TEST_F(ServingModelOnHeldDevice, ADeviceThatIsLostMeanwhileFailsTheLoad) {
  begin(true);
  const Answer answer = ask(*served_.ready()->engine);
  ASSERT_TRUE(answer.error);
  EXPECT_EQ(answer.error->code, ErrorCode::device_lost);
  may_write_.set_value();
  const auto loaded = loaded_.get();
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, ErrorCode::device_lost);
}

TEST(ServingModel, AnswersOnAnyDevice) {
  const LoadingModel loading("m");
  ServedModel& served = *loading.model;
  ServingModel serving(options_for([](const Checkpoint&) { return open_device("cpu", 1); }), served);
  const auto loaded = serving.load({});
  ASSERT_TRUE(loaded) << to_string(loaded.error());
  EXPECT_EQ(health(loading.models).status, 200);
  EXPECT_EQ(ask(*served.ready()->engine).tokens.size(), 6U);
}

TEST(ServingModel, AnswersOnSeveralDevicesAsOnOne) {
  std::vector<std::vector<int32_t>> answers;
  for (const char* devices : {"cpu", "cpu+cpu", "cpu+cpu+cpu"}) {
    const LoadingModel loading("m");
    ServedModel& served = *loading.model;
    ServingModel serving(options_for([&](const Checkpoint& checkpoint) {
                           DeviceOptions options = {.device = devices, .threads = 1};
                           return open_device_for(checkpoint, options, {});
                         }),
                         served);
    const auto loaded = serving.load({});
    ASSERT_TRUE(loaded) << to_string(loaded.error());
    answers.push_back(ask(*served.ready()->engine).tokens);
  }
  EXPECT_EQ(answers[0].size(), 6U);
  EXPECT_EQ(answers[1], answers[0]);
  EXPECT_EQ(answers[2], answers[0]);
}

}  // namespace
}  // namespace hearth::app
