#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>

#include "base/result.h"
#include "formats/checkpoint.h"

namespace hearth {

/// A model directory as Hugging Face's libraries write it: config.json; model.safetensors or
/// model.safetensors.index.json with its shards; and, each optional, generation_config.json, tokenizer.json,
/// tokenizer_config.json and a chat template.
class HuggingFaceDirectory final : public Checkpoint {
 public:
  static Result<std::unique_ptr<HuggingFaceDirectory>> open(const std::filesystem::path& path);

  CheckpointKind kind() const override { return CheckpointKind::hugging_face; }
  const HuggingFaceDirectory* as_hugging_face() const override { return this; }

  /// config.json, always an object.
  const nlohmann::json& config() const { return config_; }

  /// generation_config.json and tokenizer_config.json; null when the file is not there, else an object.
  const nlohmann::json& generation_config() const { return generation_config_; }
  const nlohmann::json& tokenizer_config() const { return tokenizer_config_; }

  /// tokenizer.json, which is large and read by whoever needs it.
  const std::optional<std::filesystem::path>& tokenizer_path() const { return tokenizer_path_; }

  /// The text of chat_template.jinja, else of chat_template.json, else tokenizer_config.json's "chat_template" (the one
  /// named "default" when there are several).
  const std::optional<std::string>& chat_template() const { return chat_template_; }

 private:
  explicit HuggingFaceDirectory(std::filesystem::path path) : Checkpoint(std::move(path)) {}
  Result<void> read_configuration();
  Result<void> read_chat_template();
  Result<void> open_weights();
  Result<void> open_shards(const nlohmann::json& index);
  /// Adds the tensors of one safetensors file: all of them, or those that the index expects in it.
  Result<void> open_file(const std::string& name, const std::set<std::string>* expected);

  nlohmann::json config_;
  nlohmann::json generation_config_;
  nlohmann::json tokenizer_config_;
  std::optional<std::filesystem::path> tokenizer_path_;
  std::optional<std::string> chat_template_;
};

}  // namespace hearth
