#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/commands.h"
#include "app/version.h"

namespace hearth::app {
namespace {

/// CLI11 has codes of its own for each kind of mistake; ours are 0 for help, 2 for wrong usage.
int exit_code(const CLI::App& app, const CLI::ParseError& error) { return app.exit(error) == 0 ? 0 : kWrongUsage; }

int run(int argc, char** argv) {
  spdlog::set_default_logger(spdlog::stderr_color_mt("hearth"));
  spdlog::set_pattern("%H:%M:%S %^%l%$ %v");

  CLI::App app("hearth serves large language models on the GPU or CPU that you own.", "hearth");
  app.set_version_flag("--version", std::string("hearth ") + kVersion);
  app.require_subcommand(1);
  app.footer("MODEL is a GGUF file or a Hugging Face directory.\n\nExample: hearth serve model.gguf --port 8080");
  Command command;
  add_serve(app, command);
  add_chat(app, command);
  add_logits(app, command);
  add_bench(app, command);
  add_doctor(app, command);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return exit_code(app, error);
  }
  const Result<void> result = command();
  if (result) return 0;
  std::fprintf(stderr, "hearth: %s\n", to_string(result.error()).c_str());
  return result.error().code == ErrorCode::invalid_argument ? kWrongUsage : kFailed;
}

}  // namespace
}  // namespace hearth::app

int main(int argc, char** argv) { return hearth::app::run(argc, argv); }
