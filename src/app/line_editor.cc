#include "app/line_editor.h"

#include <histedit.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <system_error>

namespace hearth::app {

/// libedit with its own signal handling off: ctrl-c is a key while a line is edited, so that it is a signal only while
/// an answer is written.
class LineEditor::Terminal {
 public:
  Terminal(std::string prompt, std::filesystem::path history_file)
      : prompt_(std::move(prompt)), history_file_(std::move(history_file)), history_(history_init()) {
    HistEvent event;
    constexpr int kRemembered = 1000;
    history(history_, &event, H_SETSIZE, kRemembered);
    history(history_, &event, H_SETUNIQUE, 1);
    if (!history_file_.empty()) history(history_, &event, H_LOAD, history_file_.c_str());

    editor_ = el_init("hearth", stdin, stdout, stderr);
    el_set(editor_, EL_CLIENTDATA, this);
    el_set(editor_, EL_PROMPT, &Terminal::prompt_of);
    el_set(editor_, EL_EDITOR, "emacs");
    el_set(editor_, EL_HIST, history, history_);
    el_set(editor_, EL_SIGNAL, 0);
    el_set(editor_, EL_SETTY, "-d", "-isig", nullptr);
    el_set(editor_, EL_ADDFN, "hearth-interrupt", "give up this line", &Terminal::interrupt);
    el_set(editor_, EL_BIND, "^C", "hearth-interrupt", nullptr);
  }

  ~Terminal() {
    el_end(editor_);
    HistEvent event;
    if (!history_file_.empty()) {
      std::error_code ignored;  // a history that cannot be kept is no reason to fail
      std::filesystem::create_directories(history_file_.parent_path(), ignored);
      history(history_, &event, H_SAVE, history_file_.c_str());
    }
    history_end(history_);
  }

  Outcome read(std::string& line) {
    interrupted_ = false;
    // el_gets shows the prompt before it takes the terminal over: a ctrl-c typed in between would be a signal.
    el_set(editor_, EL_PREP_TERM, 1);
    int count = 0;
    const char* text = el_gets(editor_, &count);
    if (interrupted_) {
      std::fputs("\n", stdout);
      return Outcome::interrupted;
    }
    if (text == nullptr || count <= 0) return Outcome::end;
    line.assign(text, static_cast<size_t>(count));
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
    HistEvent event;
    if (!line.empty()) history(history_, &event, H_ENTER, line.c_str());
    return Outcome::line;
  }

 private:
  static Terminal* self(EditLine* editor) {
    void* data = nullptr;
    el_get(editor, EL_CLIENTDATA, &data);
    return static_cast<Terminal*>(data);
  }

  static char* prompt_of(EditLine* editor) { return self(editor)->prompt_.data(); }

  static unsigned char interrupt(EditLine* editor, int) {
    self(editor)->interrupted_ = true;
    return CC_NEWLINE;
  }

  std::string prompt_;
  std::filesystem::path history_file_;
  History* history_;
  EditLine* editor_ = nullptr;
  bool interrupted_ = false;
};

LineEditor::LineEditor(std::string prompt, const std::filesystem::path& history_file) {
  if (isatty(STDIN_FILENO) == 1) terminal_ = std::make_unique<Terminal>(std::move(prompt), history_file);
}

LineEditor::~LineEditor() = default;

LineEditor::Outcome LineEditor::read(std::string& line) {
  if (terminal_) return terminal_->read(line);
  return std::getline(std::cin, line) ? Outcome::line : Outcome::end;
}

}  // namespace hearth::app
