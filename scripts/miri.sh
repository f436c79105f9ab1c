#!/usr/bin/env bash
# Undefined behaviour and data races, found by miri. miri cannot run goroutines, so the tests of the
# primitives run on plain threads.
#   scripts/miri.sh [--quick]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib/nightly.sh
need_nightly miri miri rust-src
# Records and parkables are leaked by design. The kernel's random numbers and clocks are not tested.
export MIRIFLAGS="-Zmiri-ignore-leaks -Zmiri-disable-isolation -Zmiri-permissive-provenance"
own=(goroutine:: sched::run_queue:: util:: timer:: context::)
# Tests through the public API. Some have too many rounds for miri.
api=(chan_close:: future:: future_chan:: select_case:: sync_once:: sync_wait_group::)
slow=(try_recv_racing_a_close a_select_of_sixty_four_cases each_message_is_seen an_unnamed_send)
# miri cannot build a runtime.
slow+=(wake_after_the_end_and_after_the_runtime)
if [ "${1:-}" = "--quick" ]; then
    own=(goroutine:: sched::run_queue:: util::)
    api=(chan_close:: select_case::)
fi

# The canary: an aliasing error.
make_canary <<'RUST'
fn main() {
    let mut value = Box::new(1);
    let raw: *mut i32 = &mut *value;
    drop(value);
    println!("{}", unsafe { *raw });
}
RUST
timeout 300 cargo +nightly miri run --quiet --manifest-path "$canary/Cargo.toml" >/dev/null 2>"$canary/log" || true
if ! grep -q "Undefined Behavior" "$canary/log"; then
    tail -5 "$canary/log" >&2
    echo "miri: it did not find the canary's use after free" >&2
    exit 1
fi
build=(--quiet --target-dir target/miri -p bench-runtime)
timeout 1200 cargo +nightly miri test "${build[@]}" --lib -- "${own[@]}"
timeout 1200 cargo +nightly miri test "${build[@]}" --test it -- "${api[@]}" "${slow[@]/#/--skip=}"
echo "miri: clean"
