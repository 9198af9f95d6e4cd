# shellcheck shell=bash disable=SC2154
# A software GPU newer than the system's, for tests: Mesa 26's lavapipe, which has cooperative matrices, and the
# validation layer. Sourced by tools/setup and tools/lavapipe.
#
# Both come from Debian 13 and its backports, with every library they need, and are only unpacked: tools/lavapipe starts a
# program through the unpacked loader. Nothing of it is installed; the folder can be deleted.

readonly lavapipe_packages=(mesa-vulkan-drivers/trixie-backports vulkan-validationlayers libvulkan1)
lavapipe_tools=$cache/tools/lavapipe

# Folder $1 as Debian's own layout has it: drivers and layers name their libraries relative to their manifests.
write_lavapipe_manifests() {
  local share=$1/usr/share/vulkan library
  find "$share/icd.d" -type f ! -name 'lvp_icd*.json' -delete
  library=$(cd "$1" && echo usr/lib/*/libvulkan_lvp.so)
  sed -i "s#\"library_path\": *\"[^\"]*\"#\"library_path\": \"../../../../$library\"#" "$share"/icd.d/lvp_icd*.json
  library=$(cd "$1" && echo usr/lib/*/libVkLayer_khronos_validation.so)
  sed -i "s#\"library_path\": *\"[^\"]*\"#\"library_path\": \"../../../../$library\"#" \
    "$share/explicit_layer.d/VkLayer_khronos_validation.json"
}

borrow_lavapipe() {
  local work=$lavapipe_tools.new package
  rm -rf "$work"
  mkdir -p "$work/apt" "$work/root"
  write_borrowing_apt "$work/apt" "$1" trixie trixie-backports
  apt-get -c "$work/apt/apt.conf" update
  apt-get -c "$work/apt/apt.conf" install --download-only -y --no-install-recommends "${lavapipe_packages[@]}"
  for package in "$work"/apt/cache/archives/*.deb; do dpkg -x "$package" "$work/root"; done
  # Of Mesa only lavapipe, and nothing that programs do not load.
  find "$work/root/usr/lib" -name 'libvulkan_*.so' ! -name libvulkan_lvp.so -delete
  find "$work/root/usr/share" -mindepth 1 -maxdepth 1 ! -name vulkan -exec rm -rf {} +
  rm -rf "$work/apt" "$work/root/etc" "$work/root/usr/lib"/*/gconv
  write_lavapipe_manifests "$work/root"
  rm -rf "$lavapipe_tools"
  mv "$work" "$lavapipe_tools"
}

install_lavapipe() {
  [ ! -d "$lavapipe_tools" ] || return 0
  local mirror=''
  ! have apt-get || mirror=$(debian_mirror)
  if [ -z "$mirror" ]; then
    say_once no-lavapipe "no Mesa 26 can be borrowed on this system: tests of cooperative matrices are skipped"
    return
  fi
  logged "unpacking Debian 13's software GPU and validation layer" borrow_lavapipe "$mirror" ||
    say "no Mesa 26 (it is taken from Debian 13 on the mirror of this machine's apt): tests of cooperative matrices are skipped"
}

# run_on_lavapipe PROGRAM ARGUMENTS...: replaces the shell by the program.
run_on_lavapipe() {
  local root=$lavapipe_tools/root loader
  loader=$(echo "$root"/usr/lib/*-linux-gnu/ld-linux-*.so.*)
  # The system's own layers are linked against another C library.
  export VK_DRIVER_FILES VK_LAYER_PATH=$root/usr/share/vulkan/explicit_layer.d VK_LOADER_LAYERS_DISABLE='~implicit~'
  VK_DRIVER_FILES=$(echo "$root"/usr/share/vulkan/icd.d/lvp_icd*.json)
  # What Mesa compiled, by shader and constants: nine tenths of the time that tests take on it. Kept for every build folder.
  export MESA_SHADER_CACHE_DIR=${MESA_SHADER_CACHE_DIR:-$cache}
  exec "$loader" --library-path "$(dirname "$loader")" "$@"
}
