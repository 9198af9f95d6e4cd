#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "formats/checkpoint.h"
#include "formats/weight_files.h"

namespace hearth {

namespace codings {
class StoredTensors;
}

/// A model directory as Hugging Face's libraries write it: config.json; model.safetensors or its shards
/// (weight_files.h); and, each optional, generation_config.json, tokenizer.json, tokenizer_config.json and a chat
/// template. Tensors that are coded in several stored ones (codings/) are there as what they stand for.
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

  /// How weights are coded and who says so, for people: "gptq, by config.json's quantization_config"; empty where they
  /// are plain.
  const std::string& coded_as() const { return coded_as_; }

  /// Why the weights are not what a quantization_config says (unsupported), where hearth does not read it.
  const std::optional<Error>& quantization_error() const { return quantization_error_; }

 private:
  explicit HuggingFaceDirectory(std::filesystem::path path) : Checkpoint(std::move(path)) {}
  Result<void> read_configuration();
  Result<void> read_chat_template();
  Result<void> open_weights();
  /// Adds the tensors of one safetensors file that belong to the model.
  Result<void> open_file(const WeightFile& wanted, codings::StoredTensors& stored);
  /// Makes of tensors that quantizers store as several what they stand for, as far as hearth reads that.
  Result<void> join_coded(codings::StoredTensors& stored);
  Result<void> add_tensors(codings::StoredTensors stored);
  std::string where_it_should_be(std::string_view tensor) const override;

  nlohmann::json config_;
  nlohmann::json generation_config_;
  nlohmann::json tokenizer_config_;
  std::optional<std::filesystem::path> tokenizer_path_;
  std::optional<std::string> chat_template_;
  std::string coded_as_;
  std::optional<Error> quantization_error_;
};

}  // namespace hearth
