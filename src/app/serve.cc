#include <spdlog/spdlog.h>

#include <filesystem>
#include <thread>

#include "app/commands.h"
#include "app/served_name.h"
#include "app/serving_model.h"
#include "app/serving_signals.h"
#include "base/printable.h"
#include "engine/engine_loop.h"
#include "server/server.h"

namespace hearth::app {
namespace {

struct Options {
  std::string model;
  std::string chat_template;
  DeviceOptions device;
  EngineOptions engine = {.larger_steps = true};
  ServerOptions server;
  uint32_t cache_mb = 0;
  uint32_t request_timeout_s = 600;
  uint32_t drain_timeout_s = 30;
  std::vector<std::string> names;
  uint32_t max_layers = 0;
};

void drain(Server& server, ServingSignals& signals, std::chrono::seconds timeout) {
  spdlog::info("finishing what runs, for up to {} s; once more ends it at once", timeout.count());
  std::jthread impatient([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      if (signals.ends_within(std::chrono::milliseconds(100))) return server.stop_draining();
    }
  });
  server.drain(timeout);
}

/// Until the server is told to end, true, or cannot go on, false.
bool serve_until_the_end(Server& server, ServingSignals& signals) {
  for (;;) {
    switch (signals.wait()) {
      case ServingSignals::Event::end:
        return true;
      case ServingSignals::Event::failure:
        return false;
      case ServingSignals::Event::reload:
        if (auto reloaded = server.reload_keys(); !reloaded) {
          spdlog::error("the API keys stay as they were: {}", to_string(reloaded.error()));
        } else {
          spdlog::info("the API keys were read anew");
        }
    }
  }
}

Result<void> run(Options options) {
  options.engine.cache_bytes = uint64_t{options.cache_mb} << 20;
  options.server.request_timeout = std::chrono::seconds(options.request_timeout_s);
  if (options.names.empty()) options.names = {served_name(options.model)};
  for (std::string& name : options.names) name = printable(name, 1024);

  ServingSignals signals(!options.server.api_key_file.empty());
  const auto served = std::make_shared<ServedModel>(
      options.names.front(), std::vector<std::string>(options.names.begin() + 1, options.names.end()));
  const std::chrono::seconds stall_limit(options.device.load_timeout_s);
  ServingModel serving({.path = options.model,
                        .chat_template = options.chat_template,
                        .load = {.max_layers = options.max_layers, .stall_limit = stall_limit},
                        .engine = options.engine,
                        .open_device =
                            [&options](const Checkpoint& checkpoint) {
                              return open_device_for(checkpoint, options.device,
                                                     {.max_layers = options.max_layers,
                                                      .context_tokens = options.engine.context_length,
                                                      .limits = program_limits(options.engine)});
                            },
                        .on_failure = [&signals](const Error& error) { signals.fail(error); }},
                       *served);
  auto server = Server::start(options.server, served);
  if (!server) return pass_on(server);
  spdlog::info("listening on {}", (*server)->addresses());

  std::jthread loader([&](const std::stop_token& stop) {
    if (auto loaded = serving.load(stop); !loaded) {
      served->set_failed(loaded.error());
      signals.fail(loaded.error());
    }
  });
  const bool asked_to_end = serve_until_the_end(**server, signals);
  loader.request_stop();
  loader.join();
  if (!asked_to_end) return std::unexpected(signals.failure());
  drain(**server, signals, std::chrono::seconds(options.drain_timeout_s));
  server->reset();  // before the engine that its requests point to
  return {};
}

void add_engine_options(CLI::App& command, Options& options) {
  const auto positive = CLI::Range(1U, 1U << 30);
  command.add_option("--context", options.engine.context_length,
                     "tokens of a conversation; 0 is what the model and the memory allow");
  command.add_option("--max-sequences", options.engine.max_sequences, "requests that run at once")
      ->check(positive)
      ->capture_default_str();
  command.add_option("--max-waiting", options.engine.max_waiting, "requests that wait; beyond, 429")
      ->capture_default_str();
  command
      .add_option("--max-batched-tokens", options.engine.max_batched_tokens,
                  "tokens of one step; by itself 2048 on GPUs with much memory")
      ->check(positive)
      ->each([&options](const std::string&) { options.engine.larger_steps = false; })
      ->capture_default_str();
  command
      .add_option("--inter-token-target-ms", options.engine.inter_token_target_ms,
                  "milliseconds in which the next token of an answer shall come beside others' prompts; 0 is no limit")
      ->check(CLI::Range(0.0, 60000.0))
      ->capture_default_str();
  command.add_option("--kv-cache-mb", options.cache_mb, "MiB for the KV cache; 0 chooses by the free memory");
  command.add_flag("!--no-prefix-cache", options.engine.prefix_cache, "compute every prompt from its start");
}

void add_server_options(CLI::App& command, Options& options) {
  command.add_option("--host", options.server.host, "address or name to listen on; * is every interface")
      ->capture_default_str();
  command.add_option("--port", options.server.port, "port to listen on; 0 lets the system choose")
      ->capture_default_str();
  command.add_option("--served-model-name", options.names, "what clients call the model; the first is shown");
  command.add_option("--chat-template", options.chat_template, "Jinja file to use instead of the model's own template")
      ->check(CLI::ExistingFile);
  command.add_option("--api-key-file", options.server.api_key_file, "keys that are accepted, one a line");
  command.add_option("--cors-origin", options.server.cors_origins,
                     "web pages that may call, such as https://chat.example, or *");
  command.add_option("--max-connections", options.server.max_connections, "beyond, 503")->capture_default_str();
  command.add_option("--request-timeout", options.request_timeout_s, "seconds for one answer; 0 is no limit")
      ->capture_default_str();
  command.add_option("--drain-timeout", options.drain_timeout_s, "seconds that running requests get after SIGTERM")
      ->capture_default_str();
}

}  // namespace

void add_serve(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("serve", "Serve a model over the OpenAI API");
  command->add_option("model", options->model, "GGUF file or Hugging Face directory")->required();
  add_server_options(*command, *options);
  add_engine_options(*command, *options);
  add_device_options(*command, options->device);
  command->add_option("--max-layers", options->max_layers, "load only the first layers (a smoke test)");
  command->footer("Example: hearth serve model.gguf --port 8080 --max-sequences 16");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace hearth::app
