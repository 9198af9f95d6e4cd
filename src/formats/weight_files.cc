#include "formats/weight_files.h"

#include <fmt/format.h>

#include <map>

#include "base/printable.h"
#include "formats/directory_files.h"
#include "formats/layered_files.h"

namespace hearth {
namespace {

using nlohmann::json;

constexpr const char* kWeights = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr std::string_view kSuffix = ".safetensors";

Result<std::vector<WeightFile>> files_of_index(const std::filesystem::path& path, const json& index) {
  const auto failure = [&](std::string_view why) {
    return fail(ErrorCode::corrupt, fmt::format("{}: {}", shown(path), why));
  };
  const auto weight_map = index.find("weight_map");
  if (weight_map == index.end() || !weight_map->is_object()) return failure("there is no object weight_map");
  std::map<std::string, std::set<std::string>> tensors_of_shards;
  for (const auto& [tensor, shard] : weight_map->items()) {
    if (!shard.is_string()) return failure(fmt::format("weight_map: {} does not name a file", printable(tensor)));
    tensors_of_shards[shard.get<std::string>()].insert(tensor);
  }
  if (tensors_of_shards.empty()) return failure("weight_map is empty");
  std::vector<WeightFile> files;
  for (const auto& [shard, tensors] : tensors_of_shards) {
    // A name with a slash could lead anywhere on the disk.
    if (shard.empty() || shard.find_first_of(std::string_view("/\\\0", 3)) != shard.npos || shard.starts_with('.')) {
      return failure(fmt::format("weight_map names the file \"{}\", which is not beside it", printable(shard)));
    }
    files.push_back({shard, tensors});
  }
  return files;
}

/// "00003" of model-00001-of-00003.safetensors; nothing for another name.
std::string_view shards_of_name(std::string_view name) {
  constexpr std::string_view kBegin = "model-", kOf = "-of-";
  const size_t of = kBegin.size() + 5, total = of + kOf.size();
  if (!name.starts_with(kBegin) || name.size() != total + 5 + kSuffix.size() || name.substr(of, 4) != kOf) return {};
  return name.substr(total, 5);
}

/// model-00001-of-00003.safetensors and the others; nothing where there are none.
Result<std::vector<WeightFile>> numbered_shards(const std::filesystem::path& directory,
                                                const std::vector<std::string>& names) {
  std::string_view first, total;
  for (const std::string& name : names) {
    const std::string_view shards = shards_of_name(name);
    if (shards.empty() || shards == total) continue;
    if (!total.empty()) {
      return fail(ErrorCode::corrupt,
                  fmt::format("{}: {} and {} are of different checkpoints", shown(directory), printable(first),
                              printable(name)),
                  "keep those of one of them");
    }
    first = name;
    total = shards;
  }
  std::vector<WeightFile> files;
  while (!total.empty() && fmt::format("{:05}", files.size()) != total) {
    std::string shard = fmt::format("model-{:05}-of-{}{}", files.size() + 1, total, kSuffix);
    if (!is_there(directory / shard)) {
      return fail(ErrorCode::not_found, fmt::format("{}: {} is missing", shown(directory), printable(shard)),
                  "download it into this directory");
    }
    files.push_back({std::move(shard), {}});
  }
  return files;
}

}  // namespace

Result<std::vector<WeightFile>> find_weight_files(const std::filesystem::path& directory, const json& config) {
  if (is_there(directory / kIndex)) {
    auto index = read_object(directory / kIndex);
    if (!index) return pass_on(index);
    return files_of_index(directory / kIndex, *index);
  }
  if (is_there(directory / kWeights)) return std::vector<WeightFile>{{kWeights, {}}};
  const std::vector<std::string> names = file_names(directory, kSuffix);
  auto shards = numbered_shards(directory, names);
  if (!shards || !shards->empty()) return shards;
  auto layered = find_layered_files(directory, names, config);
  if (!layered) return pass_on(layered);
  std::vector<WeightFile> files;
  for (const std::string& name : *layered) files.push_back({name, {}});
  if (!files.empty()) return files;

  const bool pickled =
      is_there(directory / "pytorch_model.bin") || is_there(directory / "pytorch_model.bin.index.json");
  return fail(ErrorCode::not_found, fmt::format("{}: there is neither {} nor {}", shown(directory), kWeights, kIndex),
              pickled
                  ? "pytorch_model.bin can run any code when it is loaded and is not read; convert it to safetensors"
                  : "download the weights into this directory");
}

}  // namespace hearth
