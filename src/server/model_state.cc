#include "server/model_state.h"

#include <algorithm>
#include <cmath>

namespace hearth {
namespace {

using nlohmann::ordered_json;

constexpr unsigned kUnknownSeconds = 5;
constexpr double kMostSeconds = 600;

double rounded(double value, double digits) { return std::round(value * digits) / digits; }

ordered_json load_json(const LoadStatus& status) {
  const Progress& progress = status.progress;
  ordered_json json = {{"state", "loading"}, {"stage", progress.stage}, {"fraction", progress.fraction()}};
  if (progress.total_bytes > 0) {
    json["done_bytes"] = progress.done_bytes;
    json["total_bytes"] = progress.total_bytes;
    json["gb_per_second"] = rounded(status.bytes_per_second / 1e9, 1000);
  }
  if (progress.layer >= 0) json["layer"] = progress.layer;
  if (progress.layers > 0) json["layers"] = progress.layers;
  if (status.seconds_left) json["seconds_left"] = rounded(*status.seconds_left, 10);
  json["elapsed_seconds"] = rounded(status.elapsed_seconds, 10);
  return json;
}

}  // namespace

std::string_view state_name(const ServedModel::State& state) {
  if (const auto* not_loaded = std::get_if<NotLoaded>(&state)) return not_loaded->is_leaving ? "unloading" : "unloaded";
  if (std::holds_alternative<LoadStatus>(state)) return "loading";
  return std::holds_alternative<Error>(state) ? "failed" : "ready";
}

ordered_json state_json(const ServedModel::State& state) {
  if (const auto* status = std::get_if<LoadStatus>(&state)) return load_json(*status);
  ordered_json json = {{"state", state_name(state)}};
  if (const auto* error = std::get_if<Error>(&state)) json["error"] = to_string(*error);
  return json;
}

unsigned retry_after_seconds(const ServedModel::State& state) {
  const auto* status = std::get_if<LoadStatus>(&state);
  if (status == nullptr || !status->seconds_left) return kUnknownSeconds;
  return static_cast<unsigned>(std::clamp(std::ceil(*status->seconds_left), 1.0, kMostSeconds));
}

}  // namespace hearth
