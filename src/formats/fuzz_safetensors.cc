#include <cstdint>

#include "base/file.h"
#include "base/testing/fuzz_seeds.h"
#include "formats/safetensors.h"
#include "formats/test_files.h"

/// libFuzzer's entry point: any bytes as a safetensors file. Only built with HEARTH_FUZZ.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const hearth::test_files::MemoryFile memory({reinterpret_cast<const char*>(data), size});
  const auto file = hearth::File::open(memory.path());
  if (!file) return 0;
  const auto header = hearth::read_safetensors_header(*file);
  if (!header) return 0;
  for (const hearth::TensorInfo& tensor : header->tensors) {
    if (tensor.bytes == 0 || tensor.offset > size || tensor.bytes > size - tensor.offset) __builtin_trap();
  }
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most_bytes, unsigned random) {
  static const std::string kSeeds[] = {hearth::test_files::small_safetensors()};
  return hearth::testing::seed_or_mutate(kSeeds, data, size, most_bytes, random);
}
