#!/usr/bin/env bash
# Makes the Python environment of the benchmarks in the cache folder: the peer, llama.cpp through llama-cpp-python,
# built from its source for this very CPU (10 minutes on 2 cores), and what bench/requirements.txt names besides. Ends
# at once when that is already there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../tools/lib/common.sh"

venv=$cache/peer
requirements=$here/requirements.txt
stamp=$venv/.installed-$(sha256sum "$requirements" | cut -c 1-16)

take_lock
if [ -e "$stamp" ] && "$venv/bin/python" -c 'import llama_cpp' 2>/dev/null; then exit 0; fi
have python3 || die "needs python3 (>= 3.11) with its venv module; install it and run this again"
have cc || die "needs a C and C++ compiler to build the peer; tools/setup installs one"
"$venv/bin/python" -m pip --version >/dev/null 2>&1 ||
  logged "making the benchmarks' Python environment" python3 -m venv --clear "$venv" ||
  die "python3 cannot make an environment; install its venv module (python3-venv) and run this again"

# The peer as its authors build it: no flags of ours, so the instruction set is this machine's. From source, because
# finished packages are built for older CPUs.
unset CMAKE_ARGS CFLAGS CXXFLAGS
logged "building the peer and installing the benchmarks' packages" \
  "$venv/bin/python" -m pip install --disable-pip-version-check --no-binary llama_cpp_python -r "$requirements" ||
  die "pip could not install $requirements into $venv; run this again when the network answers"
touch "$stamp"
say "the benchmarks' Python is $venv/bin/python (bench/python starts it)"
