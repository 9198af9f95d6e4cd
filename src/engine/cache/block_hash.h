#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace hearth {

/// Names what a KV block holds: the tokens of the block and of all blocks before it, and the salt of its sequence.
struct BlockHash {
  uint64_t low = 0;
  uint64_t high = 0;

  bool operator==(const BlockHash&) const = default;
};

/// Key of a keyed hash. A key that clients don't know keeps them from constructing prompts whose blocks collide, which
/// would show one client's context to another.
using HashKey = std::array<uint64_t, 2>;

/// A key from the operating system's random source.
HashKey random_hash_key();

/// SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012).
BlockHash siphash128(const HashKey& key, std::span<const std::byte> bytes);

/// The parent of a sequence's first block.
BlockHash root_hash(const HashKey& key, std::string_view salt);

/// Hash of a full block that follows `parent`.
BlockHash next_hash(const HashKey& key, const BlockHash& parent, std::span<const int32_t> block_tokens);

/// For unordered containers: SipHash's bits are already mixed.
struct BlockHashHasher {
  size_t operator()(const BlockHash& hash) const { return hash.low; }
};

}  // namespace hearth
