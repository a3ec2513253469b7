#!/usr/bin/env bash
# Random ends of connections over Sockets and over ours, compared: eng/ends.sh [cases] [seed] [options]
# 10,000 cases by default; eng/ends.sh 1000000 is the long run. eng/ends.sh --case NUMBER --seed SEED runs one again, and
# shows what client and application saw. What it prints last is "ends: ok", or how many cases failed.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -a arguments=()
if [[ ${1:-} =~ ^[0-9]+$ ]]; then arguments+=(--cases "$1"); shift; fi
if [[ ${1:-} =~ ^[0-9]+$ ]]; then arguments+=(--seed "$1"); shift; fi

dotnet build --configuration Release --nologo --verbosity quiet eng/RandomEnds
exec dotnet eng/RandomEnds/bin/Release/net10.0/RandomEnds.dll "${arguments[@]}" "$@"
