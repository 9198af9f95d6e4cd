#include "device/vulkan/rdna3/assembly.h"

#include <algorithm>
#include <array>
#include <map>

namespace hearth::vulkan {
namespace {

template <size_t n>
bool any_of(std::string_view name, const std::array<std::string_view, n>& starts) {
  return std::ranges::any_of(starts, [&](std::string_view start) { return name.starts_with(start); });
}

constexpr std::array<std::string_view, 8> kSpecial = {"v_exp_",  "v_log_", "v_rcp_", "v_rsq_",
                                                      "v_sqrt_", "v_sin_", "v_cos_", "v_rcp_iflag_"};
constexpr std::array<std::string_view, 5> kQuarterRate = {"v_mul_lo_u32", "v_mul_hi_u32", "v_mul_hi_i32",
                                                          "v_mad_u64_u32", "v_mad_i64_i32"};
constexpr std::array<std::string_view, 3> kTwoWords = {"v_lshlrev_b64", "v_lshrrev_b64", "v_ashrrev_i64"};
constexpr std::array<std::string_view, 4> kFloatMac = {"v_fma_f32", "v_fmac_f32", "v_fmaak_f32", "v_fmamk_f32"};
/// With 64 lanes both halves of these issue together.
constexpr std::array<std::string_view, 12> kBothHalves = {"v_fma_f32",    "v_fmac_f32",    "v_fmaak_f32", "v_fmamk_f32",
                                                          "v_mul_f32",    "v_add_f32",     "v_sub_f32",   "v_mov_b32",
                                                          "v_subrev_f32", "v_cndmask_b32", "v_max_f32",   "v_min_f32"};

/// Bytes that a lane moves by a memory instruction: "global_load_b128", "global_load_dwordx4", "ds_load_2addr_b64".
double bytes_of_name(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, double>, 14> kSizes = {{{"b128", 16},
                                                                                  {"dwordx4", 16},
                                                                                  {"b96", 12},
                                                                                  {"dwordx3", 12},
                                                                                  {"b64", 8},
                                                                                  {"dwordx2", 8},
                                                                                  {"b32", 4},
                                                                                  {"dword", 4},
                                                                                  {"16", 2},
                                                                                  {"short", 2},
                                                                                  {"u8", 1},
                                                                                  {"i8", 1},
                                                                                  {"b8", 1},
                                                                                  {"byte", 1}}};
  const bool two = name.find("2addr") != name.npos || name.starts_with("ds_read2") || name.starts_with("ds_write2");
  for (const auto& [size, bytes] : kSizes) {
    if (name.find(size) != name.npos) return two ? 2 * bytes : bytes;
  }
  return 4;
}

double matrix_cycles(std::string_view name) { return name.find("iu4") != name.npos ? 16 : 32; }

Work vector_work(std::string_view instruction, std::string_view name, uint32_t lanes) {
  Work work = {.instructions = 1, .vector_instructions = 1};
  if (name.starts_with("v_wmma")) {
    work.matrices = 1;
    work.dot_macs = 16 * 16 * 16;
    work.vector_cycles = matrix_cycles(name);
    return work;
  }
  if (name.starts_with("v_dual_")) {
    const size_t second = instruction.find("v_dual_fmac", instruction.find("::"));
    work.float_macs =
        lanes * ((name.starts_with("v_dual_fmac") ? 1.0 : 0.0) + (second != instruction.npos ? 1.0 : 0.0));
    work.vector_cycles = 1;
    return work;
  }
  double cycles = any_of(name, kTwoWords) ? 2 : (any_of(name, kQuarterRate) ? 4 : 1);
  if (lanes == 64 && !any_of(name, kBothHalves)) cycles *= 2;
  work.vector_cycles = cycles;
  if (any_of(name, kSpecial)) work.special_cycles = 4 * cycles;
  if (name.starts_with("v_dot4")) {
    work.dots = 1;
    work.dot_macs = 4.0 * lanes;
  }
  if (any_of(name, kFloatMac) || name.starts_with("v_fma_mix_f32")) work.float_macs = lanes;
  return work;
}

/// The target of a branch, or nothing.
std::string_view branch_target(std::string_view instruction) {
  if (!instruction.starts_with("s_branch") && !instruction.starts_with("s_cbranch")) return {};
  const size_t at = instruction.find("BB");
  if (at == instruction.npos) return {};
  const std::string_view rest = instruction.substr(at);
  return rest.substr(0, rest.find_first_not_of("0123456789", 2));
}

}  // namespace

Work& Work::operator+=(const Work& o) {
  instructions += o.instructions;
  vector_instructions += o.vector_instructions;
  vector_cycles += o.vector_cycles;
  special_cycles += o.special_cycles;
  dot_macs += o.dot_macs;
  float_macs += o.float_macs;
  shared_bytes += o.shared_bytes;
  loaded_bytes += o.loaded_bytes;
  dots += o.dots;
  matrices += o.matrices;
  return *this;
}

Work Work::operator*(double times) const {
  Work result = *this;
  for (double* value :
       {&result.instructions, &result.vector_instructions, &result.vector_cycles, &result.special_cycles,
        &result.dot_macs, &result.float_macs, &result.shared_bytes, &result.loaded_bytes}) {
    *value *= times;
  }
  result.dots = static_cast<uint32_t>(dots * times);
  result.matrices = static_cast<uint32_t>(matrices * times);
  return result;
}

Work work_of(std::string_view instruction, uint32_t lanes) {
  // Mesa's own notation names the results first.
  if (instruction.starts_with(' '))
    instruction.remove_prefix(std::min(instruction.size(), instruction.find(" = ") + 3));
  const std::string_view name = instruction.substr(0, instruction.find_first_of(" \t"));
  if (name.starts_with("v_")) return vector_work(instruction, name, lanes);
  Work work = {.instructions = 1};
  if (name.starts_with("ds_")) work.shared_bytes = lanes * bytes_of_name(name);
  if (name.starts_with("global_load") || name.starts_with("buffer_load") || name.starts_with("flat_load")) {
    work.loaded_bytes = lanes * bytes_of_name(name);
  }
  return work;
}

Assembly::Assembly(std::string_view text, uint32_t lanes) {
  std::map<std::string_view, size_t> labels;
  std::vector<std::pair<size_t, std::string_view>> branches;
  blocks_.emplace_back();
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.starts_with("BB")) {
      blocks_.emplace_back();
      labels[line.substr(0, line.find_first_not_of("0123456789", 2))] = blocks_.size() - 1;
    } else if (line.starts_with('\t')) {
      line.remove_prefix(1);
      blocks_.back() += work_of(line, lanes);
      if (const auto target = branch_target(line); !target.empty()) branches.emplace_back(blocks_.size() - 1, target);
    }
  }
  // Mesa keeps the blocks of a loop together, from its header to its last branch back.
  std::map<size_t, size_t> last_of_header;
  for (const auto& [block, target] : branches) {
    const auto header = labels.find(target);
    if (header == labels.end() || header->second > block) continue;
    size_t& last = last_of_header[header->second];
    last = std::max(last, block);
  }
  for (const auto& [first, last] : last_of_header) loops_.push_back({first, last});
}

Work Assembly::once() const {
  Work sum;
  for (const Work& block : blocks_) sum += block;
  return sum;
}

Assembly::Split Assembly::split(double inner_trips) const {
  const auto macs = [&](const Loop& loop) {
    Work sum;
    for (size_t i = loop.first; i <= loop.last; ++i) sum += blocks_[i];
    // Dots first: a kernel of dots has a few other multiply-adds.
    return std::pair(sum.dot_macs, sum.float_macs);
  };
  const Loop* main = nullptr;
  for (const Loop& loop : loops_) {
    const bool outermost = std::ranges::none_of(loops_, [&](const Loop& other) { return other.contains(loop); });
    if (outermost && (main == nullptr || macs(*main) < macs(loop))) main = &loop;
  }
  Split result;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    if (main == nullptr || !main->contains(i)) {
      result.outside += blocks_[i];
      continue;
    }
    const bool inner = std::ranges::any_of(loops_, [&](const Loop& loop) {
      return main->contains(loop) && loop.contains(i) && macs(loop) > std::pair(0.0, 0.0);
    });
    result.trip += blocks_[i] * (inner ? inner_trips : 1);
  }
  return result;
}

}  // namespace hearth::vulkan
