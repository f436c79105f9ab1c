#!/usr/bin/env bash
# The runtime's tests, and the safe programs that once broke the runtime, under the address
# sanitizer. It learns of switches between stacks from bench-runtime/src/stack/fiber.rs.
#   scripts/asan.sh [--quick]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib/nightly.sh
need_nightly asan rust-std
target=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="-Zsanitizer=address --cfg rt_asan"
# Off: the search for leaks, which does not see references on goroutines' stacks; moving frames to
# the heap, which compaction would miss; and the report of faults, which the runtime makes itself.
# The sanitizer's signal stacks stay on: std's are too small for it.
export ASAN_OPTIONS="detect_leaks=0 detect_stack_use_after_return=0 handle_segv=0 exitcode=66"
build=(--quiet --target "$target" --target-dir target/asan -p bench-runtime)
timeout 1200 cargo +nightly test "${build[@]}" --lib --test it --test soundness --no-run

# The canaries: errors on the heap and on a goroutine's stack.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for canary in "heap-use-after-free canary_reads_freed_memory_in_a_goroutine" \
    "stack-buffer-overflow canary_reads_past_an_array_on_a_goroutines_stack"; do
    read -r error name <<<"$canary"
    code=0
    timeout 200 cargo +nightly test "${build[@]}" --test it -- --ignored --exact "address::$name" >"$log" 2>&1 || code=$?
    if [ "$code" = 0 ] || ! grep -q "ERROR: AddressSanitizer: $error" "$log"; then
        tail -5 "$log" >&2
        echo "asan: it did not find the error of $name (exit code $code)" >&2
        exit 1
    fi
done

# Left out: tests of limits on address space and on mappings, most of which the sanitizer uses; of
# page tables, because its marks have some too; and of a frame that it makes larger than the guard.
not_here=(refused_stack map_limit no_mapping_can_be_had gives_its_page_tables_back frame_larger_than_the_guard)
[ "${1:-}" = "--quick" ] && not_here+=(thousands_of_runtimes snapshots_while_eight net_deadline:: hundred_thousand)
for tests in "--test soundness" --lib "--test it"; do
    # shellcheck disable=SC2086 # two words
    timeout 900 cargo +nightly test "${build[@]}" $tests -- "${not_here[@]/#/--skip=}"
done
echo "asan: clean"
