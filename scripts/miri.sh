#!/usr/bin/env bash
# What holds no assembly, by miri: undefined behaviour, data races and leaks of
# the model it runs. Tests that switch stacks or need the kernel are left out.
#   scripts/miri.sh [--quick]
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo "miri: skipped: needs 'rustup toolchain install nightly --component miri,rust-src'"
    exit 0
fi
# Records and parkables are leaked by design; the kernel's random numbers and
# clocks are not what is under test.
export MIRIFLAGS="-Zmiri-ignore-leaks -Zmiri-disable-isolation -Zmiri-permissive-provenance"
tests=(goroutine:: sched::run_queue:: util:: timer::)
[ "${1:-}" = "--quick" ] && tests=(goroutine:: sched::run_queue:: util::)

# The canary: an aliasing fault on purpose, which miri must report.
canary=$(mktemp -d)
trap 'rm -rf "$canary"' EXIT
mkdir -p "$canary/src"
cat >"$canary/Cargo.toml" <<'TOML'
[package]
name = "canary"
version = "0.0.0"
edition = "2024"
[workspace]
TOML
cat >"$canary/src/main.rs" <<'RUST'
fn main() {
    let mut value = Box::new(1);
    let raw: *mut i32 = &mut *value;
    drop(value);
    println!("{}", unsafe { *raw });
}
RUST
if timeout 300 cargo +nightly miri run --quiet --manifest-path "$canary/Cargo.toml" >/dev/null 2>&1; then
    echo "miri: it did not find the canary's use after free" >&2
    exit 1
fi
for filter in "${tests[@]}"; do
    timeout 600 cargo +nightly miri test --quiet --target-dir target/miri -p bench-runtime --lib -- "$filter"
done
echo "miri: clean"
