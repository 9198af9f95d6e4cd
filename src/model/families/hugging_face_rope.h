#pragma once

#include <nlohmann/json.hpp>

#include "model/families/hugging_face_fields.h"

namespace hearth::fields {

/// A rope as transformers writes it: {"rope_type", "rope_theta", "factor", ...}. Kinds default, linear, llama3, yarn.
/// Checks every number before anything is allocated; a key that is not known is an error.
RopeSpec rope_from_parameters(HuggingFaceFields& fields, const nlohmann::json& parameters, double default_theta,
                              uint32_t head_dim);

/// The one rope of a model whose layers all turn alike: rope_parameters (transformers 5), or rope_theta and
/// rope_scaling (before).
RopeSpec single_rope(HuggingFaceFields& fields, double default_theta, uint32_t head_dim);

}  // namespace hearth::fields
