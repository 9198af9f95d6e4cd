#pragma once

#include "model/families/hugging_face_fields.h"

namespace hearth::fields {

/// Fails for a key of config.json that changes what a decoder computes, that the family did not read, and whose value
/// is not the neutral one. Returns the keys that hearth does not know at all.
std::vector<std::string> refuse_unread_keys(HuggingFaceFields& fields);

/// A key that changes what a decoder computes and stands in the configuration of a whole model, but not with the same
/// value in its text_config; nothing where there is none.
std::optional<std::string> key_beside_text_config(const nlohmann::json& whole, const nlohmann::json& text);

}  // namespace hearth::fields
