#!/usr/bin/env bash
# Run the unit tests with the lowest versions that pyproject.toml claims, in a virtualenv of their own
# (.venv-lowest).
#
#   tests/lowest.sh [ARGUMENT_OF_PYTEST...]
set -euo pipefail
cd "$(dirname "$0")/.."

python=$(local_test/find_python.sh)
if ! cmp -s pyproject.toml .venv-lowest/pyproject.toml || ! .venv-lowest/bin/python -c ''; then
  echo 'making a virtualenv of the lowest versions'
  rm -rf .venv-lowest
  "$python" -m venv .venv-lowest
  "$python" tests/lowest_versions.py >.venv-lowest/constraints
  # Not editable: a compiled file in the checkout is built against the versions of .venv.
  .venv-lowest/bin/python -m pip install --disable-pip-version-check --quiet \
    --constraint .venv-lowest/constraints '.[parquet,sklearn,tuning]' hypothesis mpmath protobuf pytest pytest-xdist
  cp pyproject.toml .venv-lowest/
else
  .venv-lowest/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --force-reinstall .
fi

# What needs no AWS double, no linter and no engine. Not `python -m`, which would import the checkout.
exec .venv-lowest/bin/pytest --numprocesses auto --maxprocesses 4 --dist loadfile -p no:cacheprovider -m 'not slow' "$@" \
  tests/gp tests/linalg tests/model tests/data tests/sagemaker tests/training \
  tests/serving/formats tests/serving/test_worker.py \
  tests/tuning/strategies tests/tuning/test_space.py tests/test_estimators.py
