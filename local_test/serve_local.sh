#!/usr/bin/env bash
# Serve test_dir/model, read-only as on an endpoint, on http://127.0.0.1:8080 until Ctrl-C.
#
#   local_test/serve_local.sh IMAGE               (environment: PORT, SAGEMAKER_INFERENCE_OUTPUT)
set -euo pipefail
if [[ ${1:-} == -* ]]; then
  sed -n '2,4s/^# \{0,1\}//p' "$0"
  [[ $1 == --help ]]
  exit
fi
cd "$(dirname "$0")"
if (($# != 1)); then
  sed -n '2,4s/^# \{0,1\}//p' serve_local.sh >&2
  exit 2
fi

if [[ ! -e test_dir/model/model.json ]]; then
  echo "test_dir/model holds no model: run local_test/train_local.sh $1 first" >&2
  exit 1
fi
exec docker run --rm --publish "127.0.0.1:${PORT:-8080}:8080" --env SAGEMAKER_INFERENCE_OUTPUT \
  --mount "type=bind,source=$PWD/test_dir/model,target=/opt/ml/model,readonly" "$1" serve
