#include "engine/cache/block_hash.h"

#include <bit>
#include <cstring>
#include <random>

#include "device/step.h"

namespace hearth {
namespace {

struct SipState {
  std::array<uint64_t, 4> v;

  void round() {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = std::rotl(v[1], 13) ^ v[0];
    v[3] = std::rotl(v[3], 16) ^ v[2];
    v[0] = std::rotl(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = std::rotl(v[1], 17) ^ v[2];
    v[3] = std::rotl(v[3], 21) ^ v[0];
    v[2] = std::rotl(v[2], 32);
  }

  void absorb(uint64_t word) {
    v[3] ^= word;
    round();
    round();
    v[0] ^= word;
  }

  uint64_t squeeze() {
    for (int i = 0; i < 4; ++i) round();
    return v[0] ^ v[1] ^ v[2] ^ v[3];
  }
};

}  // namespace

HashKey random_hash_key() {
  std::random_device source;
  auto word = [&] { return uint64_t{source()} << 32 | source(); };
  return {word(), word()};
}

BlockHash siphash128(const HashKey& key, std::span<const std::byte> bytes) {
  SipState state{{key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d ^ 0xee, key[0] ^ 0x6c7967656e657261,
                  key[1] ^ 0x7465646279746573}};
  const size_t whole = bytes.size() / 8 * 8;
  for (size_t at = 0; at < whole; at += 8) {
    uint64_t word;
    std::memcpy(&word, bytes.data() + at, 8);
    state.absorb(word);
  }
  uint64_t last = uint64_t{bytes.size() & 0xff} << 56;
  for (size_t at = whole; at < bytes.size(); ++at) last |= std::to_integer<uint64_t>(bytes[at]) << (8 * (at - whole));
  state.absorb(last);

  BlockHash hash;
  state.v[2] ^= 0xee;
  hash.low = state.squeeze();
  state.v[1] ^= 0xdd;
  hash.high = state.squeeze();
  return hash;
}

BlockHash root_hash(const HashKey& key, std::string_view salt) {
  return siphash128(key, std::as_bytes(std::span(salt)));
}

BlockHash next_hash(const HashKey& key, const BlockHash& parent, std::span<const int32_t> block_tokens) {
  std::array<std::byte, sizeof(BlockHash) + kBlockTokens * sizeof(int32_t)> bytes;
  std::memcpy(bytes.data(), &parent, sizeof(parent));
  std::memcpy(bytes.data() + sizeof(parent), block_tokens.data(), kBlockTokens * sizeof(int32_t));
  return siphash128(key, bytes);
}

}  // namespace hearth
