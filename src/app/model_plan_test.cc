// A plan is a promise: what it says is what an engine then takes, on every device and of every family.

#include "app/model_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "app/engine_options.h"
#include "app/machines.h"
#include "app/nearest_plans.h"
#include "app/open_model.h"
#include "app/predicted_speed.h"
#include "app/print_plan.h"
#include "base/testing/source_folder.h"
#include "device/open_device.h"
#include "model/testing/goldens.h"

namespace hearth::app {
namespace {

using testing::HasSubstr;

constexpr EngineOptions kOptions = {.context_length = 128, .max_sequences = 4, .max_batched_tokens = 64};

std::vector<std::string> families() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(goldens())) {
    if (entry.is_directory() && exists(entry.path() / "config.json")) names.push_back(entry.path().filename());
  }
  std::ranges::sort(names);
  return names;
}

PlannedMemory sum_of(const ModelPlan& plan) {
  PlannedMemory sum = {.memory = {}, .weights = {}};
  for (const PlannedMemory& memory : plan.memories) {
    for (size_t kind = 0; kind < kWeightKinds.size(); ++kind) sum.weights.bytes[kind] += memory.weights.bytes[kind];
    sum.cache_bytes += memory.cache_bytes;
    sum.activation_bytes += memory.activation_bytes;
  }
  return sum;
}

class PlanIsAPromise : public testing::TestWithParam<std::string> {
 protected:
  static void expect_kept(const std::string& family, const std::string& device_name) {
    SCOPED_TRACE(family);
    const auto checkpoint = open_checkpoint(goldens() / family).value();
    auto planned_on = open_device(device_name, 2);
    if (!planned_on && planned_on.error().code == ErrorCode::unsupported) GTEST_SKIP() << to_string(planned_on.error());
    const bool is_gpu = (*planned_on)->info().is_gpu;
    auto plan = plan_model(*checkpoint, std::move(*planned_on), kOptions, {});
    // Smaller than any model that people use.
    if (!plan && is_gpu && plan.error().code == ErrorCode::unsupported) return;
    ASSERT_TRUE(plan) << to_string(plan.error());

    auto device = open_device(device_name, 2).value();
    LatestProgress progress;
    auto model = Model::load(*checkpoint, *device, {.context_tokens = kOptions.context_length}, progress, {});
    ASSERT_TRUE(model) << to_string(model.error());
    const auto engine = Engine::start(**model, nullptr, kOptions, {}, {}, {.prepare = false});
    ASSERT_TRUE(engine) << to_string(engine.error());
    const MemoryUse use = (*engine)->metrics().memory_use.at(0).use;
    const PlannedMemory promised = sum_of(*plan);
    const auto expect = [](uint64_t is, uint64_t planned, const char* what) {
      EXPECT_NEAR(is, planned, 0.01 * static_cast<double>(planned) + 4096) << what;
    };
    expect(use.of(MemoryOwner::weights), promised.weights.total(), "weights");
    expect(use.of(MemoryOwner::cache), promised.cache_bytes, "cache");
    expect(use.of(MemoryOwner::activations), promised.activation_bytes, "activations");
    expect(use.of(MemoryOwner::staging), plan->staging_bytes, "staging");
    EXPECT_EQ((*engine)->options().context_length, plan->engine.options.context_length);
    EXPECT_EQ((*engine)->options().max_batched_tokens, plan->engine.options.max_batched_tokens);
  }
};

TEST_P(PlanIsAPromise, OfEveryFamily) {
  for (const std::string& family : families()) expect_kept(family, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Devices, PlanIsAPromise, testing::Values("cpu", "vulkan", "reference"),
                         [](const auto& test) { return test.param; });

Result<ModelPlan> plan_of(const std::string& family, const DeviceOptions& device, const EngineOptions& engine) {
  const auto checkpoint = open_checkpoint(goldens() / family).value();
  DeviceOptions options = device;
  auto opened = open_device_for(*checkpoint, options, room_for_engine(engine));
  if (!opened) return pass_on(opened);
  return plan_model(*checkpoint, std::move(*opened), engine, {});
}

/// This machine, as doctor describes it, with so much memory.
nlohmann::json this_machine(uint64_t free_bytes) {
  const auto gpus = describe_gpus();
  return {{"memory", {{"free_bytes", free_bytes}}},
          {"gpus", gpus ? nlohmann::json::parse(gpus->dump()) : nlohmann::json::array()}};
}

TEST(PlanOfADescribedMachine, IsThatOfTheMachine) {
  for (const std::string device : {"cpu", "vulkan"}) {
    DeviceOptions here = {.device = device, .threads = 2}, described = here;
    described.machine = this_machine(uint64_t{8} << 30);
    described.machine["cpu"] = {{"usable_cores", 2}};
    for (const std::string& family : families()) {
      SCOPED_TRACE(device + " " + family);
      const auto real = plan_of(family, here, kOptions);
      if (!real && real.error().code == ErrorCode::unsupported && device == "vulkan") continue;
      ASSERT_TRUE(real) << to_string(real.error());
      const auto planned = plan_of(family, described, kOptions);
      ASSERT_TRUE(planned) << to_string(planned.error());
      const PlannedMemory is = sum_of(*real), said = sum_of(*planned);
      EXPECT_EQ(said.weights.bytes, is.weights.bytes);
      EXPECT_EQ(said.cache_bytes, is.cache_bytes);
      // Places for matrix units whose elements' places this GPU does not tell.
      EXPECT_NEAR(said.activation_bytes, is.activation_bytes, 0.01 * is.activation_bytes + (1 << 20));
      EXPECT_EQ(planned->staging_bytes, real->staging_bytes);
    }
  }
}

TEST(PlanOfAKnownMachine, FitsAndSaysWhatItsBusAllows) {
  for (const char* name : {"780m-32gb", "780m-96gb", "8060s-128gb", "rx7900xtx", "rtx4090", "h200"}) {
    SCOPED_TRACE(name);
    const auto machine = find_machine(name);
    ASSERT_TRUE(machine) << to_string(machine.error());
    DeviceOptions device;
    device.machine = *machine;
    const auto plan = plan_of("gemma3_text", device, {});
    if (!plan && plan.error().code == ErrorCode::unsupported) GTEST_SKIP() << to_string(plan.error());
    ASSERT_TRUE(plan) << to_string(plan.error());
    const PredictedSpeed speed = limit_of_speed(*plan);
    ASSERT_FALSE(speed.decoding.empty());
    EXPECT_EQ(speed.basis, PredictedSpeed::Basis::limits);
    const double bytes_a_second =
        speed.decoding.front().tokens_per_second * static_cast<double>(plan->weight_bytes_read);
    EXPECT_LE(bytes_a_second, 1.0001e9 * plan->bandwidth_gb_per_second);
    EXPECT_THAT(plan_text(*plan, speed), HasSubstr("not run"));
  }
}

/// A card with so much memory in a machine with much.
DeviceOptions card_with(uint64_t bytes) {
  DeviceOptions device = {.device = "vulkan"};
  device.machine = find_machine("rx7900xtx").value();
  device.machine["gpus"][0]["heaps"][0]["bytes"] = device.machine["gpus"][0]["heaps"][0]["budget_bytes"] = bytes;
  return device;
}

TEST(PlanOfACard, NeverTakesMoreThanMayBePlannedFor) {
  uint32_t plans = 0;
  for (const std::string family : {"llama_long", "gemma3_long", "qwen3_next"}) {
    for (uint64_t bytes = 1 << 20; bytes < 256 << 20; bytes += bytes / 3) {
      SCOPED_TRACE(family + " on a card of " + std::to_string(bytes));
      const auto plan = plan_of(family, card_with(bytes), {});
      if (!plan && plan.error().code == ErrorCode::unsupported) GTEST_SKIP() << to_string(plan.error());
      if (!plan) continue;
      ++plans;
      for (const PlannedMemory& memory : plan->memories) EXPECT_LE(memory.total_bytes(), memory.usable_bytes);
    }
  }
  EXPECT_GT(plans, 10U);
}

TEST(PlanOfACard, LeavesTheReserveFree) {
  constexpr uint64_t kCard = uint64_t{6} << 30, kReserve = uint64_t{3} << 30;
  const auto used = [](std::optional<uint64_t> reserve) {
    EngineOptions engine = {.max_sequences = 1 << 16};
    engine.reserve_bytes = reserve;
    return plan_of("gemma3_long", card_with(kCard), engine);
  };
  const auto usual = used({});
  if (!usual && usual.error().code == ErrorCode::unsupported) GTEST_SKIP() << to_string(usual.error());
  ASSERT_TRUE(usual) << to_string(usual.error());
  EXPECT_EQ(usual->memories[0].usable_bytes, kCard - kCard / 10);
  EXPECT_EQ(used(kReserve)->memories[0].usable_bytes, kCard - kReserve);
  EXPECT_LE(used(kReserve)->memories[0].total_bytes(), kCard - kReserve);
  EXPECT_GT(used(0)->memories[0].total_bytes(), used(kReserve)->memories[0].total_bytes());
  EXPECT_EQ(used(kCard)->device_kind, "cpu") << "nothing is left for the model";
}

TEST(PlanOfAKnownMachine, HasTheMemoryOfItsName) {
  const auto bytes = [](const char* name) { return (*find_machine(name))["memory"]["total_bytes"].get<uint64_t>(); };
  EXPECT_EQ(bytes("780m-64gb"), uint64_t{64} << 30);
  EXPECT_EQ(bytes("8060s-96gb"), uint64_t{96} << 30);
  for (const char* name : {"780m", "780m-gb", "780m-0gb", "780m-1e9gb", "a-file-that-is-not-there.json"}) {
    EXPECT_FALSE(find_machine(name)) << name;
  }
}

TEST(NearestPlans, FitWhereTheFirstDoesNot) {
  const auto make = [](const PlanRequest& asked) { return plan_of("llama_long", asked.device, asked.engine); };
  PlanRequest request = {.device = {.device = "cpu", .threads = 2}, .engine = {.context_length = 1024}};
  const auto short_plan = make(request);
  ASSERT_TRUE(short_plan) << to_string(short_plan.error());
  request.engine = {.context_length = 4096, .cache_bytes = 1024 * short_plan->bytes_of_token};
  const auto plan = make(request);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, ErrorCode::out_of_memory);
  const std::vector<std::string> others = nearest_plans(request, make);
  ASSERT_FALSE(others.empty());
  EXPECT_THAT(others.front(), HasSubstr("--context 1024"));

  request.engine.cache_bytes = 1;  // nothing helps
  EXPECT_THAT(nearest_plans(request, make), testing::IsEmpty());
}

}  // namespace
}  // namespace hearth::app
