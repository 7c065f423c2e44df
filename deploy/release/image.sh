#!/bin/sh
# Builds the image of the last commit, with labels that say what it is; arguments are passed to `docker build`.
#   deploy/release/image.sh [--no-cache ...]
# IMAGE           its name (default: pacman-sync-utility); the tags are the version and, unless it is a pre-release, `latest`
# PYTHON_IMAGE    the base image, for example with a digest (default: the Dockerfile's)
# IMAGE_SOURCE    the address of the source (default: that of the remote `origin`)
# BUILD           the command that builds (default: docker build)
# BUILD_NETWORK   the network of its steps (default: host)
set -eu
cd "$(dirname "$0")/../.."
: "${IMAGE:=pacman-sync-utility}" "${BUILD:=docker build}" "${PYTHON_IMAGE:=}"

revision=$(git rev-parse HEAD) || { echo "The image's labels name a commit: build it in a clone of the repository." >&2; exit 1; }
committed=$(git show -s --format=%ct "$revision")
created=$(date -u -d "@$committed" +%Y-%m-%dT%H:%M:%SZ)
version=$(git show "$revision:pyproject.toml" | sed -n 's/^version = "\(.*\)"$/\1/p')
# An address may have a user and a password in it, and a path of this machine says nothing to others.
source=${IMAGE_SOURCE:-$(git remote get-url origin 2>/dev/null | sed -n 's#^\(https\{0,1\}://\)\([^/]*@\)\{0,1\}#\1#p')}

# Builds what is committed, so that the labels are true.
[ -z "$(git status --porcelain)" ] || echo "This folder has changes that are not committed; the image has the commit $revision." >&2
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
trap 'exit 130' INT TERM
git archive "$revision" | tar -x -C "$context"

set -- "$@" --build-arg "REVISION=$revision" --build-arg "SOURCE_DATE_EPOCH=$committed" \
  --label "org.opencontainers.image.created=$created" \
  --label "org.opencontainers.image.version=$version" \
  --tag "$IMAGE:$version"
case $version in *[!0-9.]*) ;; *) set -- "$@" --tag "$IMAGE:latest" ;; esac
[ -z "$source" ] || set -- "$@" --label "org.opencontainers.image.source=$source"
if [ -n "$PYTHON_IMAGE" ]; then
  set -- "$@" --build-arg "PYTHON_IMAGE=$PYTHON_IMAGE" --label "org.opencontainers.image.base.name=${PYTHON_IMAGE%@*}"
  case $PYTHON_IMAGE in *@*) set -- "$@" --label "org.opencontainers.image.base.digest=${PYTHON_IMAGE#*@}" ;; esac
fi
# shellcheck disable=SC2086  # the command may have several words
$BUILD --network "${BUILD_NETWORK:-host}" "$@" "$context"
