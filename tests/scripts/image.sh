#!/bin/bash
# Builds vrrp-init:latest, or vrrp-init:ARCHITECTURE for another machine, cross-compiled.
# Usage: image.sh [amd64|arm64|armv7]      (a Docker Engine must be running)
#
# Tags the build stage too, so that what a later build supersedes can be removed: otherwise every build would
# leave some hundred megabytes without a name.
set -euo pipefail
cd "$(dirname "$0")/../.."

target= tag=latest stage=build metadata=
case ${1:-} in
    "") ;;
    amd64) target=x86_64-unknown-linux-musl metadata='"architecture":"amd64"' ;;
    arm64) target=aarch64-unknown-linux-musl metadata='"architecture":"arm64","variant":"v8"' ;;
    armv7) target=armv7-unknown-linux-musleabihf metadata='"architecture":"arm","variant":"v7"' ;;
    *) echo "image: no target is known for $1 (amd64, arm64, armv7)" >&2; exit 64 ;;
esac
[ -z "$target" ] || tag=$1 stage=build-$1

# The classic builder gives every image this machine's architecture; the metadata are set right in the archive.
relabel() {
    local work config layer built
    work=$(mktemp -d)
    built=$(docker images --quiet "vrrp-init:$tag")
    docker save "vrrp-init:$tag" | tar -C "$work" -x
    config=$(sed -E 's/.*"Config":"([^"]*)".*/\1/' "$work/manifest.json")
    layer=$(sed -E 's/.*"Layers":\["([^"]*)".*/\1/' "$work/manifest.json")
    mkdir "$work/new"
    sed -E "s/,?\"variant\":\"[^\"]*\"//; s/\"architecture\":\"[^\"]*\"/$metadata/" "$work/$config" >"$work/new/config.json"
    mv "$work/$layer" "$work/new/layer.tar"
    printf '[{"Config":"config.json","RepoTags":["vrrp-init:%s"],"Layers":["layer.tar"]}]' "$tag" >"$work/new/manifest.json"
    tar -C "$work/new" -c manifest.json config.json layer.tar | docker load --quiet >/dev/null
    # A builder that knows of platforms has made the very same.
    [ "$(docker images --quiet "vrrp-init:$tag")" = "$built" ] || docker rmi "$built" >/dev/null 2>&1 || true
    rm -r "$work"
}

before=$(docker images --quiet --no-trunc vrrp-init)
build=(docker build --quiet --network host --build-arg "TARGET=$target")
"${build[@]}" --target build --tag "vrrp-init:$stage" . >/dev/null
"${build[@]}" --tag "vrrp-init:$tag" . >/dev/null
[ -z "$metadata" ] || relabel
after=$(docker images --quiet --no-trunc vrrp-init)
for image in $before; do
    # A container may still use it; then it stays.
    grep -q "$image" <<<"$after" || docker rmi "$image" >/dev/null 2>&1 || true
done
echo "vrrp-init:$tag $(docker image inspect --format '{{.Size}}' "vrrp-init:$tag") bytes"
