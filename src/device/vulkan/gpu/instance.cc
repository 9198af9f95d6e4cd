#include "device/vulkan/gpu/instance.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>

namespace hearth::vulkan {
namespace {

constexpr const char* kValidationLayer = "VK_LAYER_KHRONOS_validation";

std::atomic<uint32_t> messages = 0;

VKAPI_ATTR VkBool32 VKAPI_CALL count_message(VkDebugUtilsMessageSeverityFlagBitsEXT, VkDebugUtilsMessageTypeFlagsEXT,
                                             const VkDebugUtilsMessengerCallbackDataEXT* data, void*) {
  // volk asks each device for all functions of its extensions; one of video encoding is the instance's, which the layer
  // notes on drivers that have it (NVIDIA). Nothing of hearth calls it.
  if (std::strstr(data->pMessage, "grab vkGetPhysicalDeviceVideoEncodeQualityLevelPropertiesKHR") != nullptr) {
    return VK_FALSE;
  }
  // The layer is only on where somebody debugs, who needs the text.
  std::fprintf(stderr, "vulkan validation: %s\n", data->pMessage);
  ++messages;
  return VK_FALSE;
}

bool has_layer(const char* name) {
  uint32_t count = 0;
  vkEnumerateInstanceLayerProperties(&count, nullptr);
  std::vector<VkLayerProperties> layers(count);
  vkEnumerateInstanceLayerProperties(&count, layers.data());
  return std::ranges::any_of(layers, [&](const auto& layer) { return std::strcmp(layer.layerName, name) == 0; });
}

}  // namespace

Result<const Instance*> Instance::get(bool validation) {
  static std::mutex mutex;
  static Instance* shared = nullptr;
  static bool has_validation = false;
  const std::scoped_lock lock(mutex);
  if (shared == nullptr || (validation && !has_validation)) {
    std::unique_ptr<Instance> made(new Instance());
    if (auto created = made->create(validation); !created) return pass_on(created);
    shared = made.release();
    has_validation = validation;
  }
  return shared;
}

uint32_t Instance::validation_messages() { return messages; }

std::vector<VkPhysicalDevice> Instance::devices() const {
  uint32_t count = 0;
  vkEnumeratePhysicalDevices(instance_, &count, nullptr);
  std::vector<VkPhysicalDevice> devices(count);
  vkEnumeratePhysicalDevices(instance_, &count, devices.data());
  devices.resize(count);
  return devices;
}

Result<void> Instance::create(bool validation) {
  static const bool loaded = volkInitialize() == VK_SUCCESS;
  if (!loaded) {
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
  if (validation) count_messages();
  return {};
}

void Instance::count_messages() {
  const VkDebugUtilsMessengerCreateInfoEXT info = {
      .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
      .messageSeverity =
          VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
      .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT,
      .pfnUserCallback = count_message};
  VkDebugUtilsMessengerEXT messenger = VK_NULL_HANDLE;  // lives as long as the instance
  vkCreateDebugUtilsMessengerEXT(instance_, &info, nullptr, &messenger);
}

}  // namespace hearth::vulkan
