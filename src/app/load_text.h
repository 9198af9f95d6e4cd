#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>

#include "base/result.h"
#include "engine/request.h"
#include "formats/checkpoint.h"
#include "formats/gguf_metadata.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace hearth::app {

/// What a checkpoint says about text. Without a vocabulary `tokenizer` is null, and prompts are token ids; without a
/// chat template that can be used `chat_template` is null, and the model only completes.
struct ModelText {
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<ChatTemplate> chat_template;
  std::optional<Error> chat_template_error;  ///< why the checkpoint's template cannot be used, where it has one
  SamplingParams default_sampling;           ///< from generation_config.json
};

/// Takes tenths of a second for large vocabularies: run it beside the loading of weights. `chat_template` is a file
/// with a template to use instead of the checkpoint's; none where it is empty. That one must be usable. `cancelled`
/// soon after `stop` was requested: between the reading of files, the making of the tokenizer and that of the template.
Result<ModelText> load_text(const Checkpoint& checkpoint, const std::filesystem::path& chat_template = {},
                            const std::stop_token& stop = {});

/// The vocabulary that a GGUF file describes, `model` being its kind; what the file does not say stays empty.
GgufVocabulary read_vocabulary(const GgufMetadata& metadata, std::string model);

}  // namespace hearth::app
