#!/usr/bin/env bash
# The context switch, stacks and goroutines of aarch64, cross-compiled and run under qemu-user.
# Needs qemu-user-static, gcc-aarch64-linux-gnu and libc6-dev-arm64-cross; without them it says so
# and exits with success.
#   scripts/aarch64.sh [--quick]
set -euo pipefail
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
for program in qemu-aarch64-static aarch64-linux-gnu-gcc; do
    if ! command -v "$program" >/dev/null; then
        echo "aarch64: skipped: no $program: apt-get install qemu-user-static gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
        exit 0
    fi
done
if ! rustup target list --installed | grep -q "^$target\$" && ! timeout 100 rustup target add "$target"; then
    echo "aarch64: skipped: the standard library for it could not be had: rustup target add $target"
    exit 0
fi
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
runner="qemu-aarch64-static -L /usr/aarch64-linux-gnu"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=$runner BENCH_RUNTIME_TEST_RUNNER=$runner

# The canary fails on aarch64 only.
. scripts/lib/nightly.sh
make_canary <<'RUST'
fn main() {
    std::process::exit(if cfg!(target_arch = "aarch64") { 64 } else { 0 });
}
RUST
code=0
timeout 100 cargo run --quiet --target "$target" --manifest-path "$canary/Cargo.toml" || code=$?
if [ "$code" != 64 ]; then
    echo "aarch64: the canary ended with $code, not 64: nothing is run on aarch64 here" >&2
    exit 1
fi

# The emulator has neither guard markers nor userfaultfd; tests that need them skip. It visits all
# address space that a program reserves, which takes minutes, so the programs reserve less. Tests
# with tens of thousands of mappings or cells are left out.
slow=(map_limit cells:: takers_on_many_threads)
own=(arch:: stack:: goroutine::)
# Goroutines through the public API, each in both modes at several P.
api=(--test examples)
answers=(prime_sieve worker_pool pipeline)
if [ "${1:-}" = "--quick" ]; then
    own=(arch:: stack::pool:: stack::header:: goroutine::)
else
    api+=(--test it)
    answers+=(chan_close:: sync_mutex:: runtime::)
fi
build=(--quiet --target "$target" -p bench-runtime)
timeout 900 cargo test "${build[@]}" --lib "${api[@]}" --no-run
(
    ulimit -v $((64 << 20))
    timeout 400 cargo test "${build[@]}" --lib -- "${own[@]}" "${slow[@]/#/--skip=}"
    timeout 400 cargo test "${build[@]}" "${api[@]}" -- "${answers[@]}"
)
echo "aarch64: clean"
