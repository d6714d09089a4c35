#!/bin/sh
# Runs every fuzz target for SECONDS (default 60) on the stable toolchain, and fails if one finds something.
#
#   fuzz/run.sh [SECONDS]
#
# What a target has learnt stays in the build directory for the next run; the seeds in fuzz/corpus are only read.
# A finding is written to fuzz/artifacts, which git ignores. Once it is mended, name it and put it into fuzz/corpus/TARGET:
# `cargo test` runs every file there.
set -eu

seconds=${1:-60}
case $seconds in
'' | *[!0-9]*) echo "usage: fuzz/run.sh [SECONDS]" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/.."
# Sanitizers are unstable options, which this opens without another toolchain.
export RUSTC_BOOTSTRAP=1
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz

learnt=${CARGO_TARGET_DIR:-fuzz/target}/fuzz-corpus
cargo fuzz build
for target in $(cargo fuzz list); do
    # No longer than makes sense for the target: short inputs are run more often.
    case $target in
    token) max_len=64 ;;
    bearer) max_len=512 ;;
    cookie) max_len=2048 ;;
    meta) max_len=256 ;;
    sealed_cookie) max_len=8192 ;;
    *) max_len=4096 ;;
    esac
    echo "== $target, $seconds s"
    mkdir -p "$learnt/$target"
    cargo fuzz run "$target" "$learnt/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -max_len="$max_len" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1
done
