#!/usr/bin/env bash
# The seeded stress test of eng/StressTool: eng/stress.sh [seconds] [seed] [--transport sockets] [--scheduling MODE] [--what ProxyProtocol|ConnectionLimits]
# Ten seconds by default; eng/stress.sh 600 is the ten-minute run. What it prints last is "stress: ok", or what failed.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=10
seed=$((RANDOM * 32768 + RANDOM))
if [[ ${1:-} =~ ^[0-9]+$ ]]; then seconds=$1; shift; fi
if [[ ${1:-} =~ ^[0-9]+$ ]]; then seed=$1; shift; fi

dotnet build --configuration Release --nologo --verbosity quiet eng/StressTool
# Connections may take a minute, and the end of everything a little more, before it counts as stuck.
exec timeout --kill-after=10 $((seconds + 240)) \
  dotnet eng/StressTool/bin/Release/net10.0/StressTool.dll --seconds "$seconds" --seed "$seed" "$@"
