#include "base/reading/thread_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string_view>

#include "base/printable.h"

namespace hearth {
namespace {

constexpr size_t kMostStackBytes = 1024;

std::string read_of(pid_t thread, std::string_view name) {
  std::ifstream file(fmt::format("/proc/self/task/{}/{}", thread, name));
  return {std::istreambuf_iterator<char>(file), {}};
}

/// "[<0>] folio_wait_bit+0x13f/0x2b0\n[<0>] ..." as "folio_wait_bit < ...".
std::string short_stack(const std::string& stack) {
  std::string text;
  for (size_t begin = 0; begin < stack.size();) {
    const size_t end = std::min(stack.find('\n', begin), stack.size());
    std::string line = stack.substr(begin, end - begin);
    if (const size_t name = line.find("] "); name != std::string::npos) line.erase(0, name + 2);
    line.erase(std::min(line.find('+'), line.size()));
    if (!line.empty()) text += (text.empty() ? "" : " < ") + line;
    begin = end + 1;
  }
  return text;
}

}  // namespace

std::string kernel_view(pid_t thread) {
  const std::string place = read_of(thread, "wchan");
  std::string call = read_of(thread, "syscall");
  call.erase(std::min(call.find_first_of(" \n"), call.size()));
  const std::string stack = short_stack(read_of(thread, "stack"));
  std::string text;
  if (!place.empty() && place != "0") text += "in " + place;
  if (!call.empty() && call != "running") text += (text.empty() ? "in " : " of ") + ("system call " + call);
  if (!stack.empty()) text += (text.empty() ? "stack " : ", stack ") + stack;
  return printable(text, kMostStackBytes);
}

}  // namespace hearth
