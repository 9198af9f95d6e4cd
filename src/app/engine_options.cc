#include "app/engine_options.h"

#include <functional>

#include "engine/engine_loop.h"

namespace hearth::app {

void add_engine_size_options(CLI::App& command, EngineOptions& options) {
  const auto positive = CLI::Range(1U, 1U << 30);
  command.add_option("--context", options.context_length,
                     "tokens of a conversation; 0 is what the model and the memory allow");
  command.add_option("--max-sequences", options.max_sequences, "requests that run at once")
      ->check(positive)
      ->capture_default_str();
  command
      .add_option("--max-batched-tokens", options.max_batched_tokens,
                  "tokens of one step; by itself 2048 on GPUs with much memory")
      ->check(positive)
      ->each([&options](const std::string&) { options.larger_steps = false; })
      ->capture_default_str();
  const std::function<void(const uint32_t&)> set_cache = [&options](const uint32_t& mebibytes) {
    options.cache_bytes = uint64_t{mebibytes} << 20;
  };
  command.add_option_function("--kv-cache-mb", set_cache, "MiB for the KV cache; 0 chooses by the free memory");
  const std::function<void(const uint32_t&)> set_reserve = [&options](const uint32_t& mebibytes) {
    options.reserve_bytes = uint64_t{mebibytes} << 20;
  };
  command.add_option_function("--reserve", set_reserve,
                              "MiB of each memory to leave to other programs; by itself a tenth of a GPU's, 1024 at "
                              "most");
}

PlaceOptions room_for_engine(const EngineOptions& options, const LayerCut& cut) {
  return {.cut = cut,
          .context_tokens = options.context_length,
          .reserve_bytes = options.reserve_bytes,
          .limits = program_limits(options)};
}

}  // namespace hearth::app
