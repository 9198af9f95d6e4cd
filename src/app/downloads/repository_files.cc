#include "app/downloads/repository_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>

#include "app/downloads/disk_questions.h"
#include "app/downloads/model_name.h"
#include "app/downloads/safetensors_shards.h"
#include "base/printable.h"
#include "formats/gguf_split_name.h"

namespace hearth::app {
namespace {

namespace fs = std::filesystem;

constexpr int kDeepest = 2;
constexpr std::string_view kGguf = ".gguf";
constexpr size_t kLongestName = 1024;

void collect_gguf(const fs::path& folder, const fs::path& seen_from, int depth, std::vector<fs::path>& files) {
  for (const fs::path& path : entries_of(folder)) {
    if (path.filename().native().starts_with('.')) continue;
    if (is_folder(path)) {
      if (depth < kDeepest) collect_gguf(path, seen_from, depth + 1, files);
    } else if (is_weights_name(path.filename().native()) && is_there(path)) {
      files.push_back(path.lexically_relative(seen_from));
    }
  }
}

RepositoryModel split_model(const fs::path& folder, const fs::path& in, const GgufSplitName& split) {
  RepositoryModel model{.file = in / split.of(1)};
  for (uint32_t number = 1; number <= split.count; ++number) {
    const fs::path part = in / split.of(number);
    if (is_there(folder / part)) {
      model.bytes += file_bytes(folder / part);
    } else {
      model.lacks.push_back(printable(part.native()));
    }
  }
  return model;
}

std::vector<RepositoryModel> gguf_models(const fs::path& folder) {
  std::vector<fs::path> files;
  collect_gguf(folder, folder, 0, files);
  std::map<fs::path, RepositoryModel> models;  // by the first file
  for (const fs::path& file : files) {
    const auto split = GgufSplitName::parse(file.filename().native());
    if (!split || split->count == 0) {
      models[file] = {.file = file, .bytes = file_bytes(folder / file)};
    } else if (const fs::path first = file.parent_path() / split->of(1); !models.contains(first)) {
      models[first] = split_model(folder, file.parent_path(), *split);
    }
  }
  std::vector<RepositoryModel> found;
  for (auto& [first, model] : models) found.push_back(std::move(model));
  return found;
}

/// The folder as a model, unless nothing in it belongs to one.
std::optional<RepositoryModel> folder_model(const fs::path& folder, bool has_gguf) {
  const bool has_config = is_there(folder / "config.json");
  const SafetensorsShards shards = safetensors_shards(folder);
  if (shards.bytes == 0 && !(has_config && (shards.has_index || !has_gguf))) return std::nullopt;
  RepositoryModel model{.bytes = shards.bytes, .lacks = shards.missing, .problem = shards.problem};
  if (!has_config) model.lacks.insert(model.lacks.begin(), "config.json");
  return model;
}

std::string without_ending(const fs::path& file) {
  std::string stem = file.filename().native();
  if (const auto split = GgufSplitName::parse(stem)) return split->prefix;
  if (stem.ends_with(kGguf)) stem.resize(stem.size() - kGguf.size());
  return stem;
}

/// Such as Q4_K_M, UD-Q2_K_XL, IQ3_XXS, BF16, MXFP4 at the end of a file's name; or empty.
std::string quantization_of(const std::string& stem) {
  const size_t separator = stem.find_last_of("-.");
  const std::string last = separator == stem.npos ? stem : stem.substr(separator + 1);
  const std::string small = in_small_letters(last);
  const auto is_digit_at = [&](size_t i) { return i < small.size() && small[i] >= '0' && small[i] <= '9'; };
  const bool is_one = (small.starts_with('q') && is_digit_at(1)) || (small.starts_with("iq") && is_digit_at(2)) ||
                      (small.starts_with("tq") && is_digit_at(2)) || small.starts_with("mxfp") || small == "f16" ||
                      small == "f32" || small == "bf16" || small == "fp16";
  if (!is_one) return {};
  constexpr std::string_view kDynamic = "ud-";
  const size_t begin = stem.size() - last.size();
  const bool is_dynamic = begin >= kDynamic.size() &&
                          in_small_letters(stem.substr(begin - kDynamic.size(), kDynamic.size())) == kDynamic &&
                          (begin == kDynamic.size() || stem[begin - kDynamic.size() - 1] == '-');
  return is_dynamic ? stem.substr(begin - kDynamic.size()) : last;
}

void label(std::vector<RepositoryModel>& models) {
  std::map<std::string, int> uses;
  for (RepositoryModel& model : models) {
    const std::string stem = without_ending(model.file);
    const std::string quantization = quantization_of(stem);
    model.label = printable(quantization.empty() ? stem : quantization, kLongestName);
    ++uses[in_small_letters(model.label)];
  }
  std::map<std::string, int> longer_uses;
  for (RepositoryModel& model : models) {
    if (uses[in_small_letters(model.label)] > 1) model.label = printable(without_ending(model.file), kLongestName);
    ++longer_uses[in_small_letters(model.label)];
  }
  for (RepositoryModel& model : models) {
    if (longer_uses[in_small_letters(model.label)] > 1) model.label = printable(model.file.native(), kLongestName);
  }
}

/// Whether `part` stands in `text` between separators; that a word goes on behind '_' keeps Q4_K apart from Q4_K_M.
bool stands_in(std::string_view text, std::string_view part) {
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) {
    const size_t end = at + part.size();
    const bool begins = at == 0 || std::string_view("-._/").find(text[at - 1]) != std::string_view::npos;
    const bool ends = end == text.size() || std::string_view("-./").find(text[end]) != std::string_view::npos;
    if (begins && ends) return true;
  }
  return false;
}

std::vector<RepositoryModel> meant_by(std::span<const RepositoryModel> models, std::string_view choice) {
  const std::string small = in_small_letters(choice);
  using Means = std::function<bool(const RepositoryModel&)>;
  const Means by_file = [&](const RepositoryModel& model) {
    return model.file == choice || model.file.filename() == choice || without_ending(model.file) == choice;
  };
  const Means by_label = [&](const RepositoryModel& model) { return in_small_letters(model.label) == small; };
  const Means by_part = [&](const RepositoryModel& model) {
    return stands_in(in_small_letters(without_ending(model.file)), small);
  };
  for (const Means& means : {by_file, by_label, by_part}) {
    std::vector<RepositoryModel> meant;
    for (const RepositoryModel& model : models) {
      if (!model.file.empty() && means(model)) meant.push_back(model);
    }
    if (!meant.empty()) return meant;
  }
  return {};
}

std::string names_of(std::span<const RepositoryModel> models, std::string_view name) {
  std::vector<std::string> names;
  for (const RepositoryModel& model : models) {
    names.push_back(fmt::format("{}{}{} ({:.1f} GB)", name, model.label.empty() ? "" : ":", model.label,
                                static_cast<double>(model.bytes) / 1e9));
  }
  return list_some(names, 24);
}

}  // namespace

bool is_weights_name(std::string_view file_name) {
  if (!file_name.ends_with(kGguf) || file_name.starts_with('.')) return false;
  const std::string small = in_small_letters(file_name);
  return small.find("mmproj") == small.npos && small.find("imatrix") == small.npos;
}

std::vector<RepositoryModel> models_of_repository(const fs::path& folder) {
  std::vector<RepositoryModel> models = gguf_models(folder);
  label(models);
  if (auto whole = folder_model(folder, !models.empty())) models.insert(models.begin(), std::move(*whole));
  return models;
}

Result<RepositoryModel> choose_model(std::span<const RepositoryModel> models, std::string_view choice,
                                     std::string_view name) {
  if (choice.empty()) {
    if (models.size() == 1 || (!models.empty() && models.front().file.empty())) return models.front();
    return fail(ErrorCode::invalid_argument, fmt::format("{} has several models", name),
                fmt::format("say which: {}", names_of(models, name)));
  }
  const auto meant = meant_by(models, choice);
  if (meant.size() == 1) return meant.front();
  if (meant.empty()) {
    return fail(ErrorCode::not_found, fmt::format("{} has no file {} here", name, printable(choice)),
                fmt::format("there is {}", names_of(models, name)));
  }
  return fail(ErrorCode::invalid_argument,
              fmt::format("{} has several files that {} may mean", name, printable(choice)),
              fmt::format("say which: {}", names_of(meant, name)));
}

DownloadedModel downloaded_model(const RepositoryModel& model, const fs::path& folder, const std::string& name,
                                 Tool tool, const Unfinished& unfinished) {
  return {.name = model.label.empty() ? name : name + ":" + model.label,
          .tool = tool,
          .path = model.file.empty() ? folder : folder / model.file,
          .format = model.file.empty() ? "safetensors" : "GGUF",
          .bytes = model.bytes,
          .lacks = model.lacks,
          .problem = model.problem,
          .unfinished = unfinished};
}

DownloadedModel without_weights(const fs::path& folder, const std::string& name, Tool tool,
                                const Unfinished& unfinished) {
  return {.name = name, .tool = tool, .path = folder, .lacks = {"every file with weights"}, .unfinished = unfinished};
}

}  // namespace hearth::app
