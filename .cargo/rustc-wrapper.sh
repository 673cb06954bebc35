#!/bin/bash
# bash: dash drops environment variables with a hyphen in their names, such as CARGO_BIN_EXE_vrrp-init.
# Runs rustc with options that cargo's configuration cannot express.
rustc=$1
shift
# The binary holds the paths of downloaded crates, in panic messages, and they differ from machine to machine: without
# this it would depend on the home directory of whoever builds it.
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do
    set -- "$@" "--remap-path-prefix=$registry="
done
# Where the component rust-src is installed, rustc names the standard library's sources by their place on this machine.
sysroot=$("$rustc" --print sysroot)
if [ -e "$sysroot/lib/rustlib/src/rust" ]; then
    commit=$("$rustc" -vV | sed -n 's/^commit-hash: //p')
    set -- "$@" "--remap-path-prefix=$sysroot/lib/rustlib/src/rust=/rustc/$commit"
fi
# Where a panic aborts, nothing reads the tables for unwinding. The benchmarks unwind, to remove their namespaces. The
# outliner makes functions of instructions that occur often; it takes 34 KB off the binary.
case " $* " in
*" panic=abort "*-linux-musl*) set -- "$@" "-Clink-arg=-T${0%/*}/layout.ld" -Cllvm-args=-enable-machine-outliner=always ;;
esac
exec "$rustc" "$@"
