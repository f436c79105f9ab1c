#!/usr/bin/env bash
# Models of the lock-free pieces: every interleaving, by loom. Tests whose name
# begins with `canary` break one step on purpose; loom must find each of them.
#   scripts/loom.sh [--quick]     both are the same: the models are small
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTFLAGS="--cfg rt_loom" LOOM_MAX_BRANCHES=100000
# Built faster than what is measured, and searched as fast.
export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=false
dir=(--target-dir target/loom --release --quiet -p bench-runtime)

timeout 900 cargo test "${dir[@]}" --test loom
timeout 900 cargo test "${dir[@]}" --lib netpoll::slot

# A test that must panic passes only if it does; that any ran at all is seen here.
canaries=$(cargo test "${dir[@]}" --test loom -- --list 2>/dev/null | grep -c 'canary_.*: test')
slot=$(cargo test "${dir[@]}" --lib netpoll::slot -- --list 2>/dev/null | grep -c 'model_finds_.*: test')
if [ "$canaries" -lt 15 ] || [ "$slot" -lt 2 ]; then
    echo "loom: the canaries are gone ($canaries and $slot): the gate proves nothing without them" >&2
    exit 1
fi
echo "loom: clean; $((canaries + slot)) canaries found"
