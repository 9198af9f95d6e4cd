#include <array>

#include "device/vulkan/recording/step_recorder.h"
#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {

uint32_t candidate_stretches(const Tuning& tuning, uint32_t vocabulary) {
  const uint32_t stretch = tuning.candidate_threads * tuning.candidate_values;
  return (vocabulary + stretch - 1) / stretch;
}

Result<void> StepRecorder::record_candidates() {
  const CandidatePlaces& places = c_.candidates;
  const TensorId logits = c_.recording.logits;
  const shared::BestLogitsArguments arguments = {.step = c_.step.header(),
                                                 .wanted = c_.step.candidates(),
                                                 .logits = floats(logits),
                                                 .partials = places.partials,
                                                 .counters = places.counters,
                                                 .result = places.results,
                                                 .best = places.best,
                                                 .vocabulary = width(logits)};
  const PipelineKey key = {Shader::best_logits, c_.tuning.candidate_threads, {c_.tuning.candidate_values}};
  const std::array reads = {access(logits)};
  const std::array writes = {Access{places.partials, places.partials + places.partial_bytes},
                             Access{places.counters, places.counters + places.counter_bytes},
                             Access{places.best, places.best + places.best_bytes},
                             Access{places.results, places.results + places.result_bytes}};
  const Groups groups = {bucket_.logit_rows, candidate_stretches(c_.tuning, width(logits))};
  if (auto done = commands_.dispatch(key, arguments, groups, reads, writes); !done) return done;
  commands_.show_to_host();
  return {};
}

}  // namespace hearth::vulkan
