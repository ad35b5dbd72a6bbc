#!/usr/bin/env bash
# Print a Python that can run the project, or say in one sentence which is needed.
set -euo pipefail
cd "$(dirname "$0")"

for name in python3 python3.14 python3.13 python3.12 python3.11; do
  # Debian keeps ensurepip, without which a virtualenv has no pip, in a package of its own.
  if "$name" -c 'import ensurepip, sys, venv; assert sys.version_info >= (3, 11); print(sys.executable)' 2>/dev/null; then
    exit
  fi
done
found=$(python3 --version 2>&1) || found='no python3'
echo "Python 3.11 or newer with its venv module is needed, not $found; on Debian: apt-get install python3-venv" >&2
exit 1
