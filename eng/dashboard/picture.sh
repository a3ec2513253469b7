#!/usr/bin/env bash
# Makes docs/images/loop-dashboard.png anew: the dashboard, behind nearly a minute of its own load. Needs Debian's chromium, nodejs, fonts-inter and
# pngquant.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

log=$(mktemp)
dotnet build --configuration Release --verbosity quiet samples/LoopDashboard >&2
dotnet samples/LoopDashboard/bin/Release/net10.0/LoopDashboard.dll --port 0 --loops 2 --load >"$log" &
server=$!
trap 'kill "$server" 2>/dev/null; rm -f "$log"' EXIT
for _ in {1..100}; do
  grep -q "Ctrl+C stops it" "$log" && break
  sleep 0.1
done

mkdir -p docs/images
node eng/dashboard/look.mjs "$(sed -nE 's|.* (http://[0-9.:]+/)\. .*|\1|p' "$log")" --points 125 --picture docs/images/loop-dashboard.png
pngquant --force --skip-if-larger --speed 1 --output docs/images/loop-dashboard.png 128 docs/images/loop-dashboard.png || true
