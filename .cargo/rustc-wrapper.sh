#!/bin/bash
# bash: dash drops environment variables with a hyphen in their names, such as CARGO_BIN_EXE_vrrp-init.
# Runs rustc with two options that cargo's configuration cannot express.
rustc=$1
shift
# The binary holds the paths of downloaded crates, in panic messages, and they differ from machine to machine: without
# this it would depend on the home directory of whoever builds it.
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do
    set -- "$@" "--remap-path-prefix=$registry="
done
# Where a panic aborts, nothing reads the tables for unwinding. The benchmarks unwind, to remove their namespaces.
case " $* " in
*" panic=abort "*-linux-musl*) set -- "$@" "-Clink-arg=-T${0%/*}/layout.ld" ;;
esac
exec "$rustc" "$@"
