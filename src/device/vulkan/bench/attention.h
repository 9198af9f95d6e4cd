#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hearth::vulkan {

struct AttentionBench {
  uint32_t device = 0;
  uint32_t heads = 32, kv_heads = 16, head_dim = 128;
  uint32_t window = 0;
  uint32_t repeat = 20;
  std::vector<uint32_t> contexts;   ///< before each decoded token, and before each prompt
  std::vector<uint32_t> sequences;  ///< decoding side by side
  std::vector<uint32_t> rows;       ///< of each of them: 1 decodes, more verify drafts
  std::vector<uint32_t> prompts;    ///< tokens
  std::vector<std::string> tunings;
};

/// Times RopeAndStore and Attention of one shape by themselves: the difference between a program of many layers and one
/// of a single layer, for each layer, with its GB/s of K and V, or TFLOPS. Prints; returns the process's exit code.
int run_attention_bench(const AttentionBench& bench);

}  // namespace hearth::vulkan
