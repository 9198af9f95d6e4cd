#include "device/vulkan/gpu.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

namespace hearth::vulkan {
namespace {

constexpr const char* kValidationLayer = "VK_LAYER_KHRONOS_validation";

/// volkInitialize changes globals, so it runs once for the process.
bool load_vulkan() {
  static const bool loaded = volkInitialize() == VK_SUCCESS;
  return loaded;
}

VKAPI_ATTR VkBool32 VKAPI_CALL count_message(VkDebugUtilsMessageSeverityFlagBitsEXT, VkDebugUtilsMessageTypeFlagsEXT,
                                             const VkDebugUtilsMessengerCallbackDataEXT* data, void* counter) {
  // The layer is only on where somebody debugs, who needs the text.
  std::fprintf(stderr, "vulkan validation: %s\n", data->pMessage);
  ++*static_cast<std::atomic<uint32_t>*>(counter);
  return VK_FALSE;
}

std::vector<VkPhysicalDevice> physical_devices(VkInstance instance) {
  uint32_t count = 0;
  vkEnumeratePhysicalDevices(instance, &count, nullptr);
  std::vector<VkPhysicalDevice> devices(count);
  vkEnumeratePhysicalDevices(instance, &count, devices.data());
  devices.resize(count);
  return devices;
}

bool has_layer(const char* name) {
  uint32_t count = 0;
  vkEnumerateInstanceLayerProperties(&count, nullptr);
  std::vector<VkLayerProperties> layers(count);
  vkEnumerateInstanceLayerProperties(&count, layers.data());
  return std::ranges::any_of(layers, [&](const auto& layer) { return std::strcmp(layer.layerName, name) == 0; });
}

std::string component_name(VkComponentTypeKHR type) {
  switch (type) {
    case VK_COMPONENT_TYPE_FLOAT16_KHR:
      return "f16";
    case VK_COMPONENT_TYPE_FLOAT32_KHR:
      return "f32";
    case VK_COMPONENT_TYPE_SINT8_KHR:
      return "i8";
    case VK_COMPONENT_TYPE_SINT32_KHR:
      return "i32";
    case VK_COMPONENT_TYPE_UINT8_KHR:
      return "u8";
    case VK_COMPONENT_TYPE_UINT32_KHR:
      return "u32";
    default:
      // VK_COMPONENT_TYPE_BFLOAT16_KHR, younger than the headers that hearth asks for.
      if (static_cast<int>(type) == 1000141000) return "bf16";
      return fmt::format("type {}", static_cast<int>(type));
  }
}

std::vector<CooperativeMatrixShape> cooperative_matrix_shapes(VkPhysicalDevice physical) {
  if (vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR == nullptr) return {};
  uint32_t count = 0;
  vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR(physical, &count, nullptr);
  std::vector<VkCooperativeMatrixPropertiesKHR> found(count, {VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR});
  vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR(physical, &count, found.data());
  std::vector<CooperativeMatrixShape> shapes;
  for (const auto& p : found) {
    if (p.scope != VK_SCOPE_SUBGROUP_KHR || p.AType != p.BType || p.saturatingAccumulation) continue;
    shapes.push_back({p.MSize, p.NSize, p.KSize, component_name(p.AType), component_name(p.ResultType)});
  }
  return shapes;
}

/// The structures through which a device's features are asked for and switched on, in one chain.
struct FeatureChain {
  VkPhysicalDeviceFeatures2 core = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2};
  VkPhysicalDeviceVulkan11Features v11 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES};
  VkPhysicalDeviceVulkan12Features v12 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES};
  VkPhysicalDeviceVulkan13Features v13 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES};
  VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix = {
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR};
  VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executables = {
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR};

  FeatureChain(bool has_matrix, bool has_executables) {
    core.pNext = &v11;
    v11.pNext = &v12;
    v12.pNext = &v13;
    void** tail = &v13.pNext;
    if (has_matrix) {
      *tail = &matrix;
      tail = &matrix.pNext;
    }
    if (has_executables) *tail = &executables;
  }
  FeatureChain(const FeatureChain&) = delete;
};

}  // namespace

std::unexpected<Error> fail_vulkan(VkResult result, const std::string& what) {
  switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
    case VK_ERROR_TOO_MANY_OBJECTS:
      return fail(ErrorCode::out_of_memory, fmt::format("{}: the device has no memory left", what),
                  "use a smaller model, a shorter context or fewer sequences");
    case VK_ERROR_DEVICE_LOST:
      return fail(ErrorCode::device_lost, fmt::format("{}: the device was lost", what),
                  "the kernel's log names the reason; start again");
    default:
      return fail(ErrorCode::internal, fmt::format("{}: Vulkan error {}", what, static_cast<int>(result)));
  }
}

Result<std::unique_ptr<Gpu>> Gpu::open(const GpuOptions& options) {
  std::unique_ptr<Gpu> gpu(new Gpu());
  if (auto made = gpu->create_instance(options.validation); !made) return pass_on(made);
  if (auto chosen = gpu->choose_device(options.index); !chosen) return pass_on(chosen);
  if (auto made = gpu->create_device(); !made) return pass_on(made);
  return gpu;
}

std::vector<std::string> Gpu::list() {
  Gpu gpu;
  std::vector<std::string> names;
  if (!gpu.create_instance(false)) return names;
  for (VkPhysicalDevice physical : physical_devices(gpu.instance_)) {
    VkPhysicalDeviceProperties properties;
    vkGetPhysicalDeviceProperties(physical, &properties);
    names.emplace_back(properties.deviceName);
  }
  return names;
}

Gpu::~Gpu() {
  if (device_ != VK_NULL_HANDLE) {
    if (!properties_.compiles_only) table_.vkDeviceWaitIdle(device_);
    table_.vkDestroyDevice(device_, nullptr);
  }
  if (messenger_ != VK_NULL_HANDLE) vkDestroyDebugUtilsMessengerEXT(instance_, messenger_, nullptr);
  if (instance_ != VK_NULL_HANDLE) vkDestroyInstance(instance_, nullptr);
}

Result<void> Gpu::create_instance(bool validation) {
  if (!load_vulkan()) {
    return fail(ErrorCode::unsupported, "there is no Vulkan loader (libvulkan.so.1) on this machine",
                "install it (Debian: libvulkan1), or use --device cpu");
  }
  if (volkGetInstanceVersion() < VK_API_VERSION_1_3) {
    return fail(ErrorCode::unsupported, "the Vulkan loader is older than 1.3", "update it, or use --device cpu");
  }
  if (validation && !has_layer(kValidationLayer)) {
    return fail(ErrorCode::unsupported, "the Vulkan validation layer is not installed");
  }
  const VkApplicationInfo application = {
      .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .pApplicationName = "hearth", .apiVersion = VK_API_VERSION_1_3};
  const std::array enabled = {VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
  const VkValidationFeaturesEXT features = {.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
                                            .enabledValidationFeatureCount = enabled.size(),
                                            .pEnabledValidationFeatures = enabled.data()};
  const char* extension = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
  const VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                     .pNext = validation ? &features : nullptr,
                                     .pApplicationInfo = &application,
                                     .enabledLayerCount = validation ? 1U : 0U,
                                     .ppEnabledLayerNames = &kValidationLayer,
                                     .enabledExtensionCount = validation ? 1U : 0U,
                                     .ppEnabledExtensionNames = &extension};
  if (const VkResult made = vkCreateInstance(&info, nullptr, &instance_); made != VK_SUCCESS) {
    return fail(ErrorCode::unsupported,
                fmt::format("the Vulkan loader finds no usable driver (error {})", static_cast<int>(made)),
                "install a driver (Debian: mesa-vulkan-drivers), or use --device cpu");
  }
  volkLoadInstanceOnly(instance_);
  if (!validation) return {};
  const VkDebugUtilsMessengerCreateInfoEXT messenger = {
      .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
      .messageSeverity =
          VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
      .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT,
      .pfnUserCallback = count_message,
      .pUserData = &messages_};
  vkCreateDebugUtilsMessengerEXT(instance_, &messenger, nullptr, &messenger_);
  return {};
}

Result<void> Gpu::choose_device(uint32_t index) {
  const auto devices = physical_devices(instance_);
  if (index >= devices.size()) {
    return fail(ErrorCode::unsupported, fmt::format("there is no Vulkan device {}: {} found", index, devices.size()),
                "`hearth doctor` lists them; or use --device cpu");
  }
  physical_ = devices[index];
  vkGetPhysicalDeviceMemoryProperties(physical_, &memory_);

  uint32_t count = 0;
  vkEnumerateDeviceExtensionProperties(physical_, nullptr, &count, nullptr);
  std::vector<VkExtensionProperties> extensions(count);
  vkEnumerateDeviceExtensionProperties(physical_, nullptr, &count, extensions.data());
  for (const auto& extension : extensions) extensions_.emplace_back(extension.extensionName);
  read_properties();

  vkGetPhysicalDeviceQueueFamilyProperties(physical_, &count, nullptr);
  std::vector<VkQueueFamilyProperties> families(count);
  vkGetPhysicalDeviceQueueFamilyProperties(physical_, &count, families.data());
  const auto family =
      std::ranges::find_if(families, [](const auto& f) { return (f.queueFlags & VK_QUEUE_COMPUTE_BIT) != 0; });
  if (family == families.end()) {
    return fail(ErrorCode::unsupported, fmt::format("{} has no compute queue", properties_.name));
  }
  queue_family_ = static_cast<uint32_t>(family - families.begin());
  if (family->timestampValidBits == 0) properties_.timestamp_ns = 0;
  return {};
}

void Gpu::read_properties() {
  VkPhysicalDeviceVulkan11Properties v11 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES};
  VkPhysicalDeviceVulkan12Properties v12 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES, &v11};
  VkPhysicalDeviceVulkan13Properties v13 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES, &v12};
  VkPhysicalDeviceProperties2 core = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, &v13};
  vkGetPhysicalDeviceProperties2(physical_, &core);
  const VkPhysicalDeviceLimits& limits = core.properties.limits;
  const uint32_t api = core.properties.apiVersion;

  GpuProperties& p = properties_;
  p.name = core.properties.deviceName;
  p.driver = fmt::format("{} {}", v12.driverName, v12.driverInfo);
  p.api_version =
      fmt::format("{}.{}.{}", VK_API_VERSION_MAJOR(api), VK_API_VERSION_MINOR(api), VK_API_VERSION_PATCH(api));
  p.type = core.properties.deviceType;
  p.subgroup_min = v13.minSubgroupSize;
  p.subgroup_max = v13.maxSubgroupSize;
  // 32 lanes where the device can choose: RADV's own choice is 64, and more lanes than blocks in a row stand idle.
  p.subgroup_size = p.subgroup_min <= 32 && 32 <= p.subgroup_max ? 32 : v11.subgroupSize;
  p.shared_memory_bytes = limits.maxComputeSharedMemorySize;
  p.max_workgroup_threads = std::min({limits.maxComputeWorkGroupInvocations, limits.maxComputeWorkGroupSize[0],
                                      p.subgroup_size * v13.maxComputeWorkgroupSubgroups});
  p.max_push_constant_bytes = limits.maxPushConstantsSize;
  p.max_allocation_bytes = v11.maxMemoryAllocationSize;
  p.timestamp_ns = limits.timestampPeriod;
  p.dot_product_accelerated = v13.integerDotProduct4x8BitPackedSignedAccelerated != 0;
  const auto has = [&](const char* name) { return std::ranges::find(extensions_, name) != extensions_.end(); };
  p.compiles_only = memory_.memoryHeapCount == 0;
  p.memory_budget = has(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME) && !p.compiles_only;
  p.executable_properties = has(VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME);
  p.cooperative_matrix2 = has(VK_NV_COOPERATIVE_MATRIX_2_EXTENSION_NAME);
  if (has(VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME)) p.cooperative_matrices = cooperative_matrix_shapes(physical_);

  // Mapped device memory counts as the device's only memory when it is more than the old 256 MiB window.
  uint64_t largest_local = 0, largest_mapped = 0;
  for (uint32_t i = 0; i < memory_.memoryTypeCount; ++i) {
    const auto& type = memory_.memoryTypes[i];
    if ((type.propertyFlags & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT) == 0) continue;
    const uint64_t size = memory_.memoryHeaps[type.heapIndex].size;
    largest_local = std::max(largest_local, size);
    if ((type.propertyFlags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) != 0)
      largest_mapped = std::max(largest_mapped, size);
  }
  p.one_memory = largest_local > 0 && largest_mapped == largest_local;
}

Result<void> Gpu::create_device() {
  GpuProperties& p = properties_;
  FeatureChain found(!p.cooperative_matrices.empty(), p.executable_properties);
  vkGetPhysicalDeviceFeatures2(physical_, &found.core);

  const auto missing = [&](const char* what) {
    return fail(ErrorCode::unsupported, fmt::format("{} ({}) lacks {}, which hearth needs", p.name, p.driver, what),
                "update its driver, or use --device cpu");
  };
  if (!found.v12.bufferDeviceAddress) return missing("buffer device addresses");
  if (!found.v12.vulkanMemoryModel) return missing("the Vulkan memory model");
  if (!found.v13.synchronization2) return missing("synchronization2");
  if (!found.v13.shaderIntegerDotProduct) return missing("integer dot products");
  if (!found.v13.subgroupSizeControl || !found.v13.computeFullSubgroups) return missing("subgroup size control");

  FeatureChain wanted(!p.cooperative_matrices.empty(), p.executable_properties);
  wanted.core.features.shaderInt16 = found.core.features.shaderInt16;
  wanted.v11.storageBuffer16BitAccess = found.v11.storageBuffer16BitAccess;
  wanted.v12.storageBuffer8BitAccess = found.v12.storageBuffer8BitAccess;
  wanted.v12.shaderFloat16 = found.v12.shaderFloat16;
  wanted.v12.shaderInt8 = found.v12.shaderInt8;
  wanted.v12.bufferDeviceAddress = VK_TRUE;
  wanted.v12.vulkanMemoryModel = VK_TRUE;
  wanted.v12.vulkanMemoryModelDeviceScope = found.v12.vulkanMemoryModelDeviceScope;
  wanted.v13.synchronization2 = VK_TRUE;
  wanted.v13.shaderIntegerDotProduct = VK_TRUE;
  wanted.v13.subgroupSizeControl = VK_TRUE;
  wanted.v13.computeFullSubgroups = VK_TRUE;
  wanted.v13.maintenance4 = found.v13.maintenance4;
  wanted.matrix.cooperativeMatrix = found.matrix.cooperativeMatrix;
  wanted.executables.pipelineExecutableInfo = found.executables.pipelineExecutableInfo;
  p.storage_16bit = found.v11.storageBuffer16BitAccess;
  p.storage_8bit = found.v12.storageBuffer8BitAccess;
  p.float16 = found.v12.shaderFloat16;
  p.int8 = found.v12.shaderInt8;
  p.executable_properties = p.executable_properties && found.executables.pipelineExecutableInfo;
  if (!found.matrix.cooperativeMatrix) p.cooperative_matrices.clear();

  std::vector<const char*> extensions;
  if (p.memory_budget) extensions.push_back(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  if (p.executable_properties) extensions.push_back(VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME);
  if (!p.cooperative_matrices.empty()) extensions.push_back(VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);

  const float priority = 1.0F;
  const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                         .queueFamilyIndex = queue_family_,
                                         .queueCount = 1,
                                         .pQueuePriorities = &priority};
  const VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                   .pNext = &wanted.core,
                                   .queueCreateInfoCount = 1,
                                   .pQueueCreateInfos = &queue,
                                   .enabledExtensionCount = static_cast<uint32_t>(extensions.size()),
                                   .ppEnabledExtensionNames = extensions.data()};
  if (const VkResult made = vkCreateDevice(physical_, &info, nullptr, &device_); made != VK_SUCCESS) {
    return fail_vulkan(made, fmt::format("opening {}", p.name));
  }
  volkLoadDeviceTable(&table_, device_);
  table_.vkGetDeviceQueue(device_, queue_family_, 0, &queue_);
  return {};
}

uint64_t Gpu::available_bytes(uint32_t heap) const {
  if (!properties_.memory_budget) return memory_.memoryHeaps[heap].size;
  VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
  VkPhysicalDeviceMemoryProperties2 properties = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2, &budget};
  vkGetPhysicalDeviceMemoryProperties2(physical_, &properties);
  return budget.heapBudget[heap] > budget.heapUsage[heap] ? budget.heapBudget[heap] - budget.heapUsage[heap] : 0;
}

Result<void> Gpu::submit(VkCommandBuffer commands, VkFence fence) {
  const VkCommandBufferSubmitInfo buffer = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO,
                                            .commandBuffer = commands};
  const VkSubmitInfo2 info = {
      .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2, .commandBufferInfoCount = 1, .pCommandBufferInfos = &buffer};
  const std::scoped_lock lock(queue_mutex_);
  const VkResult submitted = table_.vkQueueSubmit2(queue_, 1, &info, fence);
  if (submitted != VK_SUCCESS) return fail_vulkan(submitted, "submitting work");
  ++submits_;
  return {};
}

}  // namespace hearth::vulkan
