#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace hearth::app {

/// Who keeps models where it finds them again by name.
enum class Tool { hugging_face, lm_studio, ollama };

/// Downloads that are under way, or were broken off.
struct Unfinished {
  uint32_t files = 0;
  uint64_t bytes = 0;  ///< so far
};

/// A model as another tool has downloaded it.
struct DownloadedModel {
  std::string name;  ///< what MODEL takes: "google/gemma-3-27b-it", "bartowski/x-GGUF:Q4_K_M", "gemma3:27b"
  Tool tool = Tool::hugging_face;
  std::filesystem::path path;        ///< what open_checkpoint takes
  std::string format;                ///< "GGUF", "safetensors", or "" where no weights are there
  uint64_t bytes = 0;                ///< of its weights, as far as they are there
  std::vector<std::string> lacks;    ///< names of files that belong to it and are not there
  std::string problem;               ///< what else keeps it from being used; or empty
  Unfinished unfinished;             ///< of its repository
  std::string elsewhere;             ///< a name under which all of it is there; or empty
  std::vector<std::string> ignored;  ///< what its tool would take besides, and hearth does not

  bool is_whole() const { return lacks.empty() && problem.empty(); }
};

/// "the Hugging Face cache", "LM Studio", "Ollama".
const char* name_of(Tool tool);

/// "hf", "lmstudio", "ollama": what stands before a colon in names that mean one tool's models.
const char* prefix_of(Tool tool);

/// Why a model that is not whole cannot be used: what is missing, what is on its way, and how to get the rest.
Error not_whole(const DownloadedModel& model);

/// "a, b, c and 4 more": the first `most` of them.
std::string list_some(const std::vector<std::string>& names, size_t most = 8);

}  // namespace hearth::app
