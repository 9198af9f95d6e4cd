#include "app/gpu_notes.h"

#include <algorithm>
#include <string>
#include <string_view>

namespace hearth::app {
namespace {

using Json = nlohmann::ordered_json;

/// The first of the device's matrices of such numbers, "16x16x16 f16 to f32", or empty. docs/vulkan.md says what runs
/// on which.
std::string matrices_of(const Json& gpu, std::string_view kind) {
  for (const std::string shape : gpu.value("cooperative_matrices", Json::array())) {
    if (shape.ends_with(kind)) return shape;
  }
  return {};
}

void note_matrices(const Json& gpu, Json& uses, Json& lacks) {
  const std::string halves = matrices_of(gpu, "f16 to f32");
  const std::string bytes = matrices_of(gpu, "i8 to i32");
  if (!halves.empty()) uses.push_back("matrix units for prompts and their attention (" + halves + ")");
  if (!bytes.empty()) uses.push_back("matrix units for steps of many sequences (" + bytes + ")");
  if (halves.empty() && bytes.empty()) {
    // docs/performance.md, log of 2026-11-25.
    lacks.push_back(
        "cooperative matrices: prompts run on packed dot products, by which an H100 took 3.9 times as long for one of "
        "512 tokens");
  } else if (halves.empty()) {
    lacks.push_back(
        "cooperative matrices of f16 to f32: long prompts and plain weights run on dot products and floats");
  } else if (bytes.empty()) {
    lacks.push_back("cooperative matrices of bytes: steps of up to 64 tokens run on dot products and halves");
  }
}

void note_dot_products(const Json& gpu, Json& uses, Json& lacks) {
  if (gpu.value("integer_dot_product", "") == "in hardware") {
    uses.push_back("packed dot products of bytes for answers");
  } else {
    lacks.push_back("packed dot products of bytes in hardware: each is several instructions");
  }
}

void note_memory(const Json& gpu, Json& uses, Json& lacks) {
  if (gpu.value("one_memory", false)) {
    uses.push_back("mapped memory: weights are packed where they stay");
  } else if (gpu.value("transfer_queue", false)) {
    uses.push_back("a queue of its own for copying weights");
  }
  if (!gpu.value("memory_budget", false)) {
    lacks.push_back("a memory budget: what other programs take is not seen; --device vulkan:N,memory=MiB is a limit");
  }
}

}  // namespace

Json gpu_notes(const Json& gpu) {
  Json uses = Json::array(), lacks = Json::array();
  if (gpu.value("usable", false)) {
    note_matrices(gpu, uses, lacks);
    note_dot_products(gpu, uses, lacks);
    note_memory(gpu, uses, lacks);
    const auto timestamp = gpu.find("timestamp_ns");
    if (timestamp == gpu.end() || timestamp->is_null()) {
      lacks.push_back("timestamps: nothing can be measured on it, so the choices of a table stay");
    }
  }
  return {{"uses", uses}, {"lacks", lacks}};
}

}  // namespace hearth::app
