#pragma once

#include "server/openai/fields.h"

namespace hearth {

/// Refuses by name the fields of OpenAI's, vLLM's and llama.cpp's requests that would change the answer and that this
/// version cannot honour, unless their values ask for nothing.
void refuse_unsupported(Fields& fields);

}  // namespace hearth
