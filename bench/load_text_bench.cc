// How long the text of models takes to load, beside nothing else: what the server does while it reads the weights.
// Medians in milliseconds over rounds in which the models take turns; the files are in the page cache after the first.
//
//   load_text_bench ROUNDS MODEL...          a GGUF file, or a folder with a tokenizer.json and a config.json

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "app/load_text.h"

namespace hearth::app {
namespace {

struct Times {
  std::vector<double> open;  ///< the checkpoint: names, metadata
  std::vector<double> text;  ///< tokenizer and template
};

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

bool measure(const char* path, Times& times) {
  auto start = std::chrono::steady_clock::now();
  const auto checkpoint = open_checkpoint(path);
  if (!checkpoint) return std::fprintf(stderr, "%s\n", to_string(checkpoint.error()).c_str()), false;
  times.open.push_back(milliseconds_since(start));
  start = std::chrono::steady_clock::now();
  const auto text = load_text(**checkpoint);
  if (!text) return std::fprintf(stderr, "%s\n", to_string(text.error()).c_str()), false;
  times.text.push_back(milliseconds_since(start));
  return true;
}

int run(int rounds, const std::vector<const char*>& models) {
  std::vector<Times> times(models.size());
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < models.size(); ++i) {
      if (!measure(models[i], times[i])) return 1;
    }
  }
  std::printf("%8s %8s\n", "open", "text");
  for (size_t i = 0; i < models.size(); ++i) {
    std::printf("%8.1f %8.1f  %s\n", median(times[i].open), median(times[i].text), models[i]);
  }
  return 0;
}

}  // namespace
}  // namespace hearth::app

int main(int argc, char** argv) {
  const int rounds = argc > 2 ? std::atoi(argv[1]) : 0;
  if (rounds <= 0) return std::fprintf(stderr, "load_text_bench ROUNDS MODEL...\n"), 1;
  return hearth::app::run(rounds, {argv + 2, argv + argc});
}
