#!/bin/bash
# Builds the fuzz targets for libFuzzer and runs each for FUZZ_SECONDS (60). What it finds stays in target/fuzz/found, the
# corpus in target/fuzz/corpus; a finding is repeated with: target/fuzz/*/release/TARGET FILE.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${FUZZ_SECONDS:-60}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "fuzz: FUZZ_SECONDS=$seconds must be whole seconds from 1" >&2; exit 1; }
command -v c++ >/dev/null || { echo "fuzz: libFuzzer's runtime needs a C++ compiler: apt-get install g++" >&2; exit 1; }

# What cargo-fuzz sets, without its sanitizers: the code has no unsafe. The variable admits the pass to the pinned
# stable compiler.
target=$(rustc -vV | sed -n 's/^host: //p')
coverage="-Cpasses=sancov-module -Clink-dead-code --cfg fuzzing"
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    coverage+=" -Cllvm-args=-sanitizer-coverage-$option"
done
RUSTC_BOOTSTRAP=1 RUSTFLAGS=$coverage cargo build --locked --release --target "$target" \
    --manifest-path tests/fuzz/Cargo.toml --target-dir target/fuzz

cargo run -q --locked -- help | grep -oE '\b[A-Z][A-Z0-9_]{2,}\b' | sort -u | sed 's/.*/"&="/' >target/fuzz/env.dict
for name in advert packet instance env env_file netlink proc http serve scan dns import; do
    corpus=target/fuzz/corpus/$name found=target/fuzz/found/$name
    mkdir -p "$corpus" "$found"
    dict=()
    [[ "$name" == env* ]] && dict=(-dict=target/fuzz/env.dict -only_ascii=0)
    echo "fuzz: $name for $seconds s"
    "target/fuzz/$target/release/$name" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -max_len=2000 \
        -print_final_stats=1 -verbosity=0 -artifact_prefix="$found/" "${dict[@]}" "$corpus"
done
