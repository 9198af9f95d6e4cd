#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "tensor/number_format.h"

namespace hearth {

/// A tensor type of GGUF files (ggml_type in https://github.com/ggml-org/ggml/blob/master/include/ggml.h).
struct GgufTensorType {
  uint32_t id;
  std::string_view name;  ///< as ggml spells it, such as "Q4_K"
  uint32_t block_values;
  uint32_t block_bytes;
  std::optional<NumberFormat> format;  ///< nothing when hearth cannot read it
};

/// nullptr for a number that no published version of ggml uses.
const GgufTensorType* find_gguf_tensor_type(uint32_t id);

/// The number of `format` in a GGUF file; nothing for u8, which GGUF does not have.
std::optional<uint32_t> gguf_tensor_type_of(NumberFormat format);

}  // namespace hearth
