#include "app/downloads/downloaded_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>

namespace hearth::app {
namespace {

std::string how_to_get_the_rest(const DownloadedModel& model) {
  if (!model.elsewhere.empty()) return fmt::format("all of it is there as {}", model.elsewhere);
  // The name without what was chosen of it.
  switch (model.tool) {
    case Tool::hugging_face:
      return fmt::format("download the rest with `hf download {}`",
                         model.name.substr(0, model.name.find_first_of("@:")));
    case Tool::lm_studio:
      return "let LM Studio finish its download";
    case Tool::ollama:
      return fmt::format("get the rest with `ollama pull {}`", model.name);
  }
  return {};
}

std::string on_its_way(const Unfinished& unfinished) {
  if (unfinished.files == 0) return {};
  const bool is_one = unfinished.files == 1;
  return fmt::format("{} unfinished download{} {:.1f} GB so far; ", unfinished.files, is_one ? " has" : "s have",
                     static_cast<double>(unfinished.bytes) / 1e9);
}

}  // namespace

const char* name_of(Tool tool) {
  switch (tool) {
    case Tool::hugging_face:
      return "the Hugging Face cache";
    case Tool::lm_studio:
      return "LM Studio";
    case Tool::ollama:
      return "Ollama";
  }
  return "";
}

const char* prefix_of(Tool tool) {
  switch (tool) {
    case Tool::hugging_face:
      return "hf";
    case Tool::lm_studio:
      return "lmstudio";
    case Tool::ollama:
      return "ollama";
  }
  return "";
}

Error not_whole(const DownloadedModel& model) {
  if (!model.problem.empty()) {
    return {ErrorCode::unsupported,
            fmt::format("{} of {} cannot be used: {}", model.name, name_of(model.tool), model.problem),
            model.unfinished.files == 0 ? "" : on_its_way(model.unfinished) + how_to_get_the_rest(model)};
  }
  return {ErrorCode::not_found,
          fmt::format("{} is not whole in {}: {} {} missing", model.name, name_of(model.tool), list_some(model.lacks),
                      model.lacks.size() == 1 ? "is" : "are"),
          on_its_way(model.unfinished) + how_to_get_the_rest(model)};
}

std::string list_some(const std::vector<std::string>& names, size_t most) {
  const size_t shown = std::min(most, names.size());
  std::string text = fmt::format("{}", fmt::join(std::span(names).first(shown), ", "));
  if (shown < names.size()) text += fmt::format(" and {} more", names.size() - shown);
  return text;
}

}  // namespace hearth::app
