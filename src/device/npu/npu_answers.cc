#include "device/npu/npu_answers.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "base/printable.h"
#include "base/reading/watched_call.h"
#include "device/npu/npu_protocol.h"

namespace hearth {
namespace {

namespace protocol = npu_protocol;

/// As many as are believed of an array's columns, rows and so on: what goes beyond is garbage.
constexpr uint32_t kMostTiles = 1024;
constexpr uint32_t kMostMegahertz = 100'000;

/// A call's error number (0 is success) and its structure, by value: a call that never returns keeps its own.
template <class Structure>
struct Answer {
  int error = 0;
  Structure structure = {};
};

/// One conversation with the driver. Calls are refused after one that hung.
class Conversation {
 public:
  Conversation(std::shared_ptr<NpuDriver> driver, std::filesystem::path node, std::chrono::milliseconds limit)
      : driver_(std::move(driver)), node_(std::move(node)), limit_(limit) {}

  ~Conversation() {
    // The driver takes the same lock to close as to answer: where one hangs, so would the other.
    if (descriptor_ < 0 || hangs_) return;
    watched("it was closed", [descriptor = descriptor_](NpuDriver& driver) {
      driver.close(descriptor);
      return 0;
    });
  }
  Conversation(const Conversation&) = delete;

  /// errno, or 0.
  int open() {
    const auto opened = watched("it was opened", [node = node_](NpuDriver& driver) { return driver.open(node); });
    if (!opened) return 0;
    descriptor_ = *opened;
    return *opened < 0 ? -*opened : 0;
  }

  template <class Structure>
  std::optional<Structure> get(protocol::Parameter parameter, const char* question) {
    const auto answer = watched(question, [parameter, descriptor = descriptor_](NpuDriver& driver) {
      Answer<Structure> got;
      protocol::GetInfo request = {.parameter = static_cast<uint32_t>(parameter),
                                   .buffer_bytes = sizeof(Structure),
                                   .buffer = reinterpret_cast<uint64_t>(&got.structure)};
      got.error = -driver.ioctl(descriptor, protocol::kGetInfo, &request);
      return got;
    });
    if (!answer) return std::nullopt;
    if (answer->error == 0) return answer->structure;
    // A driver that is older than the question says so; that is no fault.
    const bool is_unknown = answer->error == EOPNOTSUPP || answer->error == EINVAL || answer->error == ENOTTY;
    if (!is_unknown && first_error_ == 0) first_error_ = answer->error;
    return std::nullopt;
  }

  std::optional<std::string> driver_version() {
    return watched("its driver's version was asked for",
                   [descriptor = descriptor_](NpuDriver& driver) -> std::string {
                     std::array<char, 64> name = {};
                     protocol::DriverVersion version = {.name_bytes = name.size(),
                                                        .name = reinterpret_cast<uint64_t>(name.data())};
                     if (driver.ioctl(descriptor, protocol::kGetVersion, &version) != 0) return {};
                     const size_t bytes = std::min<uint64_t>(version.name_bytes, name.size());
                     return fmt::format("{} {}.{}.{}", printable({name.data(), ::strnlen(name.data(), bytes)}),
                                        version.major, version.minor, version.patch);
                   })
        .and_then([](std::string text) { return text.empty() ? std::nullopt : std::optional(std::move(text)); });
  }

  const std::optional<Error>& hangs() const { return hangs_; }
  int first_error() const { return first_error_; }

 private:
  template <class Call, class Returned = std::invoke_result_t<Call, NpuDriver&>>
  std::optional<Returned> watched(const char* question, Call call) {
    if (hangs_) return std::nullopt;
    auto work = [driver = driver_, node = node_, question, call = std::move(call)]() -> Result<Returned> {
      const AsksFile asks(node, question);
      return call(*driver);
    };
    auto answer = watched_call(std::move(work), limit_, {});
    if (answer) return std::move(*answer);
    hangs_ = std::move(answer.error());
    return std::nullopt;
  }

  const std::shared_ptr<NpuDriver> driver_;
  const std::filesystem::path node_;
  const std::chrono::milliseconds limit_;
  int descriptor_ = -1;
  int first_error_ = 0;
  std::optional<Error> hangs_;
};

std::optional<NpuArray> sensible(const protocol::AieMetadata& told) {
  if (told.columns == 0 || told.rows == 0 || told.columns > kMostTiles || told.rows > kMostTiles) return std::nullopt;
  if (told.core.row_count + told.memory.row_count + told.shim.row_count > told.rows) return std::nullopt;
  return NpuArray{.columns = told.columns,
                  .rows = told.rows,
                  .core_rows = told.core.row_count,
                  .memory_rows = told.memory.row_count,
                  .shim_rows = told.shim.row_count,
                  .version = fmt::format("{}.{}", told.version_major, told.version_minor)};
}

void add_sensible(const protocol::Clock& told, std::vector<NpuClock>& clocks) {
  if (told.megahertz == 0 || told.megahertz > kMostMegahertz) return;
  const auto* name = reinterpret_cast<const char*>(told.name);
  clocks.push_back({.name = printable({name, ::strnlen(name, sizeof(told.name))}), .megahertz = told.megahertz});
}

std::optional<std::string> name_of(const protocol::PowerMode& told) {
  constexpr std::array<const char*, 5> kNames = {"default", "low", "medium", "high", "turbo"};
  if (told.mode >= kNames.size()) return std::nullopt;
  return kNames[told.mode];
}

}  // namespace

NpuAnswers ask_npu(std::shared_ptr<NpuDriver> driver, const std::filesystem::path& node,
                   std::chrono::milliseconds limit) {
  using protocol::Parameter;
  NpuAnswers answers;
  Conversation talk(std::move(driver), node, limit);
  answers.open_error = talk.open();
  if (answers.open_error == 0) {
    answers.driver = talk.driver_version();
    if (const auto told =
            talk.get<protocol::FirmwareVersion>(Parameter::firmware_version, "its firmware's version was asked for")) {
      answers.firmware = fmt::format("{}.{}.{}.{}", told->major, told->minor, told->patch, told->build);
    }
    if (const auto told = talk.get<protocol::AieMetadata>(Parameter::aie_metadata, "its tiles were asked for")) {
      answers.array = sensible(*told);
    }
    if (const auto told = talk.get<protocol::Clocks>(Parameter::clocks, "its clocks were asked for")) {
      add_sensible(told->npu, answers.clocks);
      add_sensible(told->array, answers.clocks);
    }
    if (const auto told = talk.get<protocol::PowerMode>(Parameter::power_mode, "its power mode was asked for")) {
      answers.power_mode = name_of(*told);
    }
    if (const auto told = talk.get<protocol::Resources>(Parameter::resources, "its resources were asked for")) {
      answers.resources = {.clock_max_megahertz = told->clock_max_megahertz,
                           .tops_max = told->tops_max,
                           .contexts_max = told->contexts_max,
                           .contexts_now = told->contexts_now};
    }
  }
  answers.hangs = talk.hangs();
  answers.first_error = talk.first_error();
  return answers;
}

}  // namespace hearth
