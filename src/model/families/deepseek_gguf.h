#pragma once

#include "model/families/family.h"

namespace hearth {

/// All models with latent attention whose GGUFs say deepseek2: DeepSeek V2 and V3, Kimi K2, GLM 4.7 Flash. What they
/// differ in is said by the metadata.
Result<DecoderDescription> deepseek_from_gguf(const Gguf& gguf);

}  // namespace hearth
