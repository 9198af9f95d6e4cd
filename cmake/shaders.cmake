# Whether this build has a Vulkan device, and how its shaders become C++.
#
# HEARTH_VULKAN is ON when volk, Vulkan headers >= 1.4.300 and glslang >= 15.2 are there: the system's own, or those that
# tools/setup unpacked into the cache folder. Without them hearth is built for the CPU only.

if(DEFINED ENV{HEARTH_CACHE})
  set(HEARTH_VULKAN_TOOLS $ENV{HEARTH_CACHE}/tools/vulkan)
else()
  set(HEARTH_VULKAN_TOOLS $ENV{HOME}/.cache/hearth/tools/vulkan)
endif()

find_program(HEARTH_GLSLANG glslang HINTS ${HEARTH_VULKAN_TOOLS}/bin)
find_path(HEARTH_VULKAN_HEADERS NAMES volk.h HINTS ${HEARTH_VULKAN_TOOLS}/include)

# Sets `result` to an empty string when a Vulkan device can be built, otherwise to what is missing.
function(hearth_vulkan_obstacle result)
  if(NOT HEARTH_GLSLANG)
    set(${result} "no glslang" PARENT_SCOPE)
    return()
  endif()
  execute_process(COMMAND ${HEARTH_GLSLANG} --version OUTPUT_VARIABLE text ERROR_QUIET)
  string(REGEX MATCH "Glslang Version: [0-9]+:([0-9.]+)" unused "${text}")
  if(NOT CMAKE_MATCH_1 OR CMAKE_MATCH_1 VERSION_LESS 15.2)
    set(${result} "glslang ${CMAKE_MATCH_1} is older than 15.2" PARENT_SCOPE)
    return()
  endif()
  if(NOT HEARTH_VULKAN_HEADERS)
    set(${result} "no volk.h" PARENT_SCOPE)
    return()
  endif()
  file(STRINGS ${HEARTH_VULKAN_HEADERS}/vulkan/vulkan_core.h lines REGEX "define VK_HEADER_VERSION(_COMPLETE)? ")
  string(REGEX MATCH "VK_HEADER_VERSION ([0-9]+)" unused "${lines}")
  set(patch "${CMAKE_MATCH_1}")
  string(REGEX MATCH "VK_MAKE_API_VERSION\\(0, *([0-9]+), *([0-9]+)" unused "${lines}")
  set(version "${CMAKE_MATCH_1}.${CMAKE_MATCH_2}.${patch}")
  if(version VERSION_LESS 1.4.300)
    set(${result} "Vulkan headers ${version} are older than 1.4.300" PARENT_SCOPE)
    return()
  endif()
  set(${result} "" PARENT_SCOPE)
endfunction()

hearth_vulkan_obstacle(obstacle)
if(obstacle)
  option(HEARTH_VULKAN "Build the Vulkan device" OFF)
  message(STATUS "Vulkan device: not built (${obstacle}); tools/setup brings what is missing on Debian 12")
else()
  option(HEARTH_VULKAN "Build the Vulkan device" ON)
  message(STATUS "Vulkan device: ${HEARTH_VULKAN} (${HEARTH_GLSLANG})")
endif()

# hearth_shaders(target folder): compiles every folder/*.comp to SPIR-V, as <shaders/name.h> with `name_spirv`, an array of
# 32-bit words. Include files may be changed freely: the compiler's list of dependencies is used.
function(hearth_shaders target folder)
  set(out ${CMAKE_CURRENT_BINARY_DIR}/generated/shaders)
  file(MAKE_DIRECTORY ${out})
  file(GLOB shaders CONFIGURE_DEPENDS ${folder}/*.comp)
  set(headers)
  foreach(shader IN LISTS shaders)
    get_filename_component(name ${shader} NAME_WE)
    add_custom_command(
      OUTPUT ${out}/${name}.h
      COMMAND ${HEARTH_GLSLANG} --quiet -V --target-env vulkan1.3 --vn ${name}_spirv --depfile ${out}/${name}.d
              -o ${out}/${name}.h ${shader}
      DEPENDS ${shader}
      DEPFILE ${out}/${name}.d
      COMMENT "Compiling shader ${name}"
      VERBATIM)
    list(APPEND headers ${out}/${name}.h)
  endforeach()
  target_sources(${target} PRIVATE ${headers})
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/generated)
endfunction()
