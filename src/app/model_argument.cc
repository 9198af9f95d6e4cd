#include "app/model_argument.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <system_error>

#include "base/printable.h"
#include "base/reading/read_watch.h"
#include "base/reading/watched_call.h"

namespace hearth::app {
namespace {

namespace fs = std::filesystem;

bool can_only_be_a_path(const std::string& text) {
  if (text.empty() || text.starts_with('/') || text.starts_with('.') || text.starts_with('~') || text.ends_with('/')) {
    return true;
  }
  return text.find(':') == text.npos && (text.ends_with(".gguf") || text.ends_with(".safetensors"));
}

/// Also where it may not be looked at.
bool lies_there(const fs::path& path) {
  const AsksFile asks(path, 0, 0);
  std::error_code error;
  return fs::status(path, error).type() != fs::file_type::not_found;
}

std::string shown(const fs::path& path) { return printable(path.native(), 1024); }

void log_found(const FoundDownload& found) {
  spdlog::info("{} is {} of {}", found.model.name, shown(found.model.path), name_of(found.model.tool));
  for (const DownloadedModel& other : found.others) {
    spdlog::info("{} is also in {}{}: {}", other.name, name_of(other.tool),
                 other.is_whole() ? "" : ", but cannot be used there", shown(other.path));
  }
  if (!found.model.ignored.empty()) {
    spdlog::info("{} has in {} besides, and hearth does not use: {}", found.model.name, name_of(found.model.tool),
                 fmt::join(found.model.ignored, ", "));
  }
}

}  // namespace

void add_model_argument(CLI::App& command, std::string& model) {
  command
      .add_option("model", model,
                  "GGUF file, Hugging Face directory, or the name of what another tool has downloaded (hearth models)")
      ->required();
}

Result<FoundModel> find_model(const std::string& text, const DownloadRoots& roots) {
  const FoundModel as_path{.path = text, .name = {}};
  if (can_only_be_a_path(text) || lies_there(text)) return as_path;
  const auto name = ModelName::parse(text);
  if (!name) return as_path;
  auto found = find_download(*name, download_places(roots));
  if (!found) return pass_on(found);
  log_found(*found);
  return FoundModel{.path = found->model.path, .name = found->model.name};
}

Result<FoundModel> find_model(const std::string& text, std::chrono::seconds patience) {
  // Such a path is looked at by whoever opens it.
  if (can_only_be_a_path(text)) return FoundModel{.path = text, .name = {}};
  return watched_call([text, roots = download_roots()] { return find_model(text, roots); }, patience, {});
}

}  // namespace hearth::app
