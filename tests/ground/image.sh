#!/bin/bash
# Builds vrrp-init:latest. Tags the build stage too, so that what a later build supersedes can be removed:
# otherwise every build would leave some hundred megabytes without a name.
set -euo pipefail
cd "$(dirname "$0")/../.."

before=$(docker images --quiet --no-trunc vrrp-init)
build=(docker build --quiet --network host)
"${build[@]}" --target build --tag vrrp-init:build . >/dev/null
"${build[@]}" --tag vrrp-init:latest . >/dev/null
after=$(docker images --quiet --no-trunc vrrp-init)
for image in $before; do
    # A container may still use it; then it stays.
    grep -q "$image" <<<"$after" || docker rmi "$image" >/dev/null 2>&1 || true
done
echo "vrrp-init:latest $(docker image inspect --format '{{.Size}}' vrrp-init:latest) bytes"
