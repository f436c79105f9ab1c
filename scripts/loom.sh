#!/usr/bin/env bash
# Models of the lock-free code: loom runs every interleaving. A test whose name begins
# with `canary` has a step broken on purpose, and loom must find it.
#   scripts/loom.sh [--quick]     both are the same: the models are small
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTFLAGS="--cfg rt_loom" LOOM_MAX_BRANCHES=100000
# Compiles faster than the release profile.
export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=false
models=(--target-dir target/loom --release --quiet -p bench-runtime --test loom)

timeout 900 cargo test "${models[@]}"

# Did canaries run at all? Each passes only if it panics.
canaries=$(cargo test "${models[@]}" -- --list 2>/dev/null | grep -c 'canary_.*: test')
if [ "$canaries" -lt 24 ]; then
    echo "loom: canaries are gone ($canaries): the gate proves nothing without them" >&2
    exit 1
fi
echo "loom: clean; $canaries canaries found"
