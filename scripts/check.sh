#!/usr/bin/env bash
# All checks that must pass before a change lands. CI runs them, too.
#   scripts/check.sh          everything
#   scripts/check.sh --ci     without the measured run, for which CI has no time
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
# A test that hangs ends before CI's own limit: the log's last line names it.
timeout 2400 cargo test
step "well-known crates inside goroutines, SQLite too"
cargo test --quiet -p bench-runtime-crates --features sqlite,tls
if [ "$mode" = "--fast" ]; then
    step "done, without DuckDB, models, sanitizers, aarch64, stress and measured run"
    exit 0
fi

# Checks without timing, mostly compilers on one CPU. DuckDB reads the exported table (it needs
# python3 and a package index).
publish() { scripts/publish.sh; }
exported() { cargo test --quiet -p benches --features parquet --test export; }
loom() { scripts/loom.sh --quick; }
miri() { scripts/miri.sh --quick; }
fuzz() { scripts/fuzz.sh --quick; }
aarch64() { scripts/aarch64.sh --quick; }
gates=(loom miri exported fuzz aarch64 publish)
step "side by side: ${gates[*]}"
logs=$(mktemp -d)
# Each runs in a process group, so all of its processes can be ended.
set -m
groups=()
trap 'kill -- "${groups[@]/#/-}" 2>/dev/null; rm -rf "$logs"' EXIT
for gate in "${gates[@]}"; do
    "$gate" >"$logs/$gate" 2>&1 &
    groups+=($!)
done
failed=()
for index in "${!gates[@]}"; do
    code=0
    wait "${groups[index]}" || code=$?
    step "${gates[index]} has ended with $code"
    cat "$logs/${gates[index]}"
    [ "$code" = 0 ] || failed+=("${gates[index]}")
done
set +m
trap - EXIT
rm -rf "$logs"
if [ "${#failed[@]}" -gt 0 ]; then
    echo "failed: ${failed[*]}" >&2
    exit 1
fi

# valgrind counts the instructions of each operation, which are compared with its budget. Nothing
# else runs meanwhile: the scheduler looks for work by the clock, so a slow host makes it look more
# often.
step "instructions"
cargo test --quiet --release -p bench-runtime --test instructions

# Each must find its canary. miri, tsan, asan and fuzz need nightly, and aarch64 an emulator;
# without them they say so.
for script in tsan asan soak; do
    step "$script"
    "scripts/$script.sh" --quick
done
step "stress of each primitive"
[ "$mode" = "--ci" ] && export SOAK_SECONDS=30
scripts/stress.sh
if [ "$mode" = "--ci" ]; then
    step "done, without the measured run"
    exit 0
fi
step "the fleet's scripts, where Slurm, ReFrame and Ansible are installed"
cargo build --release --quiet -p benches -p workloads --bins
scripts/fleet/test.sh
step "the measured run (the README's other command, quick)"
cargo bench -- --quick
step "done"
