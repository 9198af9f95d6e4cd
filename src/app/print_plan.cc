#include "app/print_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace hearth::app {
namespace {

using Json = nlohmann::ordered_json;

std::string size_text(uint64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (bytes < 1'000'000) return fmt::format("{:.1f} KB", value / 1e3);
  return bytes < 1'000'000'000 ? fmt::format("{:.1f} MB", value / 1e6) : fmt::format("{:.2f} GB", value / 1e9);
}

std::string memory_name(const DeviceMemory& memory) {
  switch (memory.kind) {
    case DeviceMemory::Kind::own:
      return fmt::format("memory of {}", memory.name);
    case DeviceMemory::Kind::integrated:
      return fmt::format("memory that {} shares with the processor", memory.name);
    case DeviceMemory::Kind::system:
      break;
  }
  return "the host's memory";
}

std::string_view kind_name(DeviceMemory::Kind kind) {
  switch (kind) {
    case DeviceMemory::Kind::own:
      return "own";
    case DeviceMemory::Kind::integrated:
      return "integrated";
    case DeviceMemory::Kind::system:
      break;
  }
  return "system";
}

void print_memory(const PlannedMemory& planned, uint32_t layers, std::back_insert_iterator<std::string> out) {
  const auto line = [&](std::string_view name, uint64_t bytes) {
    if (bytes > 0) fmt::format_to(out, "  {:<20} {:>10}\n", name, size_text(bytes));
  };
  fmt::format_to(out, "\n{}", memory_name(planned.memory));
  if (planned.memory.free_bytes) {
    fmt::format_to(out, ": {} free, of which {} may be planned for", size_text(*planned.memory.free_bytes),
                   size_text(planned.usable_bytes));
  }
  fmt::format_to(out, "\n  {} of {} layers\n", planned.layers, layers);
  for (size_t kind = 0; kind < kWeightKinds.size(); ++kind) line(kWeightKinds[kind], planned.weights.bytes[kind]);
  line("KV cache", planned.cache_bytes);
  line("activations", planned.activation_bytes);
  fmt::format_to(out, "  {:<20} {:>10}", "together", size_text(planned.total_bytes()));
  if (planned.memory.free_bytes) {
    const uint64_t left = planned.usable_bytes - std::min(planned.usable_bytes, planned.total_bytes());
    fmt::format_to(out, ", {} are left", size_text(left));
  }
  fmt::format_to(out, "\n");
}

std::string basis_text(const PredictedSpeed& speed) {
  if (speed.basis == PredictedSpeed::Basis::measured) {
    return fmt::format("predicted from steps of some layers, timed now; memory reads {:.1f} GB/s",
                       speed.bandwidth_gb_per_second);
  }
  std::string text = fmt::format("at most, as memory reads {:.0f} GB/s", speed.bandwidth_gb_per_second);
  if (speed.teraflops > 0) text += fmt::format(" and matrix units reach {:.1f} TFLOPS", speed.teraflops);
  return text + "; not run";
}

std::string rate_text(double tokens_per_second) {
  return tokens_per_second > 0 ? fmt::format("{:.1f}", tokens_per_second) : "no room";
}

/// A column for each room.
void print_speed(const ModelPlan& plan, const PredictedSpeed& speed, std::back_insert_iterator<std::string> out) {
  if (speed.decoding.empty()) return;
  fmt::format_to(out, "\n{}\ntokens/s of all together, behind so many tokens each\n{:>10} {:>12}", basis_text(speed),
                 "sequences", PredictedSpeed::kShortContext);
  for (const Room& room : plan.rooms) fmt::format_to(out, " {:>12}", room.tokens);
  for (const PredictedSpeed::Decoding& each : speed.decoding) {
    fmt::format_to(out, "\n{:>10} {:>12.1f}", each.sequences, each.tokens_per_second);
    for (const double rate : each.behind_rooms) fmt::format_to(out, " {:>12}", rate_text(rate));
  }
  fmt::format_to(out, "\n");
  if (speed.prompt_tokens_per_second > 0) {
    fmt::format_to(out, "prompts: {:.0f} tokens/s\n", speed.prompt_tokens_per_second);
  }
}

Json speed_json(const PredictedSpeed& speed) {
  Json decoding = Json::array();
  for (const PredictedSpeed::Decoding& each : speed.decoding) {
    Json behind = Json::array();
    for (const double rate : each.behind_rooms) behind.push_back(rate > 0 ? Json(rate) : Json(nullptr));
    decoding.push_back({{"sequences", each.sequences},
                        {"tokens_per_second", each.tokens_per_second},
                        {"tokens_per_second_behind_rooms", behind}});
  }
  const auto known = [](double value) { return value > 0 ? Json(value) : Json(nullptr); };
  return {{"basis", speed.basis == PredictedSpeed::Basis::measured ? "measured" : "limits"},
          {"read_gb_per_second", known(speed.bandwidth_gb_per_second)},
          {"f16_teraflops", known(speed.teraflops)},
          {"decode", decoding},
          {"prompt_tokens_per_second", known(speed.prompt_tokens_per_second)}};
}

}  // namespace

std::string plan_text(const ModelPlan& plan, const PredictedSpeed& speed) {
  std::string text;
  const auto out = std::back_inserter(text);
  fmt::format_to(out, "on {} ({})\n", plan.device, plan.device_description);
  for (const PlannedMemory& memory : plan.memories) print_memory(memory, plan.layers, out);
  if (plan.staging_bytes > 0) {
    fmt::format_to(out, "\nexchanged with the host through {} of its memory\n", size_text(plan.staging_bytes));
  }
  const EngineOptions& options = plan.engine.options;
  fmt::format_to(out, "\ncontext {} of the model's {}; {} sequences at once; steps of {} tokens\n",
                 options.context_length, plan.model_context, options.max_sequences, options.max_batched_tokens);
  fmt::format_to(out, "a token takes {} of cache behind every window; a step reads {} of weights\n",
                 size_text(plan.bytes_of_token), size_text(plan.weight_bytes_read));
  fmt::format_to(out, "\n{:>10} {:>22}\n", "tokens", "sequences with room");
  for (const Room& room : plan.rooms) {
    const bool is_most = room.sequences >= kMostSequences;
    fmt::format_to(out, "{:>10} {:>22}\n", room.tokens, is_most ? "any" : std::to_string(room.sequences));
  }
  print_speed(plan, speed, out);
  return text;
}

Json plan_json(const ModelPlan& plan, const PredictedSpeed& speed) {
  Json memories = Json::array(), rooms = Json::array();
  for (const PlannedMemory& planned : plan.memories) {
    Json weights = Json::object();
    for (size_t kind = 0; kind < kWeightKinds.size(); ++kind) {
      weights[std::string(kWeightKinds[kind])] = planned.weights.bytes[kind];
    }
    const bool is_known = planned.memory.free_bytes.has_value();
    memories.push_back({{"name", memory_name(planned.memory)},
                        {"kind", kind_name(planned.memory.kind)},
                        {"free_bytes", is_known ? Json(*planned.memory.free_bytes) : Json(nullptr)},
                        {"usable_bytes", is_known ? Json(planned.usable_bytes) : Json(nullptr)},
                        {"layers", planned.layers},
                        {"weights", weights},
                        {"cache_bytes", planned.cache_bytes},
                        {"activation_bytes", planned.activation_bytes},
                        {"total_bytes", planned.total_bytes()}});
  }
  for (const Room& room : plan.rooms) rooms.push_back({{"tokens", room.tokens}, {"sequences", room.sequences}});
  const EngineOptions& options = plan.engine.options;
  return {{"device", plan.device},
          {"device_description", plan.device_description},
          {"memories", memories},
          {"staging_bytes", plan.staging_bytes},
          {"context", options.context_length},
          {"model_context", plan.model_context},
          {"max_sequences", options.max_sequences},
          {"max_batched_tokens", options.max_batched_tokens},
          {"layers", plan.layers},
          {"cache_bytes_of_token", plan.bytes_of_token},
          {"weight_bytes_read_per_step", plan.weight_bytes_read},
          {"rooms", rooms},
          {"speed", speed_json(speed)}};
}

}  // namespace hearth::app
