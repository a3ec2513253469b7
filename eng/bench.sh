#!/usr/bin/env bash
# Compares the transports: eng/bench.sh [options of eng/TransportBench]. Installs what is missing first: needs Debian and
# root for that, and otherwise nothing but the .NET SDK. eng/TransportBench/README.md says what it measures.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A package=([wrk]=wrk [h2load]=nghttp2-client [strace]=strace [taskset]=util-linux [setpriv]=util-linux)
missing=()
for tool in "${!package[@]}"; do
  command -v "$tool" >/dev/null || missing+=("${package[$tool]}")
done

if ((${#missing[@]} > 0)); then
  echo "installing ${missing[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update --quiet=2 && apt-get install --quiet=2 --yes --no-install-recommends "${missing[@]}"
fi

exec dotnet run --configuration Release --project eng/TransportBench -- "$@"
