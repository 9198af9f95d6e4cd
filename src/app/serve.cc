#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "app/commands.h"
#include "app/engine_options.h"
#include "app/model_argument.h"
#include "app/model_directory.h"
#include "app/model_host.h"
#include "app/serving_model.h"
#include "app/serving_signals.h"
#include "base/printable.h"
#include "server/server.h"

namespace hearth::app {
namespace {

struct Options {
  std::vector<std::string> models;
  std::string model_dir;
  std::string chat_template;
  DeviceOptions device;
  EngineOptions engine = {.larger_steps = true};
  ServerOptions server;
  uint32_t request_timeout_s = 600;
  uint32_t drain_timeout_s = 30;
  uint32_t load_wait_s = 300;
  uint32_t keep_alive_s = 0;
  uint32_t max_loaded = 0;
  std::vector<std::string> names;
  LayerCut cut;
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

/// The models that were named, and what clients call them, in their order.
Result<std::vector<FoundModel>> named_models(const Options& options) {
  if (!options.names.empty() && options.models.size() != 1) {
    return fail(ErrorCode::invalid_argument, "--served-model-name names one model",
                fmt::format("{} are served", options.models.size()));
  }
  std::vector<FoundModel> models;
  for (const std::string& each : options.models) {
    auto model = find_model(each, std::chrono::seconds(options.device.load_timeout_s));
    if (!model) return pass_on(model);
    models.push_back(std::move(*model));
  }
  return name_models(std::move(models));
}

/// Makes models for a host: all with the same options, each with its own device.
class Hosting {
 public:
  Hosting(const Options& options, ModelHost& host) : options_(options), host_(host) {}

  /// `place` is the model's place_of.
  HostedModel hosted(const FoundModel& model, const std::filesystem::path& place,
                     std::vector<std::string> aliases = {}) {
    auto served = std::make_shared<ServedModel>(model.name, std::move(aliases));
    std::lock_guard lock(mutex_);
    places_.insert(place);
    names_.insert(model.name);
    return {.served = served, .make = [this, served, path = model.path, place](bool may_spill) {
              return std::make_unique<ServingModel>(serving_options(path, largest_other(place), served, may_spill),
                                                    *served);
            }};
  }

  /// Those of the directory that have no model yet.
  std::vector<HostedModel> find_new() {
    std::vector<HostedModel> found;
    if (options_.model_dir.empty()) return found;
    for (const FoundModel& model : search_.look(kPatience)) {
      if (!is_known(model)) found.push_back(hosted(model, model.path));
    }
    return found;
  }

 private:
  ServingModel::Options serving_options(const std::filesystem::path& path, uint64_t leave_bytes,
                                        const std::shared_ptr<ServedModel>& served, bool may_spill) const {
    DeviceOptions device = options_.device;
    device.may_spill = may_spill;
    EngineOptions engine = options_.engine;
    engine.leave_bytes = leave_bytes;
    return {.path = path,
            .chat_template = options_.chat_template,
            .load = {.cut = options_.cut,
                     .reading = {.stall_limit = std::chrono::seconds(options_.device.load_timeout_s),
                                 .keep_cached = serves_several()}},
            .engine = engine,
            .open_device =
                [device, engine, cut = options_.cut](const Checkpoint& checkpoint) mutable {
                  return open_device_for(checkpoint, device, room_for_engine(engine, cut));
                },
            .on_failure = [this, served](const Error& error) { host_.lost(*served, error); }};
  }

  /// Then files are worth keeping in the page cache: their models come back.
  bool serves_several() const {
    std::lock_guard lock(mutex_);
    return places_.size() > 1;
  }

  /// Also by its name, as that of a new revision of what is served.
  bool is_known(const FoundModel& model) const {
    std::lock_guard lock(mutex_);
    return places_.contains(model.path) || names_.contains(model.name);
  }

  uint64_t largest_other(const std::filesystem::path& path) const {
    std::lock_guard lock(mutex_);
    uint64_t largest = 0;
    for (const std::filesystem::path& other : places_) {
      if (other != path) largest = std::max(largest, model_file_bytes(other));
    }
    return largest;
  }

  /// Who lists models waits so long at most for the folder, as it may be the thread that all streams need.
  static constexpr std::chrono::milliseconds kPatience{250};

  const Options& options_;
  ModelHost& host_;
  ModelSearch search_{[folder = options_.model_dir] { return find_models(folder); }};
  mutable std::mutex mutex_;
  std::set<std::filesystem::path> places_;  // of all that were made so far
  std::set<std::string> names_;
};

Result<void> run(Options options) {
  options.server.request_timeout = std::chrono::seconds(options.request_timeout_s);
  options.server.load_wait = std::chrono::seconds(options.load_wait_s);
  for (std::string& name : options.names) name = printable(name, 1024);
  auto named = named_models(options);
  if (!named) return pass_on(named);
  if (!options.names.empty()) named->front().name = options.names.front();

  ServingSignals signals(!options.server.api_key_file.empty());
  std::optional<Hosting> hosting;
  const bool is_only_one = named->size() == 1 && options.model_dir.empty();
  ModelHost host({.max_loaded = options.max_loaded,
                  .keep = std::chrono::seconds(options.keep_alive_s),
                  .find_new = [&hosting] { return hosting->find_new(); },
                  .on_failure =
                      [&signals, is_only_one](const Error& error) {
                        if (is_only_one) signals.fail(error);
                      }});
  hosting.emplace(options, host);
  for (const FoundModel& model : *named) {
    const bool has_aliases = &model == &named->front() && !options.names.empty();
    host.add(hosting->hosted(
        model, place_of(model.path),
        has_aliases ? std::vector(options.names.begin() + 1, options.names.end()) : std::vector<std::string>()));
  }
  host.look_for_models();
  // Before anybody can ask: whoever does is told that it is coming.
  if (!named->empty()) host.load(*host.models()->find(""));
  auto server = Server::start(options.server, host.models());
  if (!server) return pass_on(server);
  spdlog::info("listening on {}", (*server)->addresses());
  host.start();
  const bool asked_to_end = serve_until_the_end(**server, signals);
  host.stop();
  if (!asked_to_end) return std::unexpected(signals.failure());
  drain(**server, signals, std::chrono::seconds(options.drain_timeout_s));
  server->reset();  // before the engines that its requests point to
  return {};
}

void add_engine_options(CLI::App& command, Options& options) {
  add_engine_size_options(command, options.engine);
  command.add_option("--max-waiting", options.engine.max_waiting, "requests that wait; beyond, 429")
      ->capture_default_str();
  command
      .add_option("--inter-token-target-ms", options.engine.inter_token_target_ms,
                  "milliseconds in which the next token of an answer shall come beside others' prompts; 0 is no limit")
      ->check(CLI::Range(0.0, 60000.0))
      ->capture_default_str();
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

void add_model_options(CLI::App& command, Options& options) {
  command.add_option("--model-dir", options.model_dir, "serve what lies in this folder, too, each when asked for")
      ->check(CLI::ExistingDirectory);
  command.add_option("--max-loaded", options.max_loaded, "models in memory at once; 0 is as many as fit");
  command.add_option("--keep-alive", options.keep_alive_s,
                     "seconds that a model stays when nobody uses it; 0 is until others need the memory");
  command
      .add_option("--load-wait", options.load_wait_s,
                  "seconds that a request waits for a model that is being loaded; beyond, 503")
      ->capture_default_str();
}

}  // namespace

void add_serve(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("serve", "Serve a model over the OpenAI API");
  command->add_option("model", options->models,
                      "GGUF files, Hugging Face directories or names (hearth models); the first is loaded at once, "
                      "others when asked for");
  add_model_options(*command, *options);
  add_server_options(*command, *options);
  add_engine_options(*command, *options);
  add_device_options(*command, options->device);
  add_cut_options(*command, options->cut);
  command->footer("Example: hearth serve model.gguf --port 8080 --max-sequences 16");
  command->callback([options, &chosen] {
    if (options->models.empty() && options->model_dir.empty()) throw CLI::RequiredError("model or --model-dir");
    chosen = [options] { return run(*options); };
  });
}

}  // namespace hearth::app
