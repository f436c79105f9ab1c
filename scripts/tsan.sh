#!/usr/bin/env bash
# Data races of what runs on plain threads, by the thread sanitizer, with the
# standard library built for it too. It knows nothing of switched stacks, so
# goroutines are not covered: those have loom, miri and the soak.
#   scripts/tsan.sh [--quick]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib/nightly.sh
need_nightly tsan rust-src
target=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="-Zsanitizer=thread --cfg rt_tsan" TSAN_OPTIONS="halt_on_error=1 exitcode=66"
build=(--quiet -Zbuild-std --target "$target" --target-dir target/tsan)

# The canary: a race on purpose, which the sanitizer must report.
make_canary <<'RUST'
static mut COUNT: u64 = 0;
fn main() {
    // Long enough that the threads are there at the same time, on a busy
    // machine too.
    let start = std::sync::Arc::new(std::sync::Barrier::new(4));
    let threads = [1, 2, 3, 4].map(|_| start.clone()).map(|start| std::thread::spawn(move || {
        start.wait();
        for _ in 0..20_000_000 {
            unsafe { *(&raw mut COUNT) += 1 };
        }
    }));
    let _ = threads.map(|t| t.join().unwrap());
}
RUST
code=0
timeout 400 cargo +nightly run "${build[@]}" --manifest-path "$canary/Cargo.toml" >/dev/null 2>"$canary/log" || code=$?
if ! grep -q "ThreadSanitizer: data race" "$canary/log"; then
    tail -5 "$canary/log" >&2
    echo "tsan: it did not find the canary's race (exit code $code)" >&2
    exit 1
fi
timeout 900 cargo +nightly test "${build[@]}" -p bench-runtime --lib -- \
    sched::run_queue:: goroutine:: util:: timer::
echo "tsan: clean"
