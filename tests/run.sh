#!/usr/bin/env bash
# Run every test; first set up what they need: a virtualenv in .venv and, where root runs this on Debian, what that lacks.
#
#   tests/run.sh [ARGUMENT_OF_PYTEST...]
set -euo pipefail
cd "$(dirname "$0")/.."

# Elsewhere the tests that need nginx or a browser say so, and are skipped.
packages=()
for program in chromium curl git nginx; do
  command -v "$program" >/dev/null || packages+=("$program")
done
command -v cc >/dev/null || packages+=(gcc libc6-dev)
python=$(local_test/find_python.sh 2>/dev/null) || packages+=(python3-venv)
# The compiled routines need Python's headers, which Debian keeps in a package of its own.
headers=$("${python:-python3}" -c 'import sysconfig; print(sysconfig.get_path("include"))' 2>/dev/null) || true
[[ -e $headers/Python.h ]] || packages+=(python3-dev)
if ((${#packages[@]})) && ((EUID == 0)) && command -v apt-get >/dev/null; then
  echo "installing ${packages[*]}"
  apt-get update --quiet=2
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends "${packages[@]}" >/dev/null
fi
python=${python:-$(local_test/find_python.sh)}

# The virtualenv holds the image's versions, and what only tests need beside them.
if ! cmp -s requirements.lock .venv/requirements.lock || ! .venv/bin/python -c ''; then
  echo 'making a virtualenv of what the image holds'
  rm -rf .venv
  "$python" -m venv .venv
  .venv/bin/python -m pip install --disable-pip-version-check --quiet --require-hashes --requirement requirements.lock
  .venv/bin/python -m pip freeze --quiet >.venv/constraints
  cp requirements.lock .venv/
fi
# Older than a source, or not there at all: then `find` says so.
library=(gaussian_processes/_native/_routines*.so)
stale=$(find gaussian_processes/_native \( -name '*.[ch]' -o -name '*.pyx' \) -newer "${library[0]}" 2>&1 || true)
if ! cmp -s pyproject.toml .venv/pyproject.toml || [[ -n $stale ]]; then
  echo 'compiling, and adding what the tests need'
  .venv/bin/python -m pip install --disable-pip-version-check --quiet --constraint .venv/constraints --editable '.[test]'
  cp pyproject.toml .venv/
fi

# In as many processes as there are cores, a file in one of them; four at most, for the sake of containers. `-n 0` for a debugger.
exec .venv/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile "$@"
