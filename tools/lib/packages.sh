# shellcheck shell=bash disable=SC2154
# The distribution's packages: which are needed here, which are missing, and installing them. Sourced by tools/setup.

# debian-12, ubuntu-24.04, fedora, arch: the name of the list in tools/packages that fits this system, or nothing.
package_list() {
  local ID='' VERSION_ID='' ID_LIKE='' name
  # shellcheck disable=SC1091
  . /etc/os-release
  for name in "$ID-$VERSION_ID" "$ID" $ID_LIKE; do
    if [ -f "$root/tools/packages/$name" ]; then
      echo "$name"
      return
    fi
  done
  # A relative of Debian that has no list of its own: the newest names are the likeliest.
  if have apt-get; then echo debian-13; fi
}

listed_packages() { sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$root/tools/packages/$1"; }

# The packages among the arguments that are not installed. Asks the package database once: this runs before every start.
missing_packages() {
  if have dpkg-query; then
    local installed
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p' || true)
    printf '%s\n' "$@" | grep -vxF "$installed" || true
  elif have rpm; then
    printf '%s\n' "$@" | while read -r name; do rpm -q --whatprovides "$name" >/dev/null 2>&1 || echo "$name"; done
  elif have pacman; then
    pacman -T "$@" || true
  else
    printf '%s\n' "$@"
  fi
}

refresh_package_lists() {
  [ -z "${package_lists_fresh:-}" ] || return 0
  logged "reading the package lists" as_root apt-get update ||
    say "some package sources did not answer; going on with what is known"
  package_lists_fresh=yes
}

# apt_install WHAT PACKAGE...
apt_install() {
  local what=$1
  shift
  logged "$what" as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y \
    --no-install-recommends --no-remove "$@"
}

# How a person of this system would install the packages.
install_command() {
  if have dnf; then
    echo "dnf install $*"
  elif have pacman; then
    echo "pacman -S --needed $*"
  else
    echo "apt-get install $*"
  fi
}

# Installs what is missing of a list in tools/packages, saying what and why.
install_listed() {
  local list=$1 names missing name
  mapfile -t names < <(listed_packages "$list")
  mapfile -t missing < <(missing_packages "${names[@]}")
  [ "${#missing[@]}" -gt 0 ] || return 0

  if ! have apt-get; then
    die "cannot install packages by itself on this system; as root: $(install_command "${missing[*]}")"
  fi
  say "missing here:"
  for name in "${missing[@]}"; do say "  $(grep -m 1 "^$name " "$root/tools/packages/$list" || echo "$name")"; done
  need_root "$(install_command "${missing[*]}")"
  refresh_package_lists
  apt_install "installing ${#missing[@]} packages with apt" "${missing[@]}" ||
    die "apt could not install them; as root: $(install_command "${missing[*]}")"
}

install_packages() {
  local list
  list=$(package_list)
  if [ -n "$list" ]; then
    install_listed "$list"
  else
    say "hearth has no package list for this system; if the build misses a library, README.md names them"
  fi
}

# Clang with libFuzzer, new enough for std::expected.
install_fuzzing() {
  local version
  version=$(clang++ --version 2>/dev/null | sed -n 's/.*clang version \([0-9]*\).*/\1/p' | head -n 1) || true
  if ! have apt-get && at_least "${version:-0}" 19; then return; fi
  install_listed fuzz
}

# The address from which this machine's apt takes Debian's main archive.
debian_mirror() {
  local codename
  codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  # shellcheck disable=SC2016 # $(ORIGIN) and the others are apt's to expand
  apt-get indextargets --format '$(ORIGIN)|$(CODENAME)|$(RELEASE)|$(COMPONENT)|$(REPO_URI)' 'Created-By: Packages' |
    awk -F'|' -v codename="$codename" \
      '$1 == "Debian" && ($2 == codename || $3 == codename) && $4 == "main" && $5 !~ /^cdrom/ && !found { print $5; found = 1 }'
}

debian_keyring() {
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  [ ! -f "$keyring" ] || echo "$keyring"
}
