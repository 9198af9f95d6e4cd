#include "app/model_host.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "server/testing/letter_engine.h"

namespace hearth::app {
namespace {

using std::chrono::milliseconds;

/// Memory for models that are not real: each takes one unit while it is loaded, and a load fails where none is left.
struct World {
  int units = 1;
  std::atomic<int> used = 0;
  std::atomic<int> loads = 0;
  std::atomic<bool> reads = true;                ///< else a load goes on until it is stopped
  std::atomic<bool> answers_early = false;       ///< before its load has ended or failed
  std::map<std::string, std::atomic<int>> fail;  ///< so many loads of this model fail
  std::atomic<int> spilled = 0;
};

class FakeModel final : public LoadableModel {
 public:
  FakeModel(World& world, std::shared_ptr<ServedModel> served, bool may_spill)
      : world_(world), served_(std::move(served)), may_spill_(may_spill) {}

  ~FakeModel() override {
    EXPECT_FALSE(served_->ready()) << "freed while requests may still get it";
    if (has_unit_) --world_.used;
  }

  Result<void> load(const std::stop_token& stop) override {
    ++world_.loads;
    if (world_.answers_early) served_->set_answering({.engine = &engine_});
    while (world_.answers_early && !world_.reads) std::this_thread::sleep_for(milliseconds(1));
    if (const auto at = world_.fail.find(served_->name()); at != world_.fail.end() && at->second-- > 0) {
      return fail(ErrorCode::io, "the disk is gone");
    }
    if (world_.used >= world_.units) return fail(ErrorCode::out_of_memory, "no unit is left");
    ++world_.used;
    has_unit_ = true;
    if (may_spill_) ++world_.spilled;
    while (!world_.reads && !stop.stop_requested()) std::this_thread::sleep_for(milliseconds(1));
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "loading was cancelled");
    served_->set_ready({.engine = &engine_});
    return {};
  }

 private:
  World& world_;
  const std::shared_ptr<ServedModel> served_;
  const bool may_spill_;
  bool has_unit_ = false;
  LetterEngine engine_;
};

class ModelHostTest : public testing::Test {
 protected:
  explicit ModelHostTest(ModelHost::Options options = {}) : host_(std::move(options)) {
    for (const char* name : {"a", "b", "c"}) {
      auto served = std::make_shared<ServedModel>(name);
      models_.push_back(served);
      host_.add({.served = served, .make = [this, served](bool may_spill) {
                   return std::make_unique<FakeModel>(world_, served, may_spill);
                 }});
    }
    host_.start();
  }

  ~ModelHostTest() override {
    for (auto& model : models_) model->set_unloaded();
  }

  ServedModel& a() { return *models_[0]; }
  ServedModel& b() { return *models_[1]; }
  ServedModel& c() { return *models_[2]; }

  template <class F>
  static void wait_until(F holds) {
    while (!holds()) std::this_thread::sleep_for(milliseconds(1));
  }

  /// What a request does.
  ModelLease use(ServedModel& model) {
    for (;;) {
      if (ModelLease lease = model.lease_for_request()) return lease;
      host_.want(model);
      const auto claim = model.claim(1);
      wait_until([&] { return !std::holds_alternative<LoadStatus>(model.state()); });
      if (ModelLease lease = model.lease_for_request()) return lease;
      if (std::holds_alternative<Error>(model.state())) return nullptr;
    }
  }

  static std::string_view name_of(const ServedModel& model) {
    const auto state = model.state();
    return std::holds_alternative<ModelLease>(state) ? "ready" : std::holds_alternative<Error>(state) ? "failed" : "";
  }

  World world_;
  std::vector<std::shared_ptr<ServedModel>> models_;
  ModelHost host_;
};

TEST_F(ModelHostTest, AModelThatFailsUnderItsRequestsStaysUntilTheyHaveEnded) {
  world_.answers_early = true;
  world_.reads = false;
  world_.fail["a"] = 1;
  host_.load(a());
  wait_until([&] { return a().ready() != nullptr; });
  ModelLease lease = a().lease_for_request();
  const uint32_t context = lease->engine->context_length();
  world_.reads = true;
  wait_until([&] { return name_of(a()) == "failed"; });
  EXPECT_EQ(a().lease_for_request(), nullptr);
  EXPECT_EQ(lease->engine->context_length(), context) << "it is still there";
  host_.load(a());
  lease.reset();
  wait_until([&] { return name_of(a()) == "ready"; });
  EXPECT_EQ(world_.loads, 2);
}

TEST_F(ModelHostTest, TheOneUsedLeastRecentlyMakesRoom) {
  world_.units = 2;
  use(a());
  use(b());
  use(a());
  use(c());
  EXPECT_EQ(name_of(a()), "ready");
  EXPECT_EQ(name_of(b()), "");
  EXPECT_EQ(name_of(c()), "ready");
  EXPECT_EQ(world_.used, 2);
}

TEST_F(ModelHostTest, OneThatAnswersIsNotCutOffAndItsNewRequestsWait) {
  ModelLease answering = use(a());
  host_.want(b());
  wait_until([&] { return a().ready() == nullptr; });
  EXPECT_TRUE(std::holds_alternative<NotLoaded>(a().state()));
  EXPECT_EQ(world_.used, 1) << "it is still there";
  host_.want(a());  // and waits behind b
  EXPECT_TRUE(std::holds_alternative<LoadStatus>(a().state()));
  EXPECT_EQ(b().ready(), nullptr);
  answering.reset();
  wait_until([&] { return world_.loads >= 5; });
  EXPECT_NE(use(a()), nullptr);
}

TEST_F(ModelHostTest, ALoadThatIsCancelledFreesAllAtOnce) {
  world_.reads = false;
  host_.load(a());
  wait_until([&] { return world_.used == 1; });
  const auto begin = std::chrono::steady_clock::now();
  host_.unload(a());
  EXPECT_TRUE(std::holds_alternative<NotLoaded>(a().state()));
  wait_until([&] { return world_.used == 0; });
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
  world_.reads = true;
  host_.load(a());
  wait_until([&] { return name_of(a()) == "ready"; });
}

TEST_F(ModelHostTest, ALoadThatIsCancelledAndAskedForAgainHappens) {
  world_.reads = false;
  host_.load(a());
  wait_until([&] { return world_.used == 1; });
  host_.unload(a());
  host_.load(a());
  EXPECT_TRUE(std::holds_alternative<LoadStatus>(a().state()));
  world_.reads = true;
  wait_until([&] { return name_of(a()) == "ready"; });
  EXPECT_EQ(world_.used, 1);
}

TEST_F(ModelHostTest, AFailedLoadIsTriedAgainWhenAnOperatorSaysSo) {
  world_.fail["a"] = 1;
  host_.want(a());
  wait_until([&] { return name_of(a()) == "failed"; });
  host_.want(a());
  EXPECT_EQ(name_of(a()), "failed") << "a request does not try again so soon";
  host_.load(a());
  wait_until([&] { return name_of(a()) == "ready"; });
}

TEST_F(ModelHostTest, WhatIsAloneMaySpillAndWhatIsNotMakesRoomFirst) {
  world_.units = 2;
  use(a());
  EXPECT_EQ(world_.spilled, 1);
  use(b());
  EXPECT_EQ(world_.spilled, 1);
}

TEST_F(ModelHostTest, StoppingGivesUpALoadAndAQueue) {
  world_.reads = false;
  host_.load(a());
  host_.load(b());
  wait_until([&] { return world_.used == 1; });
  host_.stop();
  EXPECT_EQ(name_of(a()), "failed");
  EXPECT_EQ(name_of(b()), "failed");
  EXPECT_EQ(world_.used, 0);
}

// Threads use models at random, an operator loads and unloads them: every use gets its model, and there are never more
// than fit.
TEST_F(ModelHostTest, ManyUsersExchangeModelsWithoutLoss) {
  world_.units = 2;
  std::atomic<int> served = 0;
  {
    std::vector<std::jthread> users;
    for (unsigned user = 0; user < 4; ++user) {
      users.emplace_back([&, user] {
        std::minstd_rand random(user + 1);
        for (int i = 0; i < 25; ++i) {
          const ModelLease lease = use(*models_[random() % 3]);
          EXPECT_NE(lease, nullptr);
          EXPECT_LE(world_.used, 2);
          if (random() % 2 == 0) std::this_thread::sleep_for(milliseconds(1));
          ++served;
        }
      });
    }
    std::minstd_rand random(99);
    for (int i = 0; i < 20; ++i) {
      std::this_thread::sleep_for(milliseconds(5));
      host_.unload(*models_[random() % 3]);
    }
  }
  EXPECT_EQ(served, 100);
}

class ModelHostThatRetires : public ModelHostTest {
 protected:
  ModelHostThatRetires() : ModelHostTest({.keep = milliseconds(1)}) {}
};

TEST_F(ModelHostThatRetires, WhatNobodyUsesGoes) {
  ModelLease lease = use(a());
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(name_of(a()), "ready");
  lease.reset();
  wait_until([&] { return world_.used == 0; });
}

class ModelHostWithALimit : public ModelHostTest {
 protected:
  ModelHostWithALimit() : ModelHostTest({.max_loaded = 1}) { world_.units = 3; }
};

TEST_F(ModelHostWithALimit, KeepsItsNumber) {
  use(a());
  use(b());
  EXPECT_EQ(world_.used, 1);
  EXPECT_EQ(name_of(b()), "ready");
}

}  // namespace
}  // namespace hearth::app
