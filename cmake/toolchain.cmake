# Compiler cache and fast linker where the machine has them, warnings, and the sanitizer presets.
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()
find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()

# Contraction would let the compiler fuse a*b+c differently in two places that must agree bit for bit.
add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wno-missing-field-initializers -ffp-contract=off)

option(HEARTH_FUZZ "Build the fuzzers (target fuzzers); needs clang 19 or later" OFF)
if(HEARTH_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang" OR CMAKE_CXX_COMPILER_VERSION VERSION_LESS 19)
    message(FATAL_ERROR "HEARTH_FUZZ needs libFuzzer, and std::expected with this library: set CMAKE_CXX_COMPILER to "
                        "clang 19 or later (make fuzz does)")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_custom_target(fuzzers)
endif()

set(HEARTH_SANITIZE "" CACHE STRING "Sanitizers to build with, such as address,undefined or thread")
if(HEARTH_SANITIZE)
  # What a sanitizer finds ends the test. The library's own checks of indices and iterators find more beside it.
  add_compile_options(-fsanitize=${HEARTH_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_compile_definitions(_GLIBCXX_ASSERTIONS)
  add_link_options(-fsanitize=${HEARTH_SANITIZE})
  # Stack traces need lines, not variables, and -O1 halves what a sanitizer costs the compiler.
  set(CMAKE_CXX_FLAGS_SANITIZED "-O1 -g1")
endif()
