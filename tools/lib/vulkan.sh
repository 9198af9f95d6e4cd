# shellcheck shell=bash disable=SC2154
# The shader compiler, the Vulkan headers and Mesa. Without them hearth runs on the CPU only. Sourced by tools/setup.
#
# Debian 12's own are too old for cooperative matrices, so the compiler and the headers are taken from Debian 13 and only
# unpacked, with the C library that they were linked against, and started through that library's loader. Nothing of it is
# installed; the folder can be deleted. Mesa comes from Debian 12's backports.

readonly glslang_needed=15.2 vulkan_headers_needed=1.4.300 mesa_needed=24
readonly borrowed_packages=(glslang-tools spirv-tools libvulkan-dev libvulkan-volk-dev libc6 libstdc++6 libgcc-s1)
vulkan_tools=$cache/tools/vulkan

glslang_version() { "$1" --version 2>/dev/null | sed -n 's/^Glslang Version: [0-9]*:\([0-9.]*\).*/\1/p'; }

vulkan_headers_version() {
  local header=$1/vulkan/vulkan_core.h
  [ -f "$header" ] || return 0
  awk '$2 == "VK_HEADER_VERSION" { patch = $3 }
       $2 == "VK_HEADER_VERSION_COMPLETE" { split($0, part, /[(),]/); version = part[3] "." part[4] }
       END { gsub(/ /, "", version); print version "." patch }' "$header"
}

system_vulkan_tools_suffice() {
  at_least "$(glslang_version glslang)" "$glslang_needed" && have spirv-val &&
    at_least "$(vulkan_headers_version /usr/include)" "$vulkan_headers_needed" && [ -f /usr/include/volk.h ]
}

is_debian_12() { grep -qx 'ID=debian' /etc/os-release && grep -qx 'VERSION_ID="12"' /etc/os-release; }

# write_borrowing_apt FOLDER MIRROR SUITE...: an apt that knows only these suites and keeps all that it writes in FOLDER.
write_borrowing_apt() {
  local folder=$1 mirror=$2 keyring suite
  shift 2
  keyring=$(debian_keyring)
  mkdir -p "$folder/state/lists/partial" "$folder/cache/archives/partial"
  : >"$folder/status"
  for suite in "$@"; do echo "deb ${keyring:+[signed-by=$keyring] }$mirror $suite main"; done >"$folder/sources.list"
  cat >"$folder/apt.conf" <<EOF
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
#clear Acquire::IndexTargets::deb::DEP-11;
Dir::State "$folder/state";
Dir::State::status "$folder/status";
Dir::Cache "$folder/cache";
Dir::Etc::sourcelist "$folder/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Acquire::Languages "none";
APT::Sandbox::User "root";
EOF
}

borrow_vulkan_tools() {
  local work=$vulkan_tools.new package
  rm -rf "$work"
  mkdir -p "$work/apt" "$work/root"
  write_borrowing_apt "$work/apt" "$1" trixie
  apt-get -c "$work/apt/apt.conf" update
  (cd "$work" && apt-get -c "$work/apt/apt.conf" download "${borrowed_packages[@]}")
  for package in "$work"/*.deb; do dpkg -x "$package" "$work/root"; done
  rm -rf "$work/apt" "$work"/*.deb "$work/root/usr/share" "$work/root/etc" "$work/root/usr/lib"/*/gconv
  write_vulkan_wrappers "$work"
  rm -rf "$vulkan_tools"
  mv "$work" "$vulkan_tools"
}

# bin/glslang and the others: each starts the unpacked program with the unpacked C library, wherever the folder lies.
write_vulkan_wrappers() {
  local folder=$1 program
  mkdir "$folder/bin"
  ln -s root/usr/include "$folder/include"
  cat >"$folder/bin/glslang" <<'EOF'
#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/../root
loader=$(echo "$root"/usr/lib/*-linux-gnu/ld-linux-*.so.*)
exec "$loader" --library-path "$(dirname "$loader")" "$root/usr/bin/$(basename "$0")" "$@"
EOF
  chmod +x "$folder/bin/glslang"
  # Copies, not links: the wrapper starts the program of its own name.
  for program in spirv-val spirv-opt spirv-dis spirv-as; do cp "$folder/bin/glslang" "$folder/bin/$program"; done
}

install_vulkan_tools() {
  [ ! -x "$vulkan_tools/bin/glslang" ] || return 0
  ! system_vulkan_tools_suffice || return 0
  if ! is_debian_12; then
    say_once no-shader-compiler "no glslang >= $glslang_needed with Vulkan headers >= $vulkan_headers_needed on this system," \
      "and none that can be borrowed: hearth runs on the CPU here"
    return
  fi
  local mirror
  mirror=$(debian_mirror)
  if [ -z "$mirror" ] && can_become_root; then
    refresh_package_lists
    mirror=$(debian_mirror)
  fi
  if [ -z "$mirror" ] || ! logged "unpacking Debian 13's shader compiler" borrow_vulkan_tools "$mirror"; then
    say "no shader compiler (it is taken from Debian 13 on the mirror of this machine's apt): hearth runs on the CPU here"
  fi
}

# Mesa from backports: Debian 12's own does not know cooperative matrices. Only the source file is added to the system;
# packages of backports are never preferred by apt unless asked for by name.
install_mesa() {
  local source_file=/etc/apt/sources.list.d/hearth-backports.list suites mirror keyring
  is_debian_12 || return 0
  [ ! -e "$cache/setup/no-mesa" ] || return 0
  ! at_least "$(dpkg-query -W -f '${Version}' mesa-vulkan-drivers 2>/dev/null || echo 0)" "$mesa_needed" || return 0
  if ! can_become_root; then
    say_once mesa-needs-root "without root, Mesa >= $mesa_needed is not installed and the GPUs of AMD and Intel cannot be used"
    return
  fi
  refresh_package_lists
  # shellcheck disable=SC2016 # $(CODENAME) is apt's to expand
  suites=$(apt-get indextargets --format '$(CODENAME)' 'Created-By: Packages')
  if ! grep -qx bookworm-backports <<<"$suites"; then
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || return 0
    keyring=$(debian_keyring)
    say "adding Debian 12's backports for the GPU driver Mesa: $source_file (delete that file to take it back)"
    echo "deb ${keyring:+[signed-by=$keyring] }$mirror bookworm-backports main" | as_root tee "$source_file" >/dev/null
    logged "reading the backports' package list" as_root apt-get update || true
  fi
  apt_install "installing Mesa's Vulkan drivers from backports" mesa-vulkan-drivers/bookworm-backports && return 0
  mkdir -p "$cache/setup"
  touch "$cache/setup/no-mesa"
  say "going on without Mesa: the GPUs of AMD and Intel cannot be used (delete $cache/setup/no-mesa to try again)"
}

# Says something the first time only: set-up runs before every start.
say_once() {
  [ ! -e "$cache/setup/$1" ] || return 0
  mkdir -p "$cache/setup"
  touch "$cache/setup/$1"
  shift
  say "$*"
}

# Compiles and validates a compute shader that uses the extensions of hearth's kernels.
verify_vulkan_tools() {
  local bin='' headers=/usr/include folder
  if [ -x "$vulkan_tools/bin/glslang" ]; then
    bin=$vulkan_tools/bin/
    headers=$vulkan_tools/include
  fi
  folder=$(mktemp -d)
  if ! "${bin}glslang" --target-env vulkan1.3 -o "$folder/probe.spv" "$root/tools/probe.comp" >"$folder/log" 2>&1 ||
    ! "${bin}spirv-val" --target-env vulkan1.3 "$folder/probe.spv" >>"$folder/log" 2>&1; then
    cat "$folder/log" >&2
    die "the shader compiler does not work; delete $vulkan_tools and run tools/setup again"
  fi
  rm -rf "$folder"
  say "shader compiler: glslang $(glslang_version "${bin}glslang")," \
    "Vulkan headers $(vulkan_headers_version "$headers")"
}
