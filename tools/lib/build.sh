# shellcheck shell=bash disable=SC2154
# Configuring and building the presets of CMakePresets.json. Sourced by tools/run, tools/test, tools/lint and others.

build_folder=$root/build/release

# As many compilers at once as there are cores, and 1.5 GB of memory for each.
build_jobs() {
  local cores memory_gb
  cores=$(nproc)
  memory_gb=$(awk '/^MemAvailable/ { print int($2 / 1e6) }' /proc/meminfo)
  local fitting=$((memory_gb * 2 / 3))
  if [ "$fitting" -lt 1 ]; then fitting=1; fi
  echo $((fitting < cores ? fitting : cores))
}

# configure_preset PRESET OPTION...: the options are cmake's.
configure_preset() {
  find_cargo || die "cargo is missing; run tools/setup"
  if [ ! -f "$root/build/$1/build.ninja" ]; then
    logged "configuring the build ($1)" env -C "$root" cmake --preset "$@" ||
      die "the build cannot be configured; README.md names what it needs"
  fi
}

# build_preset PRESET TARGET...
build_preset() {
  local preset=$1
  shift
  configure_preset "$preset"
  # The same sources in another clone are the same to the compiler cache.
  export CCACHE_BASEDIR=$root
  NINJA_STATUS='[%f of %t, %e s] ' ninja -C "$root/build/$preset" -j "$(build_jobs)" "$@" >&2 || die "the build failed"
}

configure() { configure_preset release; }
build() { build_preset release "$@"; }
