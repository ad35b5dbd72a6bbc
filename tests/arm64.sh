#!/usr/bin/env bash
# Build a wheel for arm64 beside x86-64's, and compare what they predict: arm64's runs under qemu-user. Needs Docker, on
# x86-64, and some ten minutes, or one where its layers are built.
#
#   tests/arm64.sh [FOLDER]    copies both wheels into a folder
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
tag=gaussian-processes-arm64-wheels

docker build --progress=plain --tag "$tag" --file "$root/tests/arm64/Dockerfile" "$root"
if (($#)); then
  mkdir -p "$1"
  docker run --rm "$tag" tar --create --directory /wheels . | tar --extract --directory "$1"
fi
