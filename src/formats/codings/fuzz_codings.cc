#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/testing/fuzz_seeds.h"
#include "formats/codings/testing/decode_everything.h"

/// libFuzzer's entry point: any bytes as a safetensors file whose __metadata__ has the quantization_config. Only built
/// with HEARTH_FUZZ.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hearth::codings::decode_everything({reinterpret_cast<const char*>(data), size});
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most_bytes, unsigned random) {
  static const std::vector<std::string> seeds = hearth::codings::coded_seeds();
  return hearth::testing::seed_or_mutate(seeds, data, size, most_bytes, random);
}
