#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace hearth {

/// Where requests that begin like `prompt` are likely to go on differently: behind its first message (instructions and
/// tools, which conversations share), before its last one (which is edited or asked again), and at its end (where the
/// next turn goes on). Messages begin at control tokens. Multiples of kBlockTokens, ascending, below the prompt's size,
/// and far enough apart that to begin at one saves more than the step that ends there costs.
std::vector<uint32_t> likely_forks(std::span<const int32_t> prompt, const std::function<bool(int32_t)>& is_control);

}  // namespace hearth
