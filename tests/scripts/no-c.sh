#!/bin/bash
# Fails when a crate that builds or links C has come into the tree: the product is Rust alone.
# linux-raw-sys, windows-sys, js-sys and web-sys are Rust, and declare what a kernel or a browser offers.
set -euo pipefail
cd "$(dirname "$0")/../.."
tree=$(cargo tree --locked --edges all --target all --prefix none --format '{p}')
if found=$(grep -E '^(cc|cmake|bindgen|pkg-config|vcpkg|[^ ]*-sys) ' <<<"$tree" | grep -vE '^(linux-raw|windows|js|web)-sys ' | sort -u) && [ -n "$found" ]; then
    echo "no-c: these crates bring C into the tree:" >&2
    echo "$found" >&2
    exit 1
fi
