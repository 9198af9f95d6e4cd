#include "device/vulkan/measuring/learn_fragments.h"

#include <array>
#include <bit>

#include "device/vulkan/measuring/single_submit.h"
#include "device/vulkan/memory/memory.h"
#include "device/vulkan/recording/command_recorder.h"
#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {
namespace {

constexpr uint32_t kPlaces = shared::kMostFragmentLanes * shared::kMostFragmentComponents;  ///< of a matrix
constexpr uint64_t kResultBytes = (2 * kPlaces + 3) * sizeof(uint32_t);

bool can_be_learned(const CooperativeMatrixShape& shape) {
  const auto fits = [](uint32_t size) { return std::has_single_bit(size) && size >= 8 && size <= 16; };
  return shape.inputs == "f16" && shape.results == "f32" && fits(shape.m) && fits(shape.n) && fits(shape.k);
}

Result<std::optional<FragmentLayout>> learn(Gpu& gpu, Pipelines& pipelines, const CooperativeMatrixShape& shape) {
  auto result = Buffer::create(gpu, kResultBytes, Placement::device, MemoryOwner::staging);
  if (!result) return pass_on(result);
  auto readback = Buffer::create(gpu, kResultBytes, Placement::host_cached, MemoryOwner::staging);
  if (!readback) return pass_on(readback);
  auto commands = SingleSubmit::begin(gpu, "learning the layout of matrices");
  if (!commands) return pass_on(commands);
  const uint32_t lanes = gpu.properties().subgroup_size;
  CommandRecorder recorder(gpu, pipelines, commands->buffer());
  const shared::LearnFragmentsArguments arguments = {.result = result->address()};
  const std::array writes = {Access{result->address(), result->address() + result->bytes()}};
  const PipelineKey key = {Shader::learn_fragments, lanes, {shape.m, shape.n, shape.k}};
  if (auto done = recorder.dispatch(key, arguments, {1}, {}, writes); !done) return pass_on(done);
  const VkBufferCopy all = {.size = kResultBytes};
  recorder.copy_to_host(result->handle(), readback->handle(), std::span(&all, 1));
  if (auto ran = commands->run(); !ran) return pass_on(ran);
  const std::span words(reinterpret_cast<const uint32_t*>(readback->mapped()), 2 * kPlaces + 3);
  if (words[2 * kPlaces + 2] == 0) return std::nullopt;  // weights are decoded by way of subnormal numbers
  const LearnedPlaces a = {words[2 * kPlaces], words.first(kPlaces)};
  const LearnedPlaces b = {words[2 * kPlaces + 1], words.subspan(kPlaces, kPlaces)};
  return fragment_layout(shape.m, shape.n, shape.k, lanes, a, b);
}

}  // namespace

Result<std::vector<FragmentLayout>> learn_fragments(Gpu& gpu, Pipelines& pipelines) {
  const GpuProperties& properties = gpu.properties();
  std::vector<FragmentLayout> layouts;
  if (!properties.float16 || properties.compiles_only) return layouts;
  if (properties.subgroup_size > shared::kMostFragmentLanes) return layouts;
  for (const CooperativeMatrixShape& shape : properties.cooperative_matrices) {
    if (!can_be_learned(shape)) continue;
    auto layout = learn(gpu, pipelines, shape);
    if (!layout) return pass_on(layout);
    if (*layout) layouts.push_back(**layout);
  }
  return layouts;
}

}  // namespace hearth::vulkan
