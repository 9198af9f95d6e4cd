#include "app/explain.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

#include "device/tune_to_end.h"

namespace hearth::app {
namespace {

/// What a shader calls the count of tokens that it was compiled for; the line's first column says it already.
std::string without_tokens(std::string launch) {
  const size_t at = launch.find(" tokens=");
  if (at == launch.npos) return launch;
  return launch.erase(at, std::min(launch.find_first_of(" ,", at + 1), launch.size()) - at);
}

/// Everything of a line but the counts of tokens.
std::string line_of(const OperationChoice& choice) {
  std::string line;
  for (const std::string& launch : choice.launches)
    line += fmt::format("{}{}", line.empty() ? "" : " + ", without_tokens(launch));
  line += "; " + choice.origin;
  if (choice.microseconds > 0) {
    line += choice.tuning.empty()
                ? fmt::format(" {:.1f} us, as the table has it", choice.microseconds)
                : fmt::format(" {:.1f} us, the table's {:.1f} us", choice.microseconds, choice.table_microseconds);
  }
  return line;
}

}  // namespace

Result<std::vector<OperationChoice>> explain(Model& model, uint32_t tokens, uint32_t sequences) {
  const uint32_t most = std::max(tokens, sequences);
  const std::vector<uint32_t> blocks(model.cache_groups().size(), (most + kBlockTokens - 1) / kBlockTokens + 1);
  if (auto made = model.create_cache(blocks); !made) return pass_on(made);
  auto program = model.compile({.tokens = most, .logit_rows = sequences, .sequences = sequences}, {.prepare = true});
  if (!program) return pass_on(program);
  if (auto tuned = tune_to_end(**program); !tuned) return pass_on(tuned);
  auto* explained = dynamic_cast<ExplainedProgram*>(program->get());
  return explained == nullptr ? std::vector<OperationChoice>() : explained->choices();
}

std::string choices_table(const std::vector<OperationChoice>& choices) {
  std::string table;
  const auto out = std::back_inserter(table);
  for (size_t i = 0; i < choices.size();) {
    const OperationChoice& first = choices[i];
    if (i == 0 || first.operation != choices[i - 1].operation) {
      fmt::format_to(out, "\n{} ({} in a step)\n", first.operation, first.count);
    }
    const std::string line = line_of(first);
    size_t end = i + 1;
    while (end < choices.size() && choices[end].operation == first.operation && choices[end].prompt == first.prompt &&
           line_of(choices[end]) == line) {
      ++end;
    }
    const uint32_t last = choices[end - 1].tokens;
    const std::string counts = last > first.tokens ? fmt::format("{}-{}", first.tokens, last) : fmt::format("{}", last);
    fmt::format_to(out, "  {:>8} {} {}\n", counts, first.prompt ? "of prompts" : "tokens    ", line);
    i = end;
  }
  return table;
}

nlohmann::ordered_json choices_json(const std::vector<OperationChoice>& choices) {
  auto all = nlohmann::ordered_json::array();
  for (const OperationChoice& choice : choices) {
    all.push_back({{"operation", choice.operation},
                   {"count", choice.count},
                   {"tokens", choice.tokens},
                   {"prompt", choice.prompt},
                   {"launches", choice.launches},
                   {"origin", choice.origin},
                   {"tuning", choice.tuning},
                   {"microseconds", nullptr},
                   {"table_microseconds", nullptr}});
    if (choice.microseconds > 0) {
      all.back()["microseconds"] = choice.microseconds;
      all.back()["table_microseconds"] = choice.table_microseconds;
    }
  }
  return all;
}

}  // namespace hearth::app
