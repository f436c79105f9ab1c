#!/usr/bin/env bash
# Data races of threads and goroutines, found by the thread sanitizer, with a standard library that
# is built for it. It learns of switches between stacks from bench-runtime/src/stack/fiber.rs.
#   scripts/tsan.sh [--quick]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib/nightly.sh
need_nightly tsan rust-src
target=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="-Zsanitizer=thread --cfg rt_tsan" TSAN_OPTIONS="halt_on_error=1 exitcode=66"
build=(--quiet -Zbuild-std --target "$target" --target-dir target/tsan -p bench-runtime)
timeout 1200 cargo +nightly test "${build[@]}" --lib --test it --no-run

# The canaries: races of threads and of goroutines.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for canary in canary_two_threads_race canary_two_goroutines_on_two_machines_race; do
    code=0
    timeout 200 cargo +nightly test "${build[@]}" --test it -- --ignored --exact "race::$canary" >"$log" 2>&1 || code=$?
    if [ "$code" = 0 ] || ! grep -q "SUMMARY: ThreadSanitizer: data race.*/race\.rs" "$log"; then
        tail -5 "$log" >&2
        echo "tsan: it did not find the race of $canary (exit code $code)" >&2
        exit 1
    fi
done

# Left out: compaction, which the sanitizer does not see; more goroutines than it supports;
# limits on address space, most of which it uses; and tests that would be too slow.
slow=(compact hundred_thousand thousand_goroutines_in_blocking_reads refused_stack closure_that_panics_when_it_is_dropped_unstarted)
[ "${1:-}" = "--quick" ] && slow+=(thousands_of_runtimes snapshots_while_eight net_deadline::)
timeout 900 cargo +nightly test "${build[@]}" --lib -- sched:: goroutine:: util:: timer:: netpoll:: context:: local::
timeout 900 cargo +nightly test "${build[@]}" --test it -- "${slow[@]/#/--skip=}"
echo "tsan: clean"
