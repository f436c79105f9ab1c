#!/usr/bin/env bash
# Everything at once on more Ps than CPUs, under a watchdog: see bench-runtime/examples/soak.
# Then stacks that are compacted while others access them: see
# bench-runtime/examples/compaction_soak.rs.
#   scripts/soak.sh [--quick] [seconds for each of six runs; three times as many for the last]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=60
[ "${1:-}" = "--quick" ] && { seconds=5; shift; }
seconds=${1:-$seconds}
seed=${SOAK_SEED:-$RANDOM}

cargo build --quiet -p bench-runtime --example soak --example compaction_soak
soak=target/debug/examples/soak

# The canary never ends. The watchdog must end it.
if "$soak" --seconds 1 --procs 2 --actors 2 --timeout 1 --only stuck >/dev/null 2>&1; then
    echo "soak: the watchdog did not find an actor that is stuck" >&2
    exit 1
fi
for procs in 64 2 1; do
    for mode in migrating pinned; do
        timeout $((seconds + 180)) "$soak" --seconds "$seconds" --procs "$procs" --mode "$mode" --seed "$seed"
    done
done
timeout $((3 * seconds + 180)) target/debug/examples/compaction_soak --seconds $((3 * seconds))
