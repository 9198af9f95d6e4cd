# shellcheck shell=bash disable=SC2034
# What every script of tools/ shares: where things are, how they speak, how they become root. Sourced, never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${HEARTH_CACHE:=${HOME:?set HOME or HEARTH_CACHE}/.cache/hearth}"
export HEARTH_CACHE
cache=$HEARTH_CACHE

say() { printf 'hearth: %s\n' "$*" >&2; }
die() {
  printf 'hearth: error: %s\n' "$*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# Whether version $1 is at least $2 (1.96.0 is at least 1.87).
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# Runs a command with its output in a log; on failure shows the log's end. $1 says what is being done.
logged() {
  local what=$1 start=$SECONDS log=$cache/logs/${1//[^a-zA-Z0-9]/-}.log
  shift
  mkdir -p "$cache/logs"
  say "$what ..."
  if ! "$@" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    say "failed: $what; the whole log is $log"
    return 1
  fi
  say "$what: done in $((SECONDS - start)) s"
}

# Whether this script can become root: it is, or sudo asks for nothing, or somebody is there to answer sudo.
can_become_root() { [ "$(id -u)" = 0 ] || { have sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; }; }

# need_root COMMAND: ends the script, naming the command to type, when it cannot become root.
need_root() { can_become_root || die "this needs root, and there is no sudo that works without asking; as root: $*"; }

# Runs a command as root, after need_root.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# One set-up at a time for each cache folder; a second one waits.
take_lock() {
  mkdir -p "$cache"
  exec 9>"$cache/setup.lock"
  have flock || return 0
  flock -n 9 && return 0
  say "waiting for another set-up that is using $cache"
  flock 9
}
