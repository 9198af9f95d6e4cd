#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "formats/checkpoint.h"

namespace hearth::app {

/// What a checkpoint has, for `hearth inspect`: its files, what hearth makes of its configuration, its tensors by
/// format and the formats in which devices will hold them, tokenizer, chat template and sampling defaults with where
/// each comes from, and in "obstacles" all that keeps hearth from serving it, or from chatting, with what to do. No
/// error of a part is an error of the whole. `with_tensors` lists each tensor. The checkpoint's headers were read; of
/// the rest only the vocabulary is.
nlohmann::ordered_json examine_model(const Checkpoint& checkpoint, bool with_tensors);

}  // namespace hearth::app
