#include <fmt/format.h>
#include <unistd.h>

#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <future>
#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "app/engine_options.h"
#include "app/line_editor.h"
#include "app/load_text.h"
#include "app/model_argument.h"
#include "app/open_model.h"
#include "app/terminal_progress.h"

namespace hearth::app {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string model;
  std::string chat_template;
  DeviceOptions device;
  EngineOptions engine{.max_sequences = 1, .larger_steps = true, .inter_token_target_ms = 0};
  std::string system;
  uint32_t max_tokens = 0;
  std::optional<float> temperature;
  std::optional<float> top_p;
  std::optional<uint32_t> top_k;
  std::optional<uint64_t> seed;
};

volatile std::sig_atomic_t interrupted = 0;

/// Events of one request, from the engine's thread to the one that prints.
class EventQueue {
 public:
  void push(const RequestEvent& event) {
    std::lock_guard lock(mutex_);
    events_.push_back(event);
    changed_.notify_one();
  }

  /// The next event, or nothing when none came for a while.
  std::optional<RequestEvent> pop() {
    std::unique_lock lock(mutex_);
    constexpr auto kTick = std::chrono::milliseconds(50);  // how soon ctrl-c is noticed
    if (!changed_.wait_for(lock, kTick, [&] { return !events_.empty(); })) return {};
    RequestEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<RequestEvent> events_;
};

class Conversation {
 public:
  Conversation(const Options& options, Engine& engine, const ModelText& text)
      : options_(options), engine_(engine), text_(text) {
    forget();
  }

  void forget() {
    messages_ = Json::array();
    if (!options_.system.empty()) messages_.push_back({{"role", "system"}, {"content", options_.system}});
  }

  /// Streams the answer to stdout. An error leaves the conversation as it was before the question.
  Result<void> ask(const std::string& question) {
    messages_.push_back({{"role", "user"}, {"content", question}});
    auto answer = stream_answer();
    if (!answer) {
      messages_.erase(messages_.size() - 1);
      return pass_on(answer);
    }
    messages_.push_back({{"role", "assistant"}, {"content", *answer}});
    return {};
  }

 private:
  Result<Request> make_request() const {
    const auto segments = text_.chat_template->render({.messages = messages_.dump()});
    if (!segments) return std::unexpected(segments.error());
    const auto ids = text_.tokenizer->encode(*segments);
    if (!ids) return std::unexpected(ids.error());
    Request request{.id = "chat", .prompt = {ids->begin(), ids->end()}, .sampling = text_.default_sampling};
    request.max_tokens = options_.max_tokens;
    if (options_.temperature) request.sampling.temperature = *options_.temperature;
    if (options_.top_p) request.sampling.top_p = *options_.top_p;
    if (options_.top_k) request.sampling.top_k = *options_.top_k;
    request.sampling.seed = options_.seed;
    return request;
  }

  Result<std::string> stream_answer() {
    auto request = make_request();
    if (!request) return pass_on(request);
    interrupted = 0;
    // Shared with the callback, which may outlive an error here.
    const auto queue = std::make_shared<EventQueue>();
    const auto handle = engine_.submit(std::move(*request), [queue](const RequestEvent& event) { queue->push(event); });
    if (!handle) return std::unexpected(handle.error());

    std::string answer;
    while (true) {
      if (interrupted != 0) engine_.cancel(*handle);
      const auto event = queue->pop();
      if (!event) continue;
      answer += event->text;
      std::fwrite(event->text.data(), 1, event->text.size(), stdout);
      std::fflush(stdout);
      if (!event->finish_reason) continue;
      std::fputs("\n", stdout);
      if (event->error) return std::unexpected(*event->error);
      if (*event->finish_reason == FinishReason::length) fmt::print(stderr, "(cut at its limit)\n");
      return answer;
    }
  }

  const Options& options_;
  Engine& engine_;
  const ModelText& text_;
  Json messages_;
};

std::filesystem::path history_file() {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && *state != '\0') return std::filesystem::path(state) / "hearth" / "chat_history";
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') return {};
  return std::filesystem::path(home) / ".local" / "state" / "hearth" / "chat_history";
}

Result<void> converse(Conversation& conversation) {
  const bool terminal = isatty(STDIN_FILENO) == 1;
  if (terminal) fmt::print(stderr, "/clear forgets, /exit ends; ctrl-c stops an answer\n");
  LineEditor editor("> ", history_file());
  std::string line;
  while (true) {
    const LineEditor::Outcome outcome = editor.read(line);
    if (outcome == LineEditor::Outcome::interrupted) continue;
    if (outcome == LineEditor::Outcome::end || line == "/exit") return {};
    if (line == "/clear") {
      conversation.forget();
      continue;
    }
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    const auto asked = conversation.ask(line);
    if (asked) continue;
    // At a terminal a question that fails (too long, say) does not end the conversation.
    if (!terminal) return asked;
    fmt::print(stderr, "hearth: {}\n", to_string(asked.error()));
  }
}

Result<void> run(const Options& options) {
  const auto found = find_model(options.model, std::chrono::seconds(options.device.load_timeout_s));
  if (!found) return std::unexpected(found.error());
  auto checkpoint = open_checkpoint(found->path);
  if (!checkpoint) return pass_on(checkpoint);
  auto loading_text = std::async(std::launch::async, [&] { return load_text(**checkpoint, options.chat_template); });
  auto opened = [&] {
    TerminalProgress progress;
    const PlaceOptions place = room_for_engine(options.engine);
    return open_model(**checkpoint, options.device, {}, place, progress);
  }();
  if (!opened) return pass_on(opened);
  const auto text = loading_text.get();
  if (!text) return std::unexpected(text.error());
  if (text->chat_template_error) {
    return fail(text->chat_template_error->code, to_string(*text->chat_template_error),
                "give one that works with --chat-template FILE");
  }
  if (!text->chat_template) {
    return fail(ErrorCode::unsupported, fmt::format("{} has no chat template: it is a base model", options.model),
                "serve it and use /v1/completions");
  }
  auto engine = Engine::start(*opened->model, text->tokenizer.get(), options.engine);
  if (!engine) return pass_on(engine);

  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };
  sigaction(SIGINT, &action, nullptr);
  Conversation conversation(options, **engine, *text);
  return converse(conversation);
}

}  // namespace

void add_chat(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("chat", "Talk to a model in the terminal");
  add_model_argument(*command, options->model);
  command
      ->add_option("--chat-template", options->chat_template, "Jinja file to use instead of the model's own template")
      ->check(CLI::ExistingFile);
  command->add_option("--system", options->system, "what the model is told before the conversation");
  command->add_option("--max-tokens", options->max_tokens, "tokens of an answer; 0 is what the context allows");
  command->add_option("--temperature", options->temperature, "0 always takes the likeliest token")
      ->check(CLI::Range(0.0, 2.0));
  command->add_option("--top-p", options->top_p, "likeliest tokens up to this probability")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--top-k", options->top_k, "this many of the likeliest tokens; 0 is all");
  command->add_option("--seed", options->seed, "the same seed gives the same answers");
  command->add_option("--context", options->engine.context_length, "tokens of the conversation; 0 is what fits");
  add_device_options(*command, options->device);
  command->footer("Example: hearth chat model.gguf --system 'You are brief.' --temperature 0.7");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace hearth::app
