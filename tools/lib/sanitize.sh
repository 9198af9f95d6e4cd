# shellcheck shell=bash disable=SC2154
# Building and running unit tests with sanitizers. Sourced by tools/sanitize and tools/test.

# sanitize PRESET TARGET...: builds the targets of a preset of CMakePresets.json and runs the unit tests among them.
sanitize() {
  local preset=$1 run=()
  shift
  build_preset "$preset" "$@"
  # ThreadSanitizer of g++ 12 cannot place its tables where addresses are drawn from a wider range than it knows.
  if setarch -R true 2>/dev/null; then run=(setarch -R); fi
  (cd "$root" && "${run[@]}" ctest --preset "$preset" -j "$(nproc)" ${TESTS:+-R "$TESTS"})
}
