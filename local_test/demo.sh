#!/usr/bin/env bash
# Train on the sample data, serve the model, send it payload.csv, print the predictions with their standard deviations, stop.
#
#   local_test/demo.sh                    in containers where a Docker engine answers, otherwise in a virtualenv
#   local_test/demo.sh --without-docker   in a virtualenv (local_test/.venv)
#
# Everything happens on a temporary copy of test_dir, and nothing is left running.
set -euo pipefail
cd "$(dirname "$0")"

image=gaussian-processes
attributes='X-Amzn-SageMaker-Custom-Attributes: output=mean,std'
folder='' container='' server='' step='' remedy=''

# Say which step begins, and remember what to do should it fail.
begin() {
  step=$1 remedy=$2
  printf '\n== %s\n' "$step"
}

# Stop what was started, remove the copy; after a failure, name the step and the remedy.
finish() {
  local status=$?
  trap - EXIT
  if ((status != 0)) && [[ -n $step ]]; then
    [[ -z $container ]] || docker logs "$container" >&2 || true
    [[ -z $server ]] || cat "$folder/serve.log" >&2
    printf '\ndemo.sh: this step failed: %s; %s\n' "$step" "$remedy" >&2
  fi
  if [[ -n $container ]]; then
    docker rm --force "$container" >/dev/null || true
  fi
  if [[ -n $server ]]; then
    kill "$server" 2>/dev/null || true
    wait "$server" || true
  fi
  rm -rf "$folder"
  exit "$status"
}

# A virtualenv as the lock file says, made anew when that changes, or the sources in C and Cython do.
install() {
  local python stale
  # Newer than the last installation; if there was none, `find` says so.
  stale=$(find ../gaussian_processes/_native \( -name '*.[ch]' -o -name '*.pyx' \) -newer .venv/requirements.lock 2>&1 || true)
  if ! cmp -s ../requirements.lock .venv/requirements.lock || [[ -n $stale ]] ||
    ! .venv/bin/python -c 'import gaussian_processes.gp.kernels' 2>/dev/null; then
    python=$(./find_python.sh)
    if ! command -v cc >/dev/null; then
      echo 'demo.sh: without a C compiler everything is slower; on Debian: apt-get install gcc libc6-dev python3-dev' >&2
    fi
    rm -rf .venv
    "$python" -m venv .venv
    .venv/bin/python -m pip install --disable-pip-version-check --require-hashes --requirement ../requirements.lock
    .venv/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --editable ..
    cp ../requirements.lock .venv/
  fi
}

free_port() {
  .venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Wait until the model answers, a minute at most; give up at once if its process is gone.
wait_for_ping() {
  local attempt
  for ((attempt = 0; attempt < 300; attempt++)); do
    if curl --silent --fail --noproxy '*' --max-time 2 --output /dev/null "http://127.0.0.1:$port/ping"; then
      return
    elif [[ -n $server ]]; then
      kill -0 "$server" 2>/dev/null || return 1
    else
      [[ $(docker inspect --format '{{.State.Running}}' "$container") == true ]] || return 1
    fi
    sleep 0.2
  done
  return 1
}

if [[ ${1:-} == --help ]]; then
  sed -n '2,7s/^# \{0,1\}//p' demo.sh
  exit
fi
if (($# > 1)) || [[ ${1:---without-docker} != --without-docker ]]; then
  sed -n '2,7s/^# \{0,1\}//p' demo.sh >&2
  exit 2
fi
if ! command -v curl >/dev/null; then
  echo 'demo.sh: curl is needed to ask for predictions; on Debian: apt-get install curl' >&2
  exit 1
fi

trap finish EXIT
trap 'step=""; exit 130' INT # Ctrl-C is no failure
folder=$(mktemp -d)
cp -R test_dir/input "$folder/"

if [[ ${1:-} != --without-docker ]] && docker version >/dev/null 2>&1; then
  echo 'With Docker: an engine answers, so the image is built and run.'
  begin '1 of 4: build the image' 'the build needs PyPI and Debian packages; without them, try local_test/demo.sh --without-docker'
  docker build --tag "$image" ..
  begin "2 of 4: train on $(wc -l <test_dir/input/data/train/diabetes.csv) rows" 'the reason is above'
  ./train_local.sh "$image" "$folder"
  begin '3 of 4: serve the model' 'its log is above'
  # The engine picks a port that is free.
  # It has its name before it exists, so that Ctrl-C removes it whenever it comes.
  container=$image-demo-$$
  docker run --detach --name "$container" --publish 127.0.0.1::8080 \
    --mount "type=bind,source=$folder/model,target=/opt/ml/model,readonly" "$image" serve >/dev/null
  port=$(docker port "$container" 8080/tcp | sed -n '1s/.*://p')
else
  echo 'Without Docker: the same programs run in the virtualenv local_test/.venv.'
  begin '1 of 4: make the virtualenv' 'it needs Python 3.11 or newer and PyPI; the reason is above'
  install
  begin "2 of 4: train on $(wc -l <test_dir/input/data/train/diabetes.csv) rows" 'the reason is above'
  SAGEMAKER_BASE_DIR="$folder" .venv/bin/train
  begin '3 of 4: serve the model' 'its log is above'
  port=$(free_port)
  SAGEMAKER_BASE_DIR="$folder" SAGEMAKER_BIND_TO_PORT="$port" .venv/bin/serve >"$folder/serve.log" 2>&1 &
  server=$!
fi
wait_for_ping
echo "the model answers on http://127.0.0.1:$port/ping"

begin '4 of 4: ask for predictions of payload.csv' 'the answer is above'
PORT="$port" ./predict.sh payload.csv text/csv --header "$attributes" >"$folder/predictions.csv" || {
  cat "$folder/predictions.csv"
  exit 1
}
printf '%12s %20s %10s\n' prediction 'standard deviation' measured
# The rows of payload.csv are the first of the validation file, where what was measured stands in front.
paste -d , "$folder/predictions.csv" <(cut -d , -f 1 test_dir/input/data/validation/diabetes.csv) | head -n "$(wc -l <payload.csv)" |
  awk -F , '{ printf "%12.1f %20.1f %10.0f\n", $1, $2, $3 }'
