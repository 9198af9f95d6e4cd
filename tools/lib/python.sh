# shellcheck shell=bash disable=SC2154
# The private Python environment in the cache folder, with pinned packages. Sourced by tools/setup.

# ensure_python REQUIREMENTS: the environment exists and holds what the file names, and nothing that it does not name.
ensure_python() {
  local requirements=$1 venv=$cache/venv stamp
  stamp=$venv/.installed-$(cat "$root/tools/requirements.txt" "$requirements" | sha256sum | cut -c 1-16)
  if [ -e "$stamp" ] && "$venv/bin/python" -c pass 2>/dev/null; then return 0; fi
  have python3 || die "needs python3 (>= 3.11) with its venv module; install it and run this again"
  "$venv/bin/python" -m pip --version >/dev/null 2>&1 ||
    logged "making a private Python environment" python3 -m venv --clear "$venv" ||
    die "python3 cannot make an environment; install its venv module (python3-venv) and run this again"
  logged "installing Python packages into it" "$venv/bin/python" -m pip install --disable-pip-version-check --no-deps -r "$requirements" ||
    die "pip could not install $requirements into $venv; run this again when the network answers"
  touch "$stamp"
}
