include(GoogleTest)

# hearth_library(base USES tensor LINKS fmt::fmt)
# One folder is one static library hearth_<name> of all its .cc files, and one test program <name>_test of its *_test.cc.
# A subfolder with a CMakeLists.txt of its own is another library. Each fuzz_*.cc is a fuzzer, a program of its own, built
# with HEARTH_FUZZ only.
# USES names the folders of hearth that it may include; LINKS names other targets.
function(hearth_library name)
  cmake_parse_arguments(ARG "" "" "USES;LINKS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  file(GLOB_RECURSE nested ${CMAKE_CURRENT_SOURCE_DIR}/*/CMakeLists.txt)
  foreach(list_file IN LISTS nested)
    get_filename_component(folder ${list_file} DIRECTORY)
    list(FILTER sources EXCLUDE REGEX "^${folder}/")
  endforeach()
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  set(fuzzers ${sources})
  list(FILTER fuzzers INCLUDE REGEX "/fuzz_[^/]*\\.cc$")
  list(FILTER sources EXCLUDE REGEX "(_test|/main|/fuzz_[^/]*)\\.cc$")

  if(sources)
    add_library(hearth_${name} STATIC ${sources})
    set(scope PUBLIC)
  else()
    add_library(hearth_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(hearth_${name} ${scope} ${CMAKE_SOURCE_DIR}/src)
  list(TRANSFORM ARG_USES PREPEND hearth_)
  target_link_libraries(hearth_${name} ${scope} ${ARG_USES} ${ARG_LINKS})

  if(HEARTH_FUZZ)
    foreach(fuzzer IN LISTS fuzzers)
      get_filename_component(program ${fuzzer} NAME_WE)
      add_executable(${program} EXCLUDE_FROM_ALL ${fuzzer})
      target_link_libraries(${program} PRIVATE hearth_${name} hearth_testing)
      target_link_options(${program} PRIVATE -fsanitize=fuzzer)
      add_dependencies(fuzzers ${program})
    endforeach()
  endif()

  if(tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE hearth_${name} hearth_testing GTest::gmock GTest::gtest_main)
    # A limit for what hangs. Sanitizers make everything slower.
    set(timeout 600)
    if(HEARTH_SANITIZE)
      set(timeout 3600)
    endif()
    # What needs a GPU, which may be one that the processor plays, and what computes thousands of positions, is not quick.
    # One label, as a list of them is lost on the way; `-L unit` and `-L quick` both match it.
    set(slow "*ulkan*:*LongGolden*")
    if(name MATCHES vulkan)
      set(slow "*")
    endif()
    gtest_discover_tests(${name}_test DISCOVERY_MODE PRE_TEST TEST_FILTER "-${slow}"
                         PROPERTIES LABELS quick_unit TIMEOUT ${timeout})
    gtest_discover_tests(${name}_test DISCOVERY_MODE PRE_TEST TEST_FILTER "${slow}"
                         PROPERTIES LABELS unit TIMEOUT ${timeout})
  endif()
endfunction()
