#include "app/downloads/safetensors_shards.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <set>

#include "app/downloads/disk_questions.h"
#include "base/file.h"
#include "base/json.h"
#include "base/printable.h"
#include "base/result.h"

namespace hearth::app {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEnding = ".safetensors";

/// The files that the index names. One whose name could lead out of the folder is an error.
Result<std::set<std::string>> files_of_index(const fs::path& path) {
  constexpr uint64_t kMostBytes = 64u << 20;
  auto text = read_whole_file(path, kMostBytes);
  if (!text) return pass_on(text);
  auto index = parse_json(*text, path.native());
  if (!index) return pass_on(index);
  const auto map = index->is_object() ? index->find("weight_map") : index->end();
  if (!index->is_object() || map == index->end() || !map->is_object()) {
    return fail(ErrorCode::corrupt, fmt::format("{}: there is no object weight_map", printable(path.native(), 1024)));
  }
  std::set<std::string> files;
  for (const auto& [tensor, file] : map->items()) {
    const std::string* name = file.get_ptr<const std::string*>();
    if (name == nullptr || name->empty() || name->starts_with('.') ||
        name->find_first_of(std::string_view("/\\\0", 3)) != name->npos) {
      return fail(ErrorCode::corrupt, fmt::format("{}: weight_map: {} does not name a file beside it",
                                                  printable(path.native(), 1024), printable(tensor)));
    }
    files.insert(*name);
  }
  return files;
}

/// 12 of "model-00003-of-00012.safetensors".
std::optional<uint32_t> shard_count(std::string_view name) {
  constexpr std::string_view kBegin = "model-", kOf = "-of-";
  constexpr size_t kDigits = 5;
  if (name.size() != kBegin.size() + kDigits + kOf.size() + kDigits + kEnding.size()) return std::nullopt;
  if (!name.starts_with(kBegin) || !name.ends_with(kEnding)) return std::nullopt;
  if (name.substr(kBegin.size() + kDigits, kOf.size()) != kOf) return std::nullopt;
  const std::string_view digits = name.substr(kBegin.size() + kDigits + kOf.size(), kDigits);
  uint32_t count = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), count);
  if (error != std::errc() || end != digits.data() + digits.size() || count == 0) return std::nullopt;
  return count;
}

/// Without an index: the numbered files, where one of them is there, else the only one.
std::set<std::string> files_by_name(const std::set<std::string>& there) {
  const std::string only = "model.safetensors";
  if (there.contains(only)) return {only};
  for (const std::string& name : there) {
    const auto count = shard_count(name);
    if (!count) continue;
    std::set<std::string> files;
    for (uint32_t number = 1; number <= *count; ++number) {
      files.insert(fmt::format("model-{:05}-of-{:05}.safetensors", number, *count));
    }
    return files;
  }
  return {only};
}

}  // namespace

SafetensorsShards safetensors_shards(const fs::path& folder) {
  SafetensorsShards shards;
  std::set<std::string> there;
  for (const fs::path& path : entries_of(folder)) {
    if (path.extension() != kEnding || !is_there(path)) continue;
    there.insert(path.filename().native());
    shards.bytes += file_bytes(path);
  }
  const fs::path index = folder / "model.safetensors.index.json";
  shards.has_index = is_there(index);
  Result<std::set<std::string>> files = shards.has_index ? files_of_index(index) : files_by_name(there);
  if (!files) {
    shards.problem = files.error().message;
    return shards;
  }
  for (const std::string& file : *files) {
    if (!there.contains(file)) shards.missing.push_back(printable(file));
  }
  return shards;
}

}  // namespace hearth::app
