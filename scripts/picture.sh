#!/usr/bin/env bash
# The README's picture: the first screen of a report. Needs chromium.
#   scripts/picture.sh results/RUN/report.html
set -euo pipefail
page=$(realpath "${1:?which report.html?}")
cd "$(dirname "$0")/.."
"${CHROMIUM:-chromium}" --headless --no-sandbox --disable-gpu --hide-scrollbars --disable-background-networking \
    --window-size=1280,880 --screenshot="$PWD/docs/report.png" "file://$page" 2>/dev/null
echo "docs/report.png"
