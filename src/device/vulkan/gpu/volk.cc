// The one translation unit that holds the loader of Vulkan's functions.
#define VOLK_IMPLEMENTATION
#include <volk.h>
