#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/downloads/downloaded_model.h"

namespace hearth::app {

/// What a name on the command line says: [TOOL:]REPOSITORY[@REVISION][:CHOICE].
struct ModelName {
  std::optional<Tool> tool;  ///< "hf:", "lmstudio:" or "ollama:" in front: look only there
  std::string text;          ///< all that follows
  std::string repository;    ///< up to three parts: NAME, ORG/NAME or HOST/ORG/NAME; each is_name_part
  std::string revision;      ///< a branch, a tag or the begin of a commit; none of its parts leads out of a folder
  std::string choice;        ///< which of several models: a file, a quantization; Ollama's tag

  /// Nothing for what cannot be a name, such as an absolute path.
  static std::optional<ModelName> parse(std::string_view text);

  size_t parts() const;  ///< of the repository
};

/// Whether this may be a part of a name, and so a folder's or a file's name that leads nowhere else: letters, digits,
/// '_', '-' and '.', of which the first is neither '-' nor '.', without "..", 96 bytes at most.
bool is_name_part(std::string_view part);

/// "a/b" gives {"a", "b"}.
std::vector<std::string> split_at_slashes(std::string_view text);

/// In small letters, of ASCII.
std::string in_small_letters(std::string_view text);

}  // namespace hearth::app
