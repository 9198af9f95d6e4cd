#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"

namespace hearth::app {

/// Exit codes of the program (0 is success).
inline constexpr int kFailed = 1;
inline constexpr int kWrongUsage = 2;

/// What a subcommand does once its arguments are parsed; an error is printed by main as one line.
using Command = std::function<Result<void>()>;

/// Each adds its subcommand with options and help to `app` and sets `chosen` when it is the one on the command line.
void add_serve(CLI::App& app, Command& chosen);
void add_chat(CLI::App& app, Command& chosen);
void add_logits(CLI::App& app, Command& chosen);
void add_bench(CLI::App& app, Command& chosen);
void add_plan(CLI::App& app, Command& chosen);
void add_inspect(CLI::App& app, Command& chosen);
void add_models(CLI::App& app, Command& chosen);
void add_doctor(CLI::App& app, Command& chosen);

}  // namespace hearth::app
