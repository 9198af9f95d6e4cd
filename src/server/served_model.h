#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/progress.h"
#include "base/result.h"
#include "engine/engine.h"
#include "engine/request.h"

namespace hearth {

class ChatTemplate;
class Tokenizer;

/// What a ready model is served with. Nothing is owned: all of it outlives the Server.
struct ReadyModel {
  Engine* engine = nullptr;
  const Tokenizer* tokenizer = nullptr;         ///< null: prompts are lists of token ids, results have no text
  const ChatTemplate* chat_template = nullptr;  ///< null: /v1/chat/completions is refused
  const Error* chat_template_error = nullptr;   ///< why the model's template cannot be used; null: a base model
  uint32_t vocabulary_size = 0;                 ///< rows of logits: ids in requests must be below; 0 does not check
  SamplingParams default_sampling;              ///< where a request says nothing; from generation_config.json
};

/// The model behind a server: loading, then ready or failed; from ready back to loading when its device is lost. The
/// server listens from the start and asks for the state on every request; whoever loads the model reports here. Safe
/// from any thread.
class ServedModel final : public ProgressSink {
 public:
  /// `name` is what clients call the model; `aliases` are further names for it.
  explicit ServedModel(std::string name, std::vector<std::string> aliases = {});

  /// How far loading has come; ignored once ready or failed.
  void report(const Progress& progress) override;
  void set_ready(ReadyModel model);
  void set_failed(Error error);

  /// A ready model is loaded again: until set_ready or set_failed, requests are told so. What was given to set_ready
  /// must stay, as requests under way still use it.
  void set_reloading(std::string stage);

  using State = std::variant<Progress, std::shared_ptr<const ReadyModel>, Error>;
  State state() const;

  /// The model, or null while loading and after a failure.
  std::shared_ptr<const ReadyModel> ready() const;

  const std::string& name() const { return name_; }
  const std::vector<std::string>& aliases() const { return aliases_; }
  bool answers_to(std::string_view name) const;

  /// Seconds since 1970 when this object was made: `created` in /v1/models.
  int64_t created() const { return created_; }

 private:
  const std::string name_;
  const std::vector<std::string> aliases_;
  const int64_t created_;

  mutable std::mutex mutex_;
  State state_;
};

}  // namespace hearth
