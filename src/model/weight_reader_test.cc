// Loading as a whole, in each way to read and with files that change. How reads themselves fail: base/reading.

#include "model/weight_reader.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>

#include "device/open_device.h"
#include "model/evaluate.h"
#include "model/model.h"
#include "model/testing/edited_checkpoint.h"

namespace hearth {
namespace {

using testing::HasSubstr;

void leave_as_it_is(nlohmann::json&) {}

class LoadReadsTest : public testing::TestWithParam<std::string> {
 protected:
  void TearDown() override { ::unsetenv("HEARTH_LOAD_READS"); }

  static std::vector<float> logits_of(const std::string& family) {
    const auto checkpoint = open_checkpoint(goldens() / family).value();
    const auto device = open_device("cpu", 2).value();
    LatestProgress progress;
    const auto model = Model::load(*checkpoint, *device, {}, progress, {});
    EXPECT_TRUE(model) << to_string(model.error());
    auto sequence = SingleSequence::create(**model, 16, 16);
    std::vector<float> all;
    const std::vector<int32_t> ids = {1, 2, 3};
    EXPECT_TRUE(sequence->append(
        ids, [&](size_t, std::span<const float> logits) { all.insert(all.end(), logits.begin(), logits.end()); }));
    return all;
  }
};

TEST_P(LoadReadsTest, EveryWayGivesTheSameModel) {
  const std::vector<float> expected = logits_of(GetParam());
  ASSERT_FALSE(expected.empty());
  for (const char* way : {"ring", "threads", "buffered"}) {
    ::setenv("HEARTH_LOAD_READS", way, 1);
    if (std::string(way) == "ring" && !ReadQueue::open({}, {.way = ReadWay::ring})) continue;  // forbidden here
    EXPECT_EQ(logits_of(GetParam()), expected) << way;
  }
}

// Plain matrices, rows as columns, experts' interleaved columns.
INSTANTIATE_TEST_SUITE_P(Families, LoadReadsTest, testing::Values("llama", "deepseek_v3", "gpt_oss"),
                         [](const auto& test) { return test.param; });

TEST(LoadReads, AnUnknownWayIsRefused) {
  ::setenv("HEARTH_LOAD_READS", "telepathy", 1);
  EditedCheckpoint checkpoint("llama", leave_as_it_is);
  const auto model = checkpoint.load();
  ::unsetenv("HEARTH_LOAD_READS");
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(model.error().hint, HasSubstr("buffered"));
}

/// Does something once while matrices are read.
class Disturbance final : public ProgressSink {
 public:
  explicit Disturbance(std::function<void()> act) : act_(std::move(act)) {}
  void report(const Progress& progress) override {
    if (progress.stage != "read" || done_.exchange(true)) return;
    act_();
  }

 private:
  std::function<void()> act_;
  std::atomic<bool> done_ = false;
};

class DisturbedLoadTest : public testing::Test {
 protected:
  DisturbedLoadTest() {
    checkpoint_.edit_weights([](auto&, auto&) {});  // a file of its own in place of a link
  }

  Result<std::unique_ptr<Model>> load(const std::function<void()>& act, const std::stop_token& stop = {}) {
    opened_ = open_checkpoint(checkpoint_.path()).value();
    device_ = open_device("cpu", 2).value();
    Disturbance disturbance(act);
    return Model::load(*opened_, *device_, {}, disturbance, stop);
  }

  EditedCheckpoint checkpoint_{"llama", leave_as_it_is};
  std::filesystem::path weights_ = checkpoint_.path() / "model.safetensors";
  std::unique_ptr<Checkpoint> opened_;
  std::unique_ptr<Device> device_;
};

TEST_F(DisturbedLoadTest, AFileThatGrowsIsNoticed) {
  const auto model = load([&] { std::ofstream(weights_, std::ios::app) << "more"; });
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::corrupt);
  EXPECT_THAT(model.error().message, HasSubstr("model.safetensors"));
  EXPECT_THAT(model.error().message, HasSubstr("changed while it was read"));
}

TEST_F(DisturbedLoadTest, AFileThatIsCutIsNoticed) {
  const auto model = load([&] { std::filesystem::resize_file(weights_, 5000); });
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::corrupt);
  EXPECT_THAT(model.error().message, HasSubstr("model.safetensors"));
}

TEST_F(DisturbedLoadTest, AFileThatVanishesIsReadToItsEnd) {
  const auto model = load([&] { std::filesystem::remove(weights_); });
  EXPECT_TRUE(model) << to_string(model.error());
}

TEST_F(DisturbedLoadTest, AStopInTheMidstEndsIt) {
  std::stop_source stop;
  const auto model = load([&] { stop.request_stop(); }, stop.get_token());
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::cancelled);
}

/// Resident bytes of this process.
uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t pages = 0;
  file >> pages >> pages;
  return pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

/// Keeps nothing of what it is given but the sum, and how large the process was meanwhile.
class ForgetfulDevice final : public Device {
 public:
  const DeviceInfo& info() const override { return info_; }
  std::vector<DeviceMemory> memories() const override { return {}; }
  Result<uint64_t> declared_bytes(const MatrixSpec&) const override { return 0; }
  Result<MatrixId> declare_matrix(const MatrixSpec&) override { return MatrixId{0}; }
  Result<void> write_rows(MatrixId, uint32_t, uint32_t, std::span<const std::byte> rows) override {
    const uint64_t now = resident_bytes();
    const std::scoped_lock lock(mutex_);
    written_ += rows.size();
    most_resident_ = std::max(most_resident_, now);
    return {};
  }
  Result<VectorId> upload_vector(const std::string&, std::span<const float>, uint32_t) override { return VectorId{0}; }
  uint64_t weight_bytes() const override { return 0; }
  uint64_t matrix_bytes(MatrixId) const override { return 0; }
  uint64_t cache_block_bytes(const CacheLayerSpec&) const override { return 0; }
  Result<void> create_cache(const CacheSpec&) override { return {}; }
  void give_up_weights(const Error&) override {}
  Result<std::unique_ptr<Program>> compile(const Recording&, const ProgramLimits&, const CompileOptions&) override {
    return fail(ErrorCode::unsupported, "it computes nothing");
  }
  Result<uint64_t> program_bytes(const Recording&, std::span<const MatrixSpec>, const ProgramLimits&) const override {
    return 0;
  }
  double measure_bandwidth_gb_per_second() override { return 0; }

  uint64_t written_ = 0;
  uint64_t most_resident_ = 0;

 private:
  DeviceInfo info_;
  std::mutex mutex_;
};

/// One large file of zeros that takes no room on the disk.
class SparseCheckpoint final : public Checkpoint {
 public:
  explicit SparseCheckpoint(uint64_t bytes)
      : Checkpoint(testing::TempDir() + "hearth_sparse." + std::to_string(::getpid())) {
    std::ofstream(path(), std::ios::binary).put(0);
    std::filesystem::resize_file(path(), bytes);
    add_file(File::open(path()).value());
  }
  ~SparseCheckpoint() override { std::filesystem::remove(path()); }
  CheckpointKind kind() const override { return CheckpointKind::gguf; }
};

TEST(LoadReads, HostMemoryIsThatOfTheBuffersHoweverLargeTheModel) {
  constexpr uint64_t kRowBytes = 16384, kRows = 20'000;
  const SparseCheckpoint checkpoint(kRowBytes * kRows);
  const std::vector<WeightPlan::Source> sources = {
      {.tensor = {.name = "t", .shape = {kRows, kRowBytes / 4}, .bytes = kRowBytes * kRows}, .rows = kRows}};
  for (const char* way : {"auto", "threads"}) {
    ::setenv("HEARTH_LOAD_READS", way, 1);
    ForgetfulDevice device;
    LatestProgress progress;
    auto queue = open_read_queue(checkpoint, {.stall_limit = std::chrono::seconds(60)}).value();
    const uint64_t before = resident_bytes();
    const auto read = read_weights(checkpoint, *queue, sources, device, 1, progress, {});
    ASSERT_TRUE(read) << to_string(read.error());
    EXPECT_EQ(device.written_, kRowBytes * kRows);
    // 192 MiB of buffers with 32 cores.
    EXPECT_LE(device.most_resident_, before + (224U << 20)) << way << " of " << kRowBytes * kRows;
  }
  ::unsetenv("HEARTH_LOAD_READS");
}

}  // namespace
}  // namespace hearth
