#pragma once

#include <filesystem>
#include <memory>
#include <string>

namespace hearth::app {

/// Reads lines from the terminal with editing and a history that is kept in a file, or plain lines when standard input
/// is not a terminal. For one thread.
class LineEditor {
 public:
  enum class Outcome { line, interrupted, end };

  /// `history_file` may be empty: then nothing is remembered.
  LineEditor(std::string prompt, const std::filesystem::path& history_file);
  ~LineEditor();

  /// `line` without its newline. Ctrl-c gives `interrupted`, ctrl-d on an empty line or the end of the input `end`.
  Outcome read(std::string& line);

 private:
  class Terminal;
  std::unique_ptr<Terminal> terminal_;  // null when standard input is not one
};

}  // namespace hearth::app
