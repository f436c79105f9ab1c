# For scripts that need a nightly toolchain, which source this file.

# Ends the script with success if nightly lacks a component, and prints the reason.
#   need_nightly GATE COMPONENT…      such as: need_nightly miri miri rust-src
need_nightly() {
    local gate=$1 component installed
    shift
    installed=$(rustup component list --toolchain nightly --installed 2>/dev/null || true)
    for component in "$@"; do
        if ! grep -q "^$component" <<<"$installed"; then
            echo "$gate: skipped: needs 'rustup toolchain install nightly --component $(IFS=, && echo "$*")'"
            exit 0
        fi
    done
}

# Compiles the source on stdin and stores the program's path in $canary. The folder is deleted when
# the script ends. Each script must first find the known error of its canary.
make_canary() {
    canary=$(mktemp -d)
    trap 'rm -rf "$canary"' EXIT
    mkdir -p "$canary/src"
    cat >"$canary/Cargo.toml" <<'TOML'
[package]
name = "canary"
version = "0.0.0"
edition = "2024"
[workspace]
TOML
    cat >"$canary/src/main.rs"
}
