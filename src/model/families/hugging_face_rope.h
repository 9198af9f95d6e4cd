#pragma once

#include <nlohmann/json.hpp>

#include "model/families/hugging_face_fields.h"

namespace hearth::fields {

/// What a rope is where config.json does not say it.
struct RopeDefaults {
  double theta = 10000.0;
  uint32_t head_dim = 0;
  float partial = 1.0F;  ///< share of a head's dimensions that turn
  bool interleaved = false;
};

/// A rope as transformers writes it: {"rope_type", "rope_theta", "factor", ...}. Kinds default, linear, dynamic,
/// llama3, yarn, proportional.
/// Checks every number before anything is allocated; a key that is not known is an error.
RopeSpec rope_from_parameters(HuggingFaceFields& fields, const nlohmann::json& parameters,
                              const RopeDefaults& defaults);

/// Fails for rope_parameters of other kinds of layers than these two; a rope for all is of another family, and
/// transformers would pass over it.
void refuse_ropes_of_other_layers(HuggingFaceFields& fields, std::pair<std::string_view, std::string_view> kinds);

/// Fails for keys of a rope that no kind of rope reads.
void refuse_unknown_rope_keys(HuggingFaceFields& fields, HuggingFaceFields& rope);

/// The parameters of a model whose layers all turn alike: rope_parameters (transformers 5), or rope_scaling (before);
/// an empty object where there are none.
nlohmann::json single_rope_parameters(HuggingFaceFields& fields);

/// That one rope; its theta may stand beside the parameters.
RopeSpec single_rope(HuggingFaceFields& fields, RopeDefaults defaults);

/// One of rope_parameters (transformers 5), which names kinds of layers; null where the file has not got it.
nlohmann::json rope_parameters_of(HuggingFaceFields& fields, const char* layer_type);

}  // namespace hearth::fields
