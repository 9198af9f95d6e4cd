#pragma once

#include <cstdint>
#include <span>

#include "engine/engine.h"

namespace hearth {

/// Tokens of a step where `larger_steps` lets the device decide: a large GPU is not filled by the tiles of 512 tokens,
/// so longer prompts take less time in larger steps.
constexpr uint32_t kLargeStep = 2048;

/// The token budget of a step: the options', or kLargeStep where `options.larger_steps` is set and every memory is a
/// device's own, with room for sixteen times `large_step_bytes`, what a step of kLargeStep tokens needs in it.
uint32_t step_budget(const EngineOptions& options, std::span<const CacheMemory> memories, uint64_t large_step_bytes);

}  // namespace hearth
