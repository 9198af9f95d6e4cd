// What serving a model would take of this machine's memories, or another's, and give to its users, before anything is
// allocated.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <memory>

#include "app/commands.h"
#include "app/engine_options.h"
#include "app/machines.h"
#include "app/model_argument.h"
#include "app/model_plan.h"
#include "app/nearest_plans.h"
#include "app/open_model.h"
#include "app/predicted_speed.h"
#include "app/print_plan.h"
#include "base/reading/watched_call.h"

namespace hearth::app {
namespace {

struct Options {
  std::string model;
  std::string what_if;
  PlanRequest request = {.device = {}, .engine = {.larger_steps = true}};
  bool measure = true;
  bool json = false;
};

Result<PredictedSpeed> predict(const Checkpoint& checkpoint, const Options& options, const ModelPlan& plan) {
  if (!options.measure || !options.what_if.empty()) return limit_of_speed(plan);
  auto speed = measure_speed(checkpoint, options.request.device, plan);
  if (speed || speed.error().code != ErrorCode::unsupported) return speed;
  spdlog::info("{}", to_string(speed.error()));
  return limit_of_speed(plan);
}

Result<ModelPlan> make_plan(const Checkpoint& checkpoint, const PlanRequest& request) {
  DeviceOptions chosen = request.device;
  auto device = open_device_for(checkpoint, chosen, room_for_engine(request.engine, request.cut));
  if (!device) return pass_on(device);
  return plan_model(checkpoint, std::move(*device), request.engine, request.cut);
}

/// The plan, or an error that names others which fit.
Result<ModelPlan> plan_or_say_what_fits(const Checkpoint& checkpoint, const Options& options) {
  const auto make = [&](const PlanRequest& request) { return make_plan(checkpoint, request); };
  auto plan = make(options.request);
  if (plan || plan.error().code != ErrorCode::out_of_memory) return plan;
  const std::vector<std::string> others = nearest_plans(options.request, make);
  Error error = plan.error();
  if (others.empty()) return plan;
  error.hint = "these fit:";
  for (const std::string& each : others) error.hint += fmt::format("\n  hearth serve {} {}", options.model, each);
  return std::unexpected(std::move(error));
}

Result<void> run(Options options) {
  const std::chrono::seconds patience(options.request.device.load_timeout_s);
  const auto model = find_model(options.model, patience);
  if (!model) return std::unexpected(model.error());
  auto checkpoint = watched_call([path = model->path] { return open_checkpoint(path); }, patience, {});
  if (!checkpoint) return pass_on(checkpoint);
  if (!options.what_if.empty()) {
    auto machine = find_machine(options.what_if);
    if (!machine) return pass_on(machine);
    options.request.device.machine = std::move(*machine);
  }
  auto plan = plan_or_say_what_fits(**checkpoint, options);
  if (!plan) return pass_on(plan);
  auto speed = predict(**checkpoint, options, *plan);
  if (!speed) return pass_on(speed);
  if (options.json) {
    auto json = plan_json(*plan, *speed);
    json["model"] = options.model;
    fmt::print("{}\n", json.dump());
  } else {
    fmt::print("{}\n{}", options.model, plan_text(*plan, *speed));
  }
  return {};
}

}  // namespace

void add_plan(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("plan", "Show what a model would take of a machine's memory, how many users fit, how quick");
  add_model_argument(*command, options->model);
  command->add_option("--what-if", options->what_if,
                      "plan for a machine that is not here: 780m-64gb or 8060s-128gb (with any memory), rx7900xtx, "
                      "rtx4090, h200, or a file that `hearth doctor --json` wrote");
  add_engine_size_options(*command, options->request.engine);
  add_device_options(*command, options->request.device);
  add_cut_options(*command, options->request.cut);
  command->add_flag("!--no-measure", options->measure, "do not time steps; say what the plan's bytes allow");
  command->add_flag("--json", options->json, "print one JSON object");
  command->footer("Example: hearth plan model.gguf --context 8192 --max-sequences 16");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace hearth::app
