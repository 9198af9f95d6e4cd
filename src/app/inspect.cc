// What a model's files have, and what hearth would make of them.
#include <fmt/format.h>

#include <chrono>

#include "app/commands.h"
#include "app/examine_model.h"
#include "app/model_argument.h"
#include "app/print_model.h"
#include "base/reading/watched_call.h"

namespace hearth::app {
namespace {

struct Options {
  std::string model;
  bool tensors = false;
  bool json = false;
};

Result<void> run(const Options& options) {
  constexpr std::chrono::seconds kPatience(60);
  const auto model = find_model(options.model, kPatience);
  if (!model) return std::unexpected(model.error());
  auto checkpoint = watched_call([path = model->path] { return open_checkpoint(path); }, kPatience, {});
  if (!checkpoint) return pass_on(checkpoint);
  const auto report = examine_model(**checkpoint, options.tensors);
  if (options.json) {
    fmt::print("{}\n", report.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  } else {
    fmt::print("{}", model_text(report));
  }
  return {};
}

}  // namespace

void add_inspect(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("inspect", "Show what a model's files have, and what hearth would make of them");
  add_model_argument(*command, options->model);
  command->add_flag("--tensors", options->tensors, "list every tensor");
  command->add_flag("--json", options->json, "print one JSON object");
  command->footer("Example: hearth inspect model.gguf --tensors");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace hearth::app
