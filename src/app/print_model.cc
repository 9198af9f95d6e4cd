#include "app/print_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "app/machine_values.h"

namespace hearth::app {
namespace {

using Json = nlohmann::ordered_json;

std::string size_of(uint64_t bytes) {
  if (bytes >= 1'000'000'000) return fmt::format("{:.2f} GB", static_cast<double>(bytes) / 1e9);
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

std::string files_text(const Json& report) {
  uint64_t bytes = 0;
  for (const Json& file : report["files"]) bytes += file["bytes"].get<uint64_t>();
  return property("files", fmt::format("{}, {}", report["files"].size(), size_of(bytes)));
}

std::string decoder_text(const Json& decoder) {
  if (decoder.is_null()) return {};
  std::string text = property("family", decoder["family"].get<std::string>());
  text += property("layers", decoder["layers"].dump());
  for (const Json& part : decoder["parts"]) {
    text += fmt::format("    {} have {}\n", part["layers"].get<uint32_t>(), part["part"].get<std::string>());
  }
  text += property("hidden", decoder["hidden"].dump());
  text += property("vocabulary", decoder["vocabulary"].dump() +
                                     (decoder["tied_embeddings"].get<bool>() ? ", the head is the embedding" : ""));
  text += property("context", decoder["context"].dump());
  const auto unknown = decoder["unknown_keys"].get<std::vector<std::string>>();
  if (!unknown.empty()) text += property("keys not known", fmt::format("{}", fmt::join(unknown, ", ")));
  return text;
}

std::string formats_text(const Json& formats, const Json& not_read) {
  size_t width = 10;
  for (const Json& each : formats) width = std::max(width, each["format"].get_ref<const std::string&>().size());
  const auto line = [&](const std::string& what, const Json& sum) {
    return fmt::format("  {:<{}} {:>6} tensors  {:>9}", what, width, sum["tensors"].get<uint64_t>(),
                       size_of(sum["bytes"]));
  };
  std::string text;
  for (const Json& each : formats) {
    const std::string format = each["format"], held = each["held_as"];
    text += line(format, each);
    text += held == format ? "\n" : fmt::format(", held as {}: {}\n", held, size_of(each["held_bytes"]));
  }
  if (not_read["tensors"] != 0) text += line("not read", not_read) + "\n";
  return text;
}

std::string source_text(const char* name, const Json& part) {
  if (part.is_null()) return property(name, "none that can be used");
  std::string text = part["source"].get<std::string>();
  if (part.contains("tokens")) text += fmt::format(", {} tokens", part["tokens"].get<uint64_t>());
  return property(name, text);
}

std::string obstacles_text(const Json& obstacles) {
  if (obstacles.empty()) return "\nhearth can serve it.\n";
  std::string text;
  for (const Json& each : obstacles) {
    text += fmt::format("\nwhat keeps it from {}: {}\n", each["keeps_from"].get<std::string>(),
                        each["because"].get<std::string>());
    if (const std::string remedy = each["remedy"]; !remedy.empty()) text += fmt::format("  {}\n", remedy);
  }
  return text;
}

std::string tensors_text(const Json& tensors) {
  std::string text = "\n";
  for (const Json& tensor : tensors) {
    text += fmt::format("{:<56} {:<8} {}\n", tensor["name"].get<std::string>(), tensor["format"].get<std::string>(),
                        tensor["shape"].dump());
  }
  return text;
}

}  // namespace

std::string model_text(const Json& report) {
  std::string text = fmt::format("{}\n", report["model"].get<std::string>());
  text += property("kind", report["kind"].get<std::string>());
  text += files_text(report);
  if (const std::string coded = report["coded_as"]; !coded.empty()) text += property("coded as", coded);
  text += decoder_text(report["decoder"]);
  text += source_text("tokenizer", report["tokenizer"]) + source_text("chat template", report["chat_template"]);
  text += "\n" + formats_text(report["formats"], report["not_read"]);
  text += obstacles_text(report["obstacles"]);
  if (report.contains("tensors")) text += tensors_text(report["tensors"]);
  return text;
}

}  // namespace hearth::app
