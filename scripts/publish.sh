#!/usr/bin/env bash
# Can bench-runtime be published? Cargo packages it and builds the package with the oldest compiler
# that its Cargo.toml supports. Nothing is uploaded.
#   scripts/publish.sh             queries the registry too
#   scripts/publish.sh --offline   does not
set -euo pipefail
cd "$(dirname "$0")/.."

oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
# The compiler of this checkout, if it is the oldest; otherwise rustup installs the oldest.
compiler=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
case $compiler in
"$oldest" | "$oldest".*) ;;
*)
    compiler=$oldest
    rustup toolchain install "$oldest" --profile minimal --no-self-update >/dev/null
    ;;
esac

# CI's checkout may contain other files.
arguments=(--package bench-runtime --allow-dirty --target-dir target/publish --quiet)
if [ "${1:-}" = "--offline" ]; then
    cargo "+$compiler" package --offline "${arguments[@]}"
else
    cargo "+$compiler" publish --dry-run "${arguments[@]}"
fi
rm -rf target/publish
echo "bench-runtime can be published, and Rust $oldest builds it"
