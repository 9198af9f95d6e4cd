#pragma once

#include <memory>

#include "base/result.h"
#include "engine/request.h"
#include "formats/checkpoint.h"
#include "formats/gguf_metadata.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace hearth::app {

/// What a checkpoint says about text. Without a vocabulary `tokenizer` is null, and prompts are token ids; without a
/// chat template `chat_template` is null, and the model only completes.
struct ModelText {
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<ChatTemplate> chat_template;
  SamplingParams default_sampling;  ///< from generation_config.json
};

/// Takes up to seconds for large vocabularies: run it beside the loading of weights.
Result<ModelText> load_text(const Checkpoint& checkpoint);

/// The vocabulary that a GGUF file describes, `model` being its kind; what the file does not say stays empty.
GgufVocabulary read_vocabulary(const GgufMetadata& metadata, std::string model);

}  // namespace hearth::app
