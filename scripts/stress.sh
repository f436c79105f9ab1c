#!/usr/bin/env bash
# Each primitive alone, two at a time, under the soak's watchdog: see
# bench-runtime/examples/soak. It takes about SOAK_SECONDS in all, 60 by default.
#   scripts/stress.sh
set -euo pipefail
cd "$(dirname "$0")/.."
total=${SOAK_SECONDS:-60}
primitives=(pipeline select time-outs mutex rw-mutex once cond semaphore wait-group pool err-group context sleepers timers sockets)
at_once=2
each=$(((total * at_once + ${#primitives[@]} - 1) / ${#primitives[@]}))
[ "$each" -lt 1 ] && each=1

cargo build --quiet -p bench-runtime --example soak
export STRESS_SOAK=target/debug/examples/soak STRESS_EACH=$each STRESS_SEED=${SOAK_SEED:-$RANDOM}

# Half of the time pinned, half migrating; some runs have more Ps than CPUs.
one() {
    local log mode seconds=$(((STRESS_EACH + 1) / 2))
    log=$(mktemp)
    for mode in pinned migrating; do
        if ! timeout $((seconds + 120)) "$STRESS_SOAK" --only "$1" --seconds "$seconds" --mode "$mode" \
            --procs 8 --actors 16 --timeout 60 --seed "$STRESS_SEED" >"$log" 2>&1; then
            cat "$log" >&2
            echo "stress: $1, $mode, failed with seed $STRESS_SEED" >&2
            rm -f "$log"
            return 1
        fi
    done
    grep " rounds in " "$log" | sed "s/^soak:/stress: $1, migrating:/"
    rm -f "$log"
}
export -f one
printf '%s\n' "${primitives[@]}" | xargs -P "$at_once" -I{} bash -c 'one {}'
echo "stress: clean"
