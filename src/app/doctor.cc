// What this machine has for hearth, what it lacks, and why.
#include <fmt/format.h>

#include <cstdio>

#include "app/commands.h"
#include "app/examine_machine.h"
#include "app/print_machine.h"
#include "device/open_device.h"

namespace hearth::app {
namespace {

struct Options {
  bool json = false;
  std::string folder;
  std::string npu = "npu";
};

Result<void> run(const Options& options) {
  const auto name = parse_device_name(options.npu);
  if (!name) return std::unexpected(name.error());
  auto npu = npu_options_of(*name);
  if (!npu) return pass_on(npu);
  const auto report = examine_machine({.npu_driver = kernel_npu_driver(),
                                       .describe_gpus = describe_gpus,
                                       .measure_memory = true,
                                       .folder = options.folder,
                                       .npu = std::move(*npu)});
  if (options.json) {
    fmt::print("{}\n", report.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  } else {
    fmt::print("{}", machine_text(report));
  }
  // A thread that a driver holds keeps the process from ending, not from having said what it knows.
  std::fflush(stdout);
  return {};
}

}  // namespace

void add_doctor(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("doctor", "Show what this machine has for hearth, what it lacks, and why");
  command->add_option("folder", options->folder, "a model or a folder of models, whose disk's speed is measured")
      ->type_name("FOLDER");
  command
      ->add_option("--npu", options->npu,
                   "npu or npu:FOLDER (of its kernels), as --device has it: what is compared with the processor")
      ->capture_default_str();
  command->add_flag("--json", options->json, "print one JSON object");
  command->footer("Example: hearth doctor --json");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace hearth::app
