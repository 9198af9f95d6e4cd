#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "formats/checkpoint.h"

namespace hearth {

/// The header of one safetensors file: https://github.com/huggingface/safetensors. As there, the tensors must fill the
/// bytes behind the header without overlap and without a hole.
struct SafetensorsHeader {
  struct Unsupported {
    std::string name;
    std::string why;  ///< "its number format I64 is not supported"
  };

  std::vector<TensorInfo> tensors;       ///< in the order of their bytes; `file` is 0
  std::vector<Unsupported> unsupported;  ///< there, but of a format (or an empty shape) that hearth does not read
  std::map<std::string, std::string> metadata;
};

/// Reads and checks the header; F32, F16, BF16, I8, U8, I32 and floats of 8 bits are read, every other format becomes
/// `unsupported`. Errors: `corrupt` with the path and what contradicts what, `io`.
Result<SafetensorsHeader> read_safetensors_header(const File& file);

}  // namespace hearth
