#!/usr/bin/env bash
# Build the image for a platform, tag it with `latest` and the commit, and push it to Amazon ECR.
#
#   ./build_and_push.sh NAME [--platform PLATFORM] [--region REGION] [--dry-run]
#
#   NAME         repository in ECR, created if it is missing
#   --platform   what the instances have: linux/amd64 (default), or linux/arm64 for Graviton
#   --region     region of the registry; otherwise AWS_REGION, AWS_DEFAULT_REGION or `aws configure get region`
#   --dry-run    print the commands, and run none of them
#
# Environment: ECR_REGISTRY is pushed to in place of ACCOUNT.dkr.ecr.REGION.amazonaws.com (a mirror, or a test's registry);
# credentials, profiles and endpoints are what the aws client reads.
set -euo pipefail
cd "$(dirname "$0")"

fail() {
  printf 'build_and_push.sh: %s\n' "$*" >&2
  exit 1
}

# Print a command where the script prints, even if its own output is captured, and run it unless this is a dry run.
exec 3>&1
run() {
  printf '%s\n' "$*" >&3
  [[ -n $dry_run ]] || "$@"
}

log_in() {
  local password=(aws ecr get-login-password --region "$region")
  local login=(docker login --username AWS --password-stdin "$registry")
  printf '%s | %s\n' "${password[*]}" "${login[*]}" >&3
  [[ -n $dry_run ]] || "${password[@]}" | "${login[@]}"
}

name='' platform=linux/amd64 region=${AWS_REGION:-${AWS_DEFAULT_REGION:-}} dry_run=''
while (($#)); do
  case $1 in
    --help)
      sed -n '2,/^set /s/^# \{0,1\}//p' build_and_push.sh
      exit
      ;;
    --platform | --region)
      (($# > 1)) || fail "$1 needs a value"
      if [[ $1 == --platform ]]; then platform=$2; else region=$2; fi
      shift
      ;;
    --dry-run) dry_run=yes ;;
    -*) fail "there is no option $1; --help lists them" ;;
    *)
      [[ -z $name ]] || fail "exactly one NAME is needed, not both $name and $1"
      name=$1
      ;;
  esac
  shift
done
[[ -n $name ]] || fail 'the name of the repository is missing, as in ./build_and_push.sh gpsagemaker; --help says more'

commit=$(git rev-parse --short=12 HEAD) || fail 'the image is tagged with the commit, but this is no git checkout: clone the repository'
[[ -z $(git status --porcelain) ]] || commit+=-dirty

# In a dry run, what only AWS knows is a word in capitals.
if [[ -z $region ]]; then
  region=$(run aws configure get region) || fail 'no region is set: give --region, or run aws configure'
  region=${region:-REGION}
fi
account=$(run aws sts get-caller-identity --region "$region" --query Account --output text) || fail 'AWS does not say whose credentials these are'
account=${account:-ACCOUNT}

case $region in
  cn-*) domain=amazonaws.com.cn ;;
  *) domain=amazonaws.com ;;
esac
registry=${ECR_REGISTRY:-$account.dkr.ecr.$region.$domain}
repository=$registry/$name

# Only the one answer that says so means that the repository is missing; any other error stops here, before the build.
answer=$(run aws ecr describe-repositories --region "$region" --repository-names "$name" 2>&1 >/dev/null) ||
  [[ $answer == *RepositoryNotFoundException* ]] || fail "ECR does not say whether $name exists: ${answer//$'\n'/ }"
[[ -z $dry_run ]] || answer='in a dry run: RepositoryNotFoundException'
if [[ $answer == *RepositoryNotFoundException* ]]; then
  run aws ecr create-repository --region "$region" --repository-name "$name" >/dev/null
fi
log_in

# SageMaker refuses what is newer than a Docker v2 manifest: an OCI manifest, or the index that an attestation makes of it.
run docker buildx build --platform "$platform" --provenance=false --sbom=false --output type=docker \
  --tag "$repository:latest" --tag "$repository:$commit" .
run docker push "$repository:$commit"
run docker push "$repository:latest"
