#!/usr/bin/env bash
# Fuzzes result files and command lines: any content is accepted or refused, and a file that is
# read can be shown. Without nightly, `cargo test -p reports hostile` checks fewer inputs.
#   scripts/fuzz.sh [--quick] [seconds for each target]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib/nightly.sh
seconds=600
seed=0 # chosen by the clock, so each long run tries other inputs
# A fixed seed checks each change with the same inputs.
[ "${1:-}" = "--quick" ] && { seconds=10; seed=20261121; shift; }
seconds=${1:-$seconds}
need_nightly fuzz rust-std
mkdir -p target/fuzz
export CARGO_TARGET_DIR=$PWD/target/fuzz
export PATH=$PATH:$PWD/target/toolchains/cargo-fuzz/bin
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "fuzz: skipped: needs 'cargo install --root target/toolchains/cargo-fuzz cargo-fuzz'"
    exit 0
fi

# Without a sanitizer: the code has no `unsafe`, and the fuzzer looks for panics.
fuzz=(cargo +nightly fuzz)
build=(--fuzz-dir reports/fuzz --sanitizer none)
limits=(-timeout=20 -rss_limit_mb=2048 -max_len=65536 -verbosity=0 -print_final_stats=1 -seed="$seed")

# The canary panics at its first input.
if timeout 900 "${fuzz[@]}" run "${build[@]}" canary -- "${limits[@]}" -runs=1000 >/dev/null 2>target/fuzz/canary.log ||
    ! grep -q "the canary sings" target/fuzz/canary.log; then
    tail -5 target/fuzz/canary.log >&2
    echo "fuzz: it did not find the canary's panic" >&2
    exit 1
fi
rm -rf reports/fuzz/artifacts/canary
for target in reader values arguments; do
    echo "fuzz: $target for $seconds s"
    mkdir -p "reports/fuzz/corpus/$target"
    timeout $((seconds + 900)) "${fuzz[@]}" run "${build[@]}" "$target" \
        "reports/fuzz/corpus/$target" "reports/fuzz/seeds/$target" -- "${limits[@]}" -max_total_time="$seconds"
done
echo "fuzz: clean"
