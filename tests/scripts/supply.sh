#!/bin/bash
# Checks what the product is built from, as deny.toml says: crates, licenses and sources; and that no C is among them.
# Usage: supply.sh                what a machine that has all crates can check without a network
#        supply.sh advisories     known vulnerabilities, from the database of RustSec
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
tools=$PWD/target/tools
version=0.20.2

# Compiled without optimization: it runs for two seconds.
if [ "$("$tools/bin/cargo-deny" --version 2>/dev/null)" != "cargo-deny $version" ]; then
    echo "supply: installing cargo-deny $version, once (a minute or two)" >&2
    cargo install --quiet --locked --debug --root "$tools" --target-dir "$tools/build" --version "$version" cargo-deny
    rm -rf "$tools/build"
fi
case ${1:-} in
    "")
        # cargo-deny reads the whole lock file; a build has downloaded only the crates for this platform.
        cargo fetch --locked --quiet
        "$tools/bin/cargo-deny" --log-level error --offline check bans licenses sources
        "$here/no-c.sh"
        ;;
    advisories) "$tools/bin/cargo-deny" check advisories ;;
    *) echo "supply: usage: supply.sh [advisories]" >&2; exit 64 ;;
esac
