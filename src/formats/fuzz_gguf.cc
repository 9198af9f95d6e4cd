#include <cstdint>

#include "base/testing/fuzz_seeds.h"
#include "formats/gguf.h"
#include "formats/test_files.h"

/// libFuzzer's entry point: any bytes as a GGUF file. Only built with HEARTH_FUZZ.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const hearth::test_files::MemoryFile file({reinterpret_cast<const char*>(data), size});
  const auto gguf = hearth::Gguf::open(file.path());
  if (gguf && !hearth::test_files::broken_promise(**gguf).empty()) __builtin_trap();
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most_bytes, unsigned random) {
  static const std::string kSeeds[] = {hearth::test_files::small_gguf().build()};
  return hearth::testing::seed_or_mutate(kSeeds, data, size, most_bytes, random);
}
