#include <malloc.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <system_error>

#include "app/commands.h"
#include "app/version.h"
#include "base/free_memory.h"

namespace hearth::app {
namespace {

/// CLI11 has codes of its own for each kind of mistake; ours are 0 for help, 2 for wrong usage.
int exit_code(const CLI::App& app, const CLI::ParseError& error) { return app.exit(error) == 0 ? 0 : kWrongUsage; }

/// The last words of a program that the system gives no memory or thread any more, wherever that happens.
[[noreturn]] void end_without_resources() {
  const char* why = "something went wrong that nobody expected";
  try {
    if (std::current_exception()) std::rethrow_exception(std::current_exception());
  } catch (const std::bad_alloc&) {
    why = "out of memory: the system gave none any more; use a smaller model, or allow this process more";
  } catch (const std::system_error&) {
    why = "the system gave no thread any more; allow this process more memory or more threads";
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hearth: unexpected: %s\n", error.what());
    std::_Exit(kFailed);
  } catch (...) {
  }
  std::fprintf(stderr, "hearth: %s\n", why);
  std::_Exit(kFailed);
}

int run(int argc, char** argv) {
  std::set_terminate(end_without_resources);
  // Each thread's own heap reserves 64 MiB, which counts where address space is limited.
  if (free_address_space_bytes()) mallopt(M_ARENA_MAX, 1);
  spdlog::set_default_logger(spdlog::stderr_color_mt("hearth"));
  spdlog::set_pattern("%H:%M:%S %^%l%$ %v");

  CLI::App app("hearth serves large language models on the GPU or CPU that you own.", "hearth");
  app.set_version_flag("--version", std::string("hearth ") + kVersion);
  app.require_subcommand(1);
  app.footer(
      "MODEL is a GGUF file, a Hugging Face directory, or the name of what another tool has downloaded, such as\n"
      "google/gemma-3-27b-it or gemma3:27b; `hearth models` lists them.\n\n"
      "Example: hearth serve model.gguf --port 8080");
  Command command;
  add_serve(app, command);
  add_chat(app, command);
  add_logits(app, command);
  add_bench(app, command);
  add_plan(app, command);
  add_inspect(app, command);
  add_models(app, command);
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
