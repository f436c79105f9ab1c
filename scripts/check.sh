#!/usr/bin/env bash
# The whole gate: what must hold before anything lands. CI runs this; so can you.
#   scripts/check.sh          everything
#   scripts/check.sh --fast   without the models, the soak and the measured run
#   scripts/check.sh --deep   with miri and the thread sanitizer too (nightly)
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
step "layout: which floor imports which, which files are too long"
cargo test --quiet -p bench-runtime --test layering
step "tests (the README's command)"
cargo test
if [ "$mode" = "--fast" ]; then
    step "done, without models, soak and measured run"
    exit 0
fi
scripts=(loom soak)
[ "$mode" = "--deep" ] && scripts+=(miri tsan)
for script in "${scripts[@]}"; do
    step "$script, with a canary that must fail"
    "scripts/$script.sh" --quick
done
step "the measured run (the README's other command, quick)"
cargo bench -- --quick
step "done"
