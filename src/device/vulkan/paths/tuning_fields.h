#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

#include "device/vulkan/paths/tuning.h"

// The names of all tuning's fields: what HEARTH_VULKAN_TUNING, the kept tuning and `hearth bench --explain` call them.
// Lists and structures cannot drift apart: a field that is missing here does not compile.
namespace hearth::vulkan {

/// `T` or const `T`.
template <class Type, class T>
concept MaybeConst = std::same_as<std::remove_const_t<Type>, T>;

template <MaybeConst<FewTokensTuning> T, class Visit>
constexpr void visit_fields(T& t, Visit&& visit) {
  visit("subgroups", t.subgroups);
  visit("rows", t.rows);
  visit("split", t.split);
  visit("unroll", t.unroll);
  visit("cluster", t.cluster);
  visit("joined", t.joined);
}

template <MaybeConst<MatrixTuning> T, class Visit>
constexpr void visit_fields(T& t, Visit&& visit) {
  visit("teams", t.teams);
  visit("tile_rows", t.tile_rows);
  visit("tile_tokens", t.tile_tokens);
  visit("sub_rows", t.sub_rows);
  visit("sub_tokens", t.sub_tokens);
  visit("depth", t.depth);
  visit("buffers", t.buffers);
}

template <MaybeConst<WorkgroupMatrixTuning> T, class Visit>
constexpr void visit_fields(T& t, Visit&& visit) {
  visit("from_tokens", t.from_tokens);
  visit("threads", t.threads);
  visit("tile_rows", t.tile_rows);
  visit("tile_tokens", t.tile_tokens);
  visit("depth", t.depth);
}

template <MaybeConst<FragmentTuning> T, class Visit>
constexpr void visit_fields(T& t, Visit&& visit) {
  visit("from_tokens", t.from_tokens);
  visit("to_tokens", t.to_tokens);
  visit("teams", t.teams);
  visit("row_parts", t.row_parts);
  visit("strips", t.strips);
  visit("shares", t.shares);
  visit("ahead", t.ahead);
  visit("joined", t.joined);
  visit("pieces", t.pieces);
  visit("matrix_tokens", t.matrix_tokens);
  visit("tile_tokens", t.tile_tokens);
  visit("many_teams", t.many_teams);
  visit("many_strips", t.many_strips);
}

/// Those that decide how matmuls run, which are measured for each shape.
template <MaybeConst<Tuning> T, class Visit>
constexpr void visit_matmul_fields(T& t, Visit&& visit) {
  visit("few_tokens_limit", t.few_tokens_limit);
  visit("many_tokens_path", t.many_tokens_path);
  visit("batch_invariant", t.batch_invariant);
  visit("linear", t.linear);
  visit("short_linear", t.short_linear);
  visit("logits", t.logits);
  visit("gate_up", t.gate_up);
  visit("most_sums", t.most_sums);
  visit("short_rows", t.short_rows);
  visit("matrix8", t.matrix8);
  visit("matrix16", t.matrix16);
  visit("matrix32", t.matrix32);
  visit("matrix64", t.matrix64);
  visit("matrix", t.matrix);
  visit("workgroup_matrix", t.workgroup_matrix);
  visit("fragments", t.fragments);
  visit("decode_from_tokens", t.decode_from_tokens);
  visit("decoded_matrix64", t.decoded_matrix64);
  visit("decoded_matrix", t.decoded_matrix);
}

template <MaybeConst<Tuning> T, class Visit>
constexpr void visit_other_fields(T& t, Visit&& visit) {
  visit("norm_threads", t.norm_threads);
  visit("attention_subgroups", t.attention_subgroups);
  visit("attention_rounds", t.attention_rounds);
  visit("attention_heads", t.attention_heads);
  visit("attention_split_keys", t.attention_split_keys);
  visit("attention_workgroups", t.attention_workgroups);
  visit("latent_subgroups", t.latent_subgroups);
  visit("latent_heads", t.latent_heads);
  visit("attention_separate_rope", t.attention_separate_rope);
  visit("attention_path", t.attention_path);
  visit("attention_apart", t.attention_apart);
  visit("attention_matrix_subgroups", t.attention_matrix_subgroups);
  visit("attention_matrix_keys", t.attention_matrix_keys);
  visit("attention_shared_queries", t.attention_shared_queries);
  visit("attention_transpose_values", t.attention_transpose_values);
  visit("attention_threads", t.attention_threads);
  visit("attention_keys", t.attention_keys);
  visit("candidate_threads", t.candidate_threads);
  visit("candidate_values", t.candidate_values);
  visit("submit_mflop", t.submit_mflop);
}

template <MaybeConst<Tuning> T, class Visit>
constexpr void visit_fields(T& t, Visit&& visit) {
  visit_matmul_fields(t, visit);
  visit_other_fields(t, visit);
}

/// Makes a visitor of fields from one of numbers: visit("gate_up.rows", number).
template <class Visit>
auto by_full_name(Visit&& visit) {
  return [visit = std::forward<Visit>(visit)](const std::string& name, auto& field) mutable {
    if constexpr (MaybeConst<std::remove_reference_t<decltype(field)>, uint32_t>) {
      visit(name, field);
    } else {
      visit_fields(field, [&](const char* inner, auto& number) { visit(name + "." + inner, number); });
    }
  };
}

namespace fields_check {

template <class T>
constexpr size_t bytes_of_fields() {
  size_t bytes = 0;
  T tuning;
  visit_fields(tuning, [&](const char*, auto& field) { bytes += sizeof(field); });
  return bytes;
}
static_assert(bytes_of_fields<FewTokensTuning>() == sizeof(FewTokensTuning));
static_assert(bytes_of_fields<MatrixTuning>() == sizeof(MatrixTuning));
static_assert(bytes_of_fields<WorkgroupMatrixTuning>() == sizeof(WorkgroupMatrixTuning));
static_assert(bytes_of_fields<FragmentTuning>() == sizeof(FragmentTuning));
static_assert(bytes_of_fields<Tuning>() == sizeof(Tuning));

}  // namespace fields_check
}  // namespace hearth::vulkan
