#!/usr/bin/env bash
# Send PAYLOAD to the model that serve_local.sh serves, and print the answer.
#
#   local_test/predict.sh PAYLOAD [CONTENT_TYPE [CURL_OPTION...]]     (text/csv; environment: PORT)
set -euo pipefail
if [[ ${1:-} == -* ]]; then
  sed -n '2,4s/^# \{0,1\}//p' "$0"
  [[ $1 == --help ]]
  exit
fi
if (($# < 1)); then
  sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
# Opened where the caller stands, before the change of folder.
exec <"$1"
content_type=${2:-text/csv}
shift "$(($# < 2 ? $# : 2))"
cd "$(dirname "$0")"

curl --silent --show-error --fail-with-body --noproxy '*' --data-binary @- --header "Content-Type: $content_type" "$@" \
  "http://127.0.0.1:${PORT:-8080}/invocations"
