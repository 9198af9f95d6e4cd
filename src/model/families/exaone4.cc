#include <algorithm>
#include <array>

#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"

// EXAONE 4 (LG, arXiv 2507.11407): norms of branches and of heads only; where there are windows, full layers have no
// rope.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"exaone4"};
constexpr std::array<std::string_view, 1> kArchitectures = {"exaone4"};

constexpr uint32_t kPattern = 4;

void leave_ropes_out(DecoderConfig& c, uint32_t window) {
  c.for_each_attention([&](AttentionConfig& attention) {
    if (window > 0 && attention.window == 0) attention.rope.reset();
  });
}

/// "LLLG", as older files have it, or how many layers one of them sees everything.
uint32_t pattern_of(fields::HuggingFaceFields& f) {
  const nlohmann::json& pattern = f.value("sliding_window_pattern");
  if (pattern.is_string()) return std::max(1U, static_cast<uint32_t>(pattern.get<std::string>().size()));
  return std::max(1U, f.u32("sliding_window_pattern", kPattern));
}

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(
      f, {.family = "exaone4", .sizes = {4096, 16384, 32, 32, 102400}, .kv_heads = 32, .epsilon = 1e-5F});
  const uint32_t window = f.u32("sliding_window", 4096, 0);
  const uint32_t pattern = pattern_of(f);
  fields::set_windows(f, window, d.config, [&](uint32_t layer) { return (layer + 1) % pattern != 0; });
  leave_ropes_out(d.config, window);
  fields::add_head_norms(f, d.names);
  fields::norm_branches_only(d.names);
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "exaone4"});
  const uint32_t window = f.u32("attention.sliding_window", 0);
  fields::set_windows(f, window, d.config, [](uint32_t layer) { return (layer + 1) % kPattern != 0; });
  leave_ropes_out(d.config, window);
  fields::add_head_norms(gguf, d.names);
  fields::branch_norms_only(d.names);
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kExaone4 = {"exaone4", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
