#!/bin/bash
# Builds vrrp-init:latest, or vrrp-init:ARCHITECTURE for another machine, cross-compiled; and vrrp-init:hold-1, or
# vrrp-init:hold-1-ARCHITECTURE, if there is none.
# Usage: image.sh [amd64|arm64|armv7]      (a Docker Engine must be running)
# REPOSITORY=NAME is the part of the names before the colon, in place of vrrp-init.
#
# Tags the build stage too, so that what a later build supersedes can be removed: otherwise every build would
# leave some hundred megabytes without a name.
set -euo pipefail
cd "$(dirname "$0")/../.."

repository=${REPOSITORY:-vrrp-init}
target= tag=latest hold=hold-1 stage=build metadata=
case ${1:-} in
    "") ;;
    amd64) target=x86_64-unknown-linux-musl metadata='"architecture":"amd64"' ;;
    arm64) target=aarch64-unknown-linux-musl metadata='"architecture":"arm64","variant":"v8"' ;;
    armv7) target=armv7-unknown-linux-musleabihf metadata='"architecture":"arm","variant":"v7"' ;;
    *) echo "image: no target is known for $1 (amd64, arm64, armv7)" >&2; exit 64 ;;
esac
[ -z "$target" ] || tag=$1 hold=$hold-$1 stage=build-$1

# The classic builder gives every image this machine's architecture; the metadata are set right in the archive.
relabel() { # image
    [ -n "$metadata" ] || return 0
    local image=$1 work config layer built
    work=$(mktemp -d)
    built=$(docker images --quiet "$image")
    docker save "$image" | tar -C "$work" -x
    config=$(sed -E 's/.*"Config":"([^"]*)".*/\1/' "$work/manifest.json")
    layer=$(sed -E 's/.*"Layers":\["([^"]*)".*/\1/' "$work/manifest.json")
    mkdir "$work/new"
    sed -E "s/,?\"variant\":\"[^\"]*\"//; s/\"architecture\":\"[^\"]*\"/$metadata/" "$work/$config" >"$work/new/config.json"
    mv "$work/$layer" "$work/new/layer.tar"
    printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$image" >"$work/new/manifest.json"
    tar -C "$work/new" -c manifest.json config.json layer.tar | docker load --quiet >/dev/null
    # A builder that knows of platforms has made the very same.
    [ "$(docker images --quiet "$image")" = "$built" ] || docker rmi "$built" >/dev/null 2>&1 || true
    rm -r "$work"
}

before=$(docker images --quiet --no-trunc "$repository")
build=(docker build --quiet --network host --build-arg "TARGET=$target")
"${build[@]}" --target build --tag "$repository:$stage" . >/dev/null
"${build[@]}" --tag "$repository:$tag" . >/dev/null
relabel "$repository:$tag"
# Containers of it must not be recreated, so the tag never moves: what `hold` does is settled.
if ! docker image inspect "$repository:$hold" >/dev/null 2>&1; then
    docker build --quiet --build-arg "IMAGE=$repository:$tag" --tag "$repository:$hold" - <compose/holder/Dockerfile >/dev/null
    relabel "$repository:$hold"
fi
after=$(docker images --quiet --no-trunc "$repository")
for image in $before; do
    # A container may still use it; then it stays.
    grep -q "$image" <<<"$after" || docker rmi "$image" >/dev/null 2>&1 || true
done
echo "$repository:$tag $(docker image inspect --format '{{.Size}}' "$repository:$tag") bytes, $repository:$hold"
