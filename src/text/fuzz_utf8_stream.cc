#include <cstdint>
#include <string>

#include "base/testing/fuzz_seeds.h"
#include "text/utf8_stream.h"

/// libFuzzer's entry point: any bytes as the text of tokens, in pieces. Only built with HEARTH_FUZZ.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  hearth::Utf8Stream stream;
  const std::string whole = stream.push(bytes) + stream.flush();

  const size_t piece = size == 0 ? 1 : 1 + data[0] % 5;
  std::string joined;
  for (size_t at = 0; at < size; at += piece) joined += stream.push(bytes.substr(at, piece));
  joined += stream.flush();
  if (joined != whole) __builtin_trap();

  // What came out is valid: nothing of it is replaced.
  if (stream.push(whole) != whole || !stream.flush().empty()) __builtin_trap();
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most_bytes, unsigned random) {
  static const std::string kSeeds[] = {"a\xC3\xA9\xE2\x96\x81\xF0\x9F\x98\x80z", "\xED\xA0\x80\xF4\x90\xE0\x80\xFF"};
  return hearth::testing::seed_or_mutate(kSeeds, data, size, most_bytes, random);
}
