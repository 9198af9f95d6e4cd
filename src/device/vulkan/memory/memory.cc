#include "device/vulkan/memory/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "base/free_memory.h"
#include "device/device_memory.h"

namespace hearth::vulkan {
namespace {

constexpr VkMemoryPropertyFlags kLocal = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
constexpr VkMemoryPropertyFlags kMapped = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
constexpr VkMemoryPropertyFlags kCached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;

std::optional<uint32_t> find_type(const Gpu& gpu, uint32_t allowed, VkMemoryPropertyFlags wanted) {
  const auto& memory = gpu.memory();
  for (uint32_t i = 0; i < memory.memoryTypeCount; ++i) {
    const VkMemoryPropertyFlags flags = memory.memoryTypes[i].propertyFlags;
    // Types with flags beyond these (AMD's device-coherent, protected) are slower or not for us.
    constexpr VkMemoryPropertyFlags kKnown = kLocal | kMapped | kCached;
    if ((allowed >> i & 1) != 0 && (flags & wanted) == wanted && (flags & ~kKnown) == 0) return i;
  }
  return {};
}

bool is_integrated(const Gpu& gpu) { return gpu.properties().type == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU; }

/// Flags of memory types, the best first.
std::array<VkMemoryPropertyFlags, 3> wanted_flags(const Gpu& gpu, Placement placement) {
  switch (placement) {
    case Placement::device:
      break;
    case Placement::device_only:
      return {kLocal, kLocal, 0};
    case Placement::device_mapped:
      return {kLocal | kMapped, kMapped, kMapped};
    case Placement::host_cached:
      return {kMapped | kCached, kMapped, kMapped};
  }
  // What is called the host's is as near to an integrated GPU: drivers cut one memory into two heaps.
  if (is_integrated(gpu)) return {kLocal | kMapped, kMapped, kLocal};
  return {gpu.properties().one_memory ? kLocal | kMapped : kLocal, kLocal, 0};
}

/// Memory types in the order of preference, of each heap one. Only an integrated GPU's have a second choice, as another
/// GPU reads the host's memory much more slowly than its own.
std::vector<uint32_t> choose_types(const Gpu& gpu, uint32_t allowed, Placement placement) {
  if (gpu.properties().compiles_only) return {0};  // it lists no types, and takes host memory for any
  std::vector<uint32_t> types;
  const auto heap_of = [&](uint32_t type) { return gpu.memory().memoryTypes[type].heapIndex; };
  for (const VkMemoryPropertyFlags wanted : wanted_flags(gpu, placement)) {
    auto type = find_type(gpu, allowed, wanted);
    for (uint32_t left = allowed; type; type = find_type(gpu, left, wanted)) {
      if (std::ranges::find(types, heap_of(*type), heap_of) == types.end()) types.push_back(*type);
      left &= ~(1U << *type);
    }
    const bool has_more = placement == Placement::device && is_integrated(gpu);
    if (!types.empty() && !has_more) return {types.front()};
  }
  return types;
}

/// Where a driver promises an integrated GPU more than the host has, the device would be lost at a submit.
uint64_t available_bytes(const Gpu& gpu, uint32_t heap) {
  const auto available = static_cast<uint64_t>(std::max<int64_t>(gpu.available_bytes(heap), 0));
  const uint64_t free = is_integrated(gpu) ? free_memory_bytes() : 0;
  return free > 0 ? std::min(available, free) : available;
}

std::string megabytes(uint64_t bytes) { return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6); }

/// The first of the types whose heap has room. Asked before the driver is: on some an over-commit succeeds and loses
/// the device later.
Result<uint32_t> choose_room(const Gpu& gpu, const VkMemoryRequirements& needs, Placement placement) {
  const std::vector<uint32_t> types = choose_types(gpu, needs.memoryTypeBits, placement);
  if (types.empty()) return fail(ErrorCode::unsupported, "the device has no memory type for a buffer");
  if (gpu.properties().compiles_only) return types.front();
  uint64_t most = 0;
  for (const uint32_t type : types) {
    const uint64_t available = available_bytes(gpu, gpu.memory().memoryTypes[type].heapIndex);
    if (needs.size <= available) return type;
    most = std::max(most, available);
  }
  return fail(ErrorCode::out_of_memory,
              fmt::format("{} needs {} of memory where {} are free", gpu.properties().name, megabytes(needs.size),
                          megabytes(most)),
              "use a smaller model, a shorter context or fewer sequences");
}

}  // namespace

DeviceMemory device_memory(const Gpu& gpu) {
  DeviceMemory memory = {.kind = DeviceMemory::Kind::own,
                         .name = gpu.properties().name,
                         .pool = reinterpret_cast<uint64_t>(gpu.physical()),
                         .largest_cache_bytes = Arena::largest_slice(gpu.properties())};
  if (gpu.properties().compiles_only) return memory;
  const std::vector<uint32_t> types = choose_types(gpu, UINT32_MAX, Placement::device);
  if (!types.empty()) memory.free_bytes = 0;
  for (const uint32_t type : types) {
    const uint32_t heap = gpu.memory().memoryTypes[type].heapIndex;
    const int64_t available = gpu.available_bytes(heap);
    (available < 0 ? memory.overused_bytes : *memory.free_bytes) += static_cast<uint64_t>(std::abs(available));
    memory.total_bytes += gpu.memory().memoryHeaps[heap].size;
  }
  const VkPhysicalDeviceType type = gpu.properties().type;
  if (type != VK_PHYSICAL_DEVICE_TYPE_CPU && type != VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU) return memory;
  const DeviceMemory host = system_memory();
  memory.kind = type == VK_PHYSICAL_DEVICE_TYPE_CPU ? DeviceMemory::Kind::system : DeviceMemory::Kind::integrated;
  memory.pool = host.pool;
  if (host.free_bytes) memory.free_bytes = std::min(*host.free_bytes, memory.free_bytes.value_or(UINT64_MAX));
  return memory;
}

Result<Buffer> Buffer::create(const Gpu& gpu, uint64_t bytes, Placement placement, MemoryOwner owner) {
  Buffer result;
  result.gpu_ = &gpu;
  result.bytes_ = bytes;
  const VolkDeviceTable& vk = gpu.vk();
  // Either queue may use any buffer: an owner would have to be changed by a submit on both for each piece of an upload.
  const std::array families = {gpu.queue_family(), gpu.upload_queue_family()};
  const bool two_queues = families[0] != families[1];
  const VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                   .size = bytes,
                                   .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                            VK_BUFFER_USAGE_TRANSFER_DST_BIT |
                                            VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT,
                                   .sharingMode = two_queues ? VK_SHARING_MODE_CONCURRENT : VK_SHARING_MODE_EXCLUSIVE,
                                   .queueFamilyIndexCount = two_queues ? 2U : 0U,
                                   .pQueueFamilyIndices = families.data()};
  if (const VkResult made = vk.vkCreateBuffer(gpu.device(), &info, nullptr, &result.buffer_); made != VK_SUCCESS) {
    return fail_vulkan(made, fmt::format("a buffer of {}", megabytes(bytes)));
  }
  VkMemoryRequirements needs;
  vk.vkGetBufferMemoryRequirements(gpu.device(), result.buffer_, &needs);
  auto type = choose_room(gpu, needs, placement);
  if (!type) return pass_on(type);
  const VkMemoryType& memory_type = gpu.memory().memoryTypes[*type];
  const VkMemoryAllocateFlagsInfo flags = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
                                           .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT};
  const VkMemoryAllocateInfo allocation = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                           .pNext = &flags,
                                           .allocationSize = needs.size,
                                           .memoryTypeIndex = *type};
  VkResult made = vk.vkAllocateMemory(gpu.device(), &allocation, nullptr, &result.memory_);
  if (made != VK_SUCCESS) return fail_vulkan(made, fmt::format("allocating {}", megabytes(bytes)));
  result.entry_ = gpu.ledger().enter(owner, needs.size);
  made = vk.vkBindBufferMemory(gpu.device(), result.buffer_, result.memory_, 0);
  if (made != VK_SUCCESS) return fail_vulkan(made, "binding a buffer");
  const bool visible =
      (memory_type.propertyFlags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) != 0 || gpu.properties().compiles_only;
  const bool wanted = placement == Placement::device ? gpu.properties().one_memory || gpu.properties().compiles_only
                                                     : placement != Placement::device_only;
  if (visible && wanted) {
    void* pointer = nullptr;
    made = vk.vkMapMemory(gpu.device(), result.memory_, 0, VK_WHOLE_SIZE, 0, &pointer);
    if (made != VK_SUCCESS) return fail_vulkan(made, "mapping a buffer");
    result.mapped_ = static_cast<std::byte*>(pointer);
  }
  const VkBufferDeviceAddressInfo address = {.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO,
                                             .buffer = result.buffer_};
  result.address_ = vk.vkGetBufferDeviceAddress(gpu.device(), &address);
  return result;
}

Buffer::~Buffer() {
  if (gpu_ == nullptr) return;
  gpu_->vk().vkDestroyBuffer(gpu_->device(), buffer_, nullptr);
  gpu_->vk().vkFreeMemory(gpu_->device(), memory_, nullptr);
}

Buffer::Buffer(Buffer&& other) noexcept { *this = std::move(other); }

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(gpu_, other.gpu_);
  std::swap(buffer_, other.buffer_);
  std::swap(memory_, other.memory_);
  std::swap(address_, other.address_);
  std::swap(mapped_, other.mapped_);
  std::swap(bytes_, other.bytes_);
  std::swap(entry_, other.entry_);
  return *this;
}

size_t Arena::reserve(uint64_t bytes) {
  bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  slices_.push_back({nullptr, 0, bytes});
  reserved_bytes_ += bytes;
  return slices_.size() - 1;
}

uint64_t Arena::largest_slice(const GpuProperties& gpu) {
  return std::min(kBufferBytes, gpu.max_allocation_bytes) / kAlignment * kAlignment;
}

uint64_t Arena::uncommitted_bytes() const {
  uint64_t sum = 0;
  for (size_t i = committed_; i < slices_.size(); ++i) sum += slices_[i].bytes;
  return sum;
}

Result<void> Arena::commit(const Gpu& gpu, Placement placement, MemoryOwner owner) {
  const uint64_t most = largest_slice(gpu.properties());
  while (committed_ < slices_.size()) {
    uint64_t bytes = 0;
    size_t end = committed_;
    while (end < slices_.size() && bytes + slices_[end].bytes <= most) bytes += slices_[end++].bytes;
    if (end == committed_) return fail(ErrorCode::internal, "a slice larger than an arena's buffer");
    auto buffer = Buffer::create(gpu, bytes, placement, owner);
    if (!buffer) return pass_on(buffer);
    buffers_.push_back(std::make_unique<Buffer>(std::move(*buffer)));
    for (uint64_t offset = 0; committed_ < end; ++committed_) {
      slices_[committed_].buffer = buffers_.back().get();
      slices_[committed_].offset = offset;
      offset += slices_[committed_].bytes;
    }
  }
  return {};
}

}  // namespace hearth::vulkan
