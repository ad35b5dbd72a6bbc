#!/usr/bin/env bash
# Drive the image with the real SageMaker SDKs, each in a virtualenv of its own (.venv-sdk2, .venv-sdk3).
#
#   tests/sdk.sh [ARGUMENT_OF_PYTEST...]
set -euo pipefail
cd "$(dirname "$0")/.."

python=$(local_test/find_python.sh)
for extra in sdk2 sdk3; do
  if ! cmp -s pyproject.toml ".venv-$extra/pyproject.toml" || ! ".venv-$extra/bin/python" -c ''; then
    echo "making a virtualenv of the extra $extra"
    rm -rf ".venv-$extra"
    "$python" -m venv ".venv-$extra"
    # The extra without the package: what drives a container has nothing of what is in it.
    mapfile -t requirements < <("$python" -c "import sys, tomllib
print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies'][sys.argv[1]], sep='\n')" "$extra")
    ".venv-$extra/bin/python" -m pip install --disable-pip-version-check --quiet \
      "${requirements[@]}" hypothesis pytest requests
    cp pyproject.toml ".venv-$extra/"
  fi
  # What the SDKs and their dependencies warn of is not ours.
  ".venv-$extra/bin/pytest" -p no:cacheprovider --override-ini filterwarnings=ignore "$@" "tests/container/test_$extra.py"
done
