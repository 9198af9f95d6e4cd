// Which models other tools have downloaded, by the names that MODEL takes.
#include <fmt/format.h>

#include <chrono>

#include "app/commands.h"
#include "app/downloads/list_downloads.h"
#include "base/reading/watched_call.h"

namespace hearth::app {
namespace {

Result<void> run(bool json) {
  constexpr std::chrono::seconds kPatience(60);
  const auto list = [roots = download_roots()]() -> Result<nlohmann::ordered_json> {
    return list_downloads(download_places(roots));
  };
  auto report = watched_call(list, kPatience, {});
  if (!report) return pass_on(report);
  if (json) {
    fmt::print("{}\n", report->dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  } else {
    fmt::print("{}", downloads_text(*report));
  }
  return {};
}

}  // namespace

void add_models(CLI::App& app, Command& chosen) {
  const auto json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand(
      "models",
      "List the models that Hugging Face's tools, LM Studio and Ollama have downloaded, by the names for MODEL");
  command->add_flag("--json", *json, "print one JSON object");
  command->footer("Example: hearth models --json");
  command->callback([json, &chosen] { chosen = [json] { return run(*json); }; });
}

}  // namespace hearth::app
