# shellcheck shell=bash disable=SC2154
# A cargo that is new enough for the text layer's crates. Sourced by tools/setup, tools/run and tools/test.

readonly cargo_needed=1.87

cargo_version() { "$1/cargo" --version 2>/dev/null | awk '{ print $2 }'; }

# Puts the first folder whose cargo and rustc are new enough at the front of PATH.
find_cargo() {
  local folder
  for folder in "$(dirname "$(command -v cargo || echo /nowhere/cargo)")" "${CARGO_HOME:-$HOME/.cargo}/bin" /usr/lib/rust-1.*/bin; do
    if [ -x "$folder/cargo" ] && at_least "$(cargo_version "$folder")" "$cargo_needed"; then
      [ "$folder" = "$(dirname "$(command -v cargo || echo /nowhere/cargo)")" ] || PATH=$folder:$PATH
      return 0
    fi
  done
  return 1
}

# The apt packages that bring a new enough cargo: cargo-web in Debian's security archive, cargo-1.NN on Ubuntu.
cargo_packages() {
  local name version
  for name in cargo cargo-web $(apt-cache pkgnames cargo-1. | sort -rV | grep -xE 'cargo-1\.[0-9]+' || true); do
    version=$(LC_ALL=C apt-cache policy "$name" 2>/dev/null | sed -n 's/^  Candidate: \([0-9.]*\).*/\1/p')
    if [ -n "$version" ] && at_least "$version" "$cargo_needed"; then
      echo "$name ${name/cargo/rustc}"
      return
    fi
  done
}

install_cargo() {
  local packages=''
  ! find_cargo || return 0
  if have apt-get; then
    packages=$(cargo_packages)
    if [ -z "$packages" ] && can_become_root; then
      refresh_package_lists
      packages=$(cargo_packages)
    fi
  fi
  if [ -n "$packages" ]; then
    need_root "apt-get install $packages"
    say "no cargo >= $cargo_needed in PATH; it compiles the tokenizer and the chat templates"
    # shellcheck disable=SC2086
    apt_install "installing $packages with apt" $packages || true
  fi
  find_cargo || die "needs cargo >= $cargo_needed ($(cargo --version 2>/dev/null || echo 'none found')) and this system's" \
    "packages have none; install Rust through rustup (its site is rustup.rs), open a new shell, and run this again"
}
