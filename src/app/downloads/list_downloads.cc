#include "app/downloads/list_downloads.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/downloads/disk_questions.h"
#include "app/machine_values.h"
#include "base/printable.h"

namespace hearth::app {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const DownloadedModel& model) {
  return {{"name", model.name},
          {"tool", prefix_of(model.tool)},
          {"from", name_of(model.tool)},
          {"path", printable(model.path.native(), 4096)},
          {"format", model.format},
          {"bytes", model.bytes},
          {"whole", model.is_whole()},
          {"lacks", model.lacks},
          {"problem", model.problem},
          {"unfinished_downloads", model.unfinished.files},
          {"unfinished_bytes", model.unfinished.bytes}};
}

std::string state_text(const Json& model) {
  if (const std::string problem = model["problem"]; !problem.empty()) return problem;
  const auto lacks = model["lacks"].get<std::vector<std::string>>();
  if (lacks.empty()) return {};
  return "lacks " + list_some(lacks, 2);
}

std::string models_text(const Json& models) {
  size_t widest = 0;
  for (const Json& model : models) widest = std::max(widest, model["name"].get_ref<const std::string&>().size());
  std::string text;
  for (const Json& model : models) {
    std::string line = fmt::format("{:<{}}  {:<11}  {:>9}  {:<22}  {}", model["name"].get<std::string>(), widest,
                                   model["format"].get<std::string>(), gigabytes(model["bytes"]),
                                   model["from"].get<std::string>(), state_text(model));
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string place_text(const Json& place) {
  const std::string state = place["state"];
  return fmt::format("  {} ({}){}\n", place["folder"].get<std::string>(), place["from"].get<std::string>(),
                     state == "read" ? "" : ": " + state);
}

}  // namespace

nlohmann::ordered_json list_downloads(const std::vector<DownloadPlace>& places) {
  Json report = {{"models", Json::array()}, {"looked_in", Json::array()}};
  for (const DownloadPlace& place : places) {
    const std::string state = state_of_folder(place.folder);
    report["looked_in"].push_back({{"tool", prefix_of(place.tool)},
                                   {"from", name_of(place.tool)},
                                   {"folder", printable(place.folder.native(), 4096)},
                                   {"state", state.empty() ? "read" : state.substr(2, state.size() - 3)}});
    for (const DownloadedModel& model : models_of(place)) report["models"].push_back(json_of(model));
  }
  return report;
}

std::string downloads_text(const nlohmann::ordered_json& report) {
  const bool has_models = !report["models"].empty();
  std::string text = models_text(report["models"]), places;
  for (const Json& place : report["looked_in"]) {
    if (!has_models || place["state"] == "may not be read") places += place_text(place);
  }
  if (!has_models) return "no models were found; looked in\n" + places;
  return places.empty() ? text : text + "\nnot looked in:\n" + places;
}

}  // namespace hearth::app
