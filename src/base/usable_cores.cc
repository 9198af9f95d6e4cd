#include "base/usable_cores.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <optional>

#include "base/control_group.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;

uint32_t cores_by_affinity() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return static_cast<uint32_t>(CPU_COUNT(&set));
}

/// Cores' worth of time in each period, from "max 100000" or "150000 100000".
std::optional<double> quota_of_version_2(const fs::path& group) {
  std::ifstream file(group / "cpu.max");
  double quota = 0, period = 0;
  if (!(file >> quota >> period) || quota <= 0 || period <= 0) return std::nullopt;  // "max" is no number
  return quota / period;
}

std::optional<double> quota_of_version_1(const fs::path& group) {
  std::ifstream quota_file(group / "cpu.cfs_quota_us"), period_file(group / "cpu.cfs_period_us");
  double quota = 0, period = 0;
  if (!(quota_file >> quota) || !(period_file >> period) || quota <= 0 || period <= 0) return std::nullopt;  // -1: none
  return quota / period;
}

}  // namespace

uint32_t usable_cores(const fs::path& root) {
  double quota = std::numeric_limits<double>::infinity();
  const ControlGroups groups = control_groups("cpu", root);
  for (const fs::path& group : groups.version_2) quota = std::min(quota, quota_of_version_2(group).value_or(quota));
  for (const fs::path& group : groups.version_1) quota = std::min(quota, quota_of_version_1(group).value_or(quota));
  // With more threads than that, all of them are stopped before each period ends.
  const double cores = std::min<double>(cores_by_affinity(), std::floor(quota));
  return std::max(1U, static_cast<uint32_t>(cores));
}

}  // namespace hearth
