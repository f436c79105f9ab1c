#!/usr/bin/env bash
# The whole gate: what must hold before anything lands. CI runs this; so can you.
#   scripts/check.sh          everything
#   scripts/check.sh --ci     without the measured run: what CI has time for
#   scripts/check.sh --fast   without DuckDB, models, sanitizers, aarch64, stress and measured run
set -euo pipefail
cd "$(dirname "$0")/.."
mode=${1:-}

step() {
    echo
    echo "== $* (at ${SECONDS} s)"
}

step "format"
cargo fmt --all --check
step "lints"
cargo clippy --workspace --all-targets --quiet -- -D warnings
step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
step "tests (the README's command)"
cargo test
if [ "$mode" = "--fast" ]; then
    step "done, without DuckDB, models, sanitizers, aarch64, stress and measured run"
    exit 0
fi
step "the exported table, by DuckDB (needs python3 and a package index)"
cargo test --quiet -p benches --features parquet --test export
step "instructions of each operation, against its budget (needs valgrind)"
cargo test --quiet --release -p bench-runtime --test instructions
# Each with a canary that it must find; miri, tsan and fuzz need nightly,
# aarch64 an emulator, and say so.
for script in loom miri tsan fuzz aarch64 soak; do
    step "$script"
    "scripts/$script.sh" --quick
done
step "stress of each primitive"
# CI has less time.
[ "$mode" = "--ci" ] && export SOAK_SECONDS=30
scripts/stress.sh
if [ "$mode" = "--ci" ]; then
    step "done, without the measured run"
    exit 0
fi
step "the measured run (the README's other command, quick)"
cargo bench -- --quick
step "done"
