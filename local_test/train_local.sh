#!/usr/bin/env bash
# Train on FOLDER/input as a SageMaker job would; the results replace FOLDER/model and FOLDER/output.
#
#   local_test/train_local.sh IMAGE [FOLDER]      (test_dir, unless a folder is given)
set -euo pipefail
if [[ ${1:-} == -* ]]; then
  sed -n '2,4s/^# \{0,1\}//p' "$0"
  [[ $1 == --help ]]
  exit
fi
if (($# < 1 || $# > 2)); then
  sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
image=$1
folder=$(cd "${2:-$(dirname "$0")/test_dir}" && pwd -P)
cd "$(dirname "$0")"

# What root writes to a mounted folder belongs to root. So the job writes to a volume, and its results are copied out of it.
container=train-local-$$
trap 'docker rm --force --volumes "$container" >/dev/null 2>&1' EXIT
docker create --name "$container" --volume /opt/ml --mount "type=bind,source=$folder/input,target=/opt/ml/input,readonly" \
  "$image" train >/dev/null

# Nothing else is deleted: a link is removed, not what it leads to. (macOS knows no long options of rm.)
rm -rf "$folder/model" "$folder/output"

status=0
docker start --attach "$container" || status=$?
for result in model output; do
  docker cp "$container:/opt/ml/$result" "$folder/" >/dev/null 2>&1 || mkdir "$folder/$result"
done
if ((status == 0)); then
  echo "the model is in $folder/model, scores and predictions in $folder/output/data"
else
  echo "training ended with exit code $status; the reason is above and in $folder/output/failure" >&2
fi
exit "$status"
