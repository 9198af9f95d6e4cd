#include <cstdint>
#include <span>

#include "model/testing/mutated_decoder.h"

/// libFuzzer's entry point: the bytes choose what is changed in a good configuration. Only built with HEARTH_FUZZ.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::span<const uint8_t> left(data, size);
  const auto choose = [&](size_t limit) -> size_t {
    if (left.empty()) return 0;
    const uint8_t byte = left.front();
    left = left.subspan(1);
    return byte % limit;
  };
  const bool is_gguf = choose(2) == 1;
  if (!(is_gguf ? hearth::mutated::describe_gguf(choose) : hearth::mutated::describe_config(choose)).empty()) {
    __builtin_trap();
  }
  return 0;
}
