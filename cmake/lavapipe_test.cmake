# hearth_lavapipe_test(name program arguments...)
# Runs a test program a second time, on Mesa 26's lavapipe (cooperative matrices) with the validation layer and
# synchronisation validation on; any message is a failure. Skipped where tools/setup --tests could not bring that Mesa.
function(hearth_lavapipe_test name program)
  add_test(NAME ${name} COMMAND ${CMAKE_SOURCE_DIR}/tools/lavapipe $<TARGET_FILE:${program}> --gtest_brief=1 ${ARGN})
  set_tests_properties(${name} PROPERTIES
    SKIP_RETURN_CODE 77 TIMEOUT 900 FAIL_REGULAR_EXPRESSION "vulkan validation:"
    ENVIRONMENT "HEARTH_VULKAN_VALIDATION=1;HEARTH_VULKAN_REQUIRED=1;XDG_CACHE_HOME=${CMAKE_BINARY_DIR}/cache")
endfunction()
