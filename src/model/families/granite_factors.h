#pragma once

#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"

// Granite's factors on everything.
namespace hearth::fields {

inline void set_granite_factors(DecoderConfig& c, float embedding, float branch, float attention, float logits) {
  c.embedding_scale = embedding;
  c.branch_scale = branch;
  c.logit_scale = 1.0F / logits;
  c.for_each_attention([&](AttentionConfig& layer) { layer.scale = attention; });
}

inline void set_granite_factors(HuggingFaceFields& f, DecoderConfig& c) {
  set_granite_factors(c, f.f32("embedding_multiplier", 1.0F), f.f32("residual_multiplier", 1.0F),
                      f.f32("attention_multiplier", 1.0F), f.f32("logits_scaling", 1.0F));
}

inline void set_granite_factors(GgufFields& f, DecoderConfig& c) {
  set_granite_factors(c, f.f32("embedding_scale", 1.0F), f.f32("residual_scale", 1.0F), f.f32("attention.scale", 1.0F),
                      f.f32("logit_scale", 1.0F));
}

}  // namespace hearth::fields
