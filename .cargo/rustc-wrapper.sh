#!/bin/bash
# bash: dash drops environment variables with a hyphen in their names, such as CARGO_BIN_EXE_vrrp-init.
# Runs rustc with the paths of downloaded crates shortened. The binary holds them, in panic messages, and they differ
# from machine to machine: without this it would depend on the home directory of whoever builds it.
rustc=$1
shift
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do
    set -- "$@" "--remap-path-prefix=$registry="
done
exec "$rustc" "$@"
