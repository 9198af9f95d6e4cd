#include "device/vulkan/memory/step_buffer.h"

#include <algorithm>
#include <cstring>

#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {
namespace {

uint64_t align(uint64_t offset) { return (offset + 255) / 256 * 256; }

std::unexpected<Error> wrong(const char* what) { return fail(ErrorCode::internal, std::string("step: ") + what); }

/// Entries of block tables that a step can have when every block of the cache belongs to one sequence; a group's tables
/// are as long as the others' even where it keeps only a window. Sequences that share prefixes may have more.
uint64_t table_entries(std::span<const uint32_t> blocks_per_group, uint32_t sequences) {
  constexpr uint64_t kLeast = 16384;
  uint64_t most = 0;
  for (const uint32_t blocks : blocks_per_group) most = std::max<uint64_t>(most, blocks);
  return std::max(kLeast, blocks_per_group.size() * (most + sequences));
}

}  // namespace

Result<void> StepBuffer::create(const Gpu& gpu, const ProgramLimits& limits, const Cache& cache) {
  gpu_ = &gpu;
  cache_ = &cache;
  lay_out(limits, cache.groups());
  return make_room(table_entries(cache.blocks_per_group(), limits.sequences));
}

uint64_t StepBuffer::planned_bytes(const ProgramLimits& limits, std::span<const uint32_t> blocks_per_group) {
  StepBuffer buffer;
  buffer.lay_out(limits, blocks_per_group.size());
  return buffer.tables_ + table_entries(blocks_per_group, limits.sequences) * 4;
}

void StepBuffer::lay_out(const ProgramLimits& limits, size_t groups) {
  limits_ = limits;
  tokens_ = align(limits.tokens);
  token_ids_ = align(sizeof(shared::StepHeader));
  positions_ = align(token_ids_ + tokens_ * 4);
  logit_rows_ = align(positions_ + tokens_ * 4);
  candidates_ = align(logit_rows_ + uint64_t{limits.logit_rows} * 4);
  slots_ = align(candidates_ + uint64_t{limits.logit_rows} * 4);
  tiles_ = align(slots_ + groups * tokens_ * 4);
  tables_ = align(tiles_ + groups * tokens_ * sizeof(shared::AttentionTile));
}

Result<void> StepBuffer::make_room(uint64_t table_entries) {
  const uint64_t needed = tables_ + table_entries * 4;
  if (buffer_ && buffer_.bytes() >= needed) return {};
  auto buffer = Buffer::create(*gpu_, std::max(needed, buffer_ ? 2 * buffer_.bytes() : 0), Placement::device_mapped,
                               MemoryOwner::staging);
  if (!buffer) return pass_on(buffer);
  buffer_ = std::move(*buffer);
  ++generation_;
  return {};
}

Result<void> StepBuffer::check_tables(const SequenceInput& sequence) const {
  if (sequence.block_tables.size() != cache_->groups()) return wrong("a table for each cache group is needed");
  const size_t positions = (sequence.context_tokens + sequence.token_count - 1) / kBlockTokens + 1;
  for (uint32_t g = 0; g < cache_->groups(); ++g) {
    if (!cache_->keeps_positions(g) && !cache_->keeps_states(g)) continue;
    const size_t blocks = cache_->keeps_states(g) ? 2 : positions;
    if (sequence.block_tables[g].size() < blocks) return wrong("a block table is too short");
    for (const int32_t block : sequence.block_tables[g].first(blocks)) {
      if (block >= static_cast<int64_t>(cache_->blocks(g))) return wrong("a block number beyond the cache");
    }
    if (cache_->keeps_states(g) && sequence.block_tables[g][1] < 0) return wrong("a state has no place");
  }
  return {};
}

Result<void> StepBuffer::check(const StepInput& input, uint32_t rows_before) const {
  if (input.token_ids.empty() || input.token_ids.size() > limits_.tokens) return wrong("tokens beyond the limits");
  if (input.logit_rows.size() > limits_.logit_rows) return wrong("logit rows beyond the limits");
  if (input.sequences.size() > limits_.sequences) return wrong("sequences beyond the limits");
  uint32_t next = 0;
  for (const SequenceInput& sequence : input.sequences) {
    if (sequence.first_token != next || sequence.token_count == 0) return wrong("sequences with gaps");
    next += sequence.token_count;
    if (auto checked = check_tables(sequence); !checked) return checked;
  }
  if (next != input.token_ids.size()) return wrong("sequences do not cover the tokens");
  for (const uint32_t row : input.logit_rows) {
    if (row >= next) return wrong("a logit row beyond the tokens");
  }
  if (!input.candidates.empty() && input.candidates.size() != input.logit_rows.size()) {
    return wrong("a count of candidates for each logit row is needed");
  }
  for (const uint32_t count : input.candidates) {
    if (count > kMaxCandidates) return wrong("more candidates than there may be");
  }
  for (const int32_t id : input.token_ids) {
    if (id < 0 && StepInput::row_of_best(id) >= rows_before) return wrong("a token of no row in flight");
  }
  return {};
}

void StepBuffer::write_logit_rows(const StepInput& input) {
  auto* const rows = reinterpret_cast<uint32_t*>(buffer_.mapped() + logit_rows_);
  auto* const candidates = reinterpret_cast<uint32_t*>(buffer_.mapped() + candidates_);
  size_t at = 0;
  for (const bool whole : {true, false}) {
    for (size_t i = 0; i < input.logit_rows.size(); ++i) {
      if ((input.candidates_of(i) == 0) != whole) continue;
      rows[at] = input.logit_rows[i];
      candidates[at++] = input.candidates_of(i);
    }
  }
}

Result<void> StepBuffer::write(const StepInput& input, const StepTiles& most, uint32_t rows_before) {
  if (auto checked = check(input, rows_before); !checked) return checked;
  uint64_t entries = 0;
  for (const SequenceInput& sequence : input.sequences) {
    for (const auto table : sequence.block_tables) entries += table.size();
  }
  if (auto made = make_room(entries); !made) return made;

  std::byte* const base = buffer_.mapped();
  const auto uints = [&](uint64_t offset) { return reinterpret_cast<uint32_t*>(base + offset); };
  std::memcpy(base + token_ids_, input.token_ids.data(), input.token_ids.size_bytes());
  write_logit_rows(input);
  // Single tokens' tiles come first.
  const auto is_single = [&](const SequenceInput& s) { return s.token_count <= most.apart; };
  uint32_t singles = 0;
  for (const SequenceInput& sequence : input.sequences) singles += is_single(sequence) ? sequence.token_count : 0;
  uint32_t next_single = 0, next_tile = singles;
  uint32_t table = 0;
  for (const SequenceInput& sequence : input.sequences) {
    for (uint32_t i = 0; i < sequence.token_count; ++i) {
      uints(positions_)[sequence.first_token + i] = sequence.context_tokens + i;
    }
    const uint32_t tile_tokens = is_single(sequence) ? 1 : most.tokens;
    const uint32_t tiles = (sequence.token_count + tile_tokens - 1) / tile_tokens;
    uint32_t& next = is_single(sequence) ? next_single : next_tile;
    for (uint32_t g = 0; g < cache_->groups(); ++g) {
      if (!cache_->keeps_positions(g)) continue;
      const std::span<const int32_t> blocks = sequence.block_tables[g];
      for (uint32_t i = 0; i < sequence.token_count; ++i) {
        const uint32_t position = sequence.context_tokens + i;
        uints(slots_ + g * tokens_ * 4)[sequence.first_token + i] =
            static_cast<uint32_t>(blocks[position / kBlockTokens]) * kBlockTokens + position % kBlockTokens;
      }
      auto* const list = reinterpret_cast<shared::AttentionTile*>(base + tiles_ + g * tokens_ * 16);
      for (uint32_t i = 0; i < tiles; ++i) {
        const uint32_t first = i * tile_tokens;
        list[next + i] = {.first_row = sequence.first_token + first,
                          .token_count = std::min(tile_tokens, sequence.token_count - first),
                          .first_position = sequence.context_tokens + first,
                          .table = table};
      }
      std::memcpy(base + tables_ + uint64_t{table} * 4, blocks.data(), blocks.size_bytes());
      table += static_cast<uint32_t>(blocks.size());
    }
    next += tiles;
  }
  for (uint32_t g = 0; g < cache_->groups(); ++g) {
    if (cache_->keeps_states(g)) write_runs(input, g);
  }
  const shared::StepHeader header = {.tokens = static_cast<uint32_t>(input.token_ids.size()),
                                     .logit_rows = static_cast<uint32_t>(input.logit_rows.size()),
                                     .singles = singles,
                                     .tiles = next_tile - singles};
  std::memcpy(base, &header, sizeof(header));
  return {};
}

void StepBuffer::write_runs(const StepInput& input, uint32_t group) {
  auto* const runs = reinterpret_cast<shared::StateRun*>(buffer_.mapped() + tiles_ + group * tokens_ * 16);
  auto* const numbers = reinterpret_cast<uint32_t*>(buffer_.mapped() + slots_ + group * tokens_ * 4);
  for (uint32_t s = 0; s < most_runs(); ++s) {
    runs[s] = {};
    if (s >= input.sequences.size()) continue;
    const SequenceInput& sequence = input.sequences[s];
    runs[s] = {.first_row = sequence.first_token,
               .token_count = sequence.token_count,
               .from = sequence.block_tables[group][0],
               .to = sequence.block_tables[group][1]};
    std::fill_n(numbers + sequence.first_token, sequence.token_count, s);
  }
}

void StepBuffer::write_counts(uint32_t tokens, uint32_t logit_rows) {
  const shared::StepHeader header = {.tokens = tokens, .logit_rows = logit_rows};
  std::memcpy(buffer_.mapped(), &header, sizeof(header));
}

}  // namespace hearth::vulkan
