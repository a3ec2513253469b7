#!/usr/bin/env bash
# What a request costs, against the stock Sockets transport in the same run. Needs wrk, h2load and two processors.
#
#   eng/measure.sh [--scenarios json,https,h2,pipelined] [--rounds 7] [--seconds 4] [--warmup 15] [--quick]
#
# Four servers live at once, pinned to processor 0: Sockets twice, so that the second shows how far a ratio strays by
# itself, ours on the thread pool, and ours inline. They are asked in turns, in rounds of changing order, from processor
# 1; who isn't asked is stopped. A ratio compares two turns of the same round. The cost is the process's CPU time, user
# and system, over the requests answered. Prints a Markdown table: medians, with (least..most).
set -euo pipefail
cd "$(dirname "$0")/.."

scenarios=json,https,h2,pipelined
rounds=7
seconds=4
warmup=15
while (($# > 0)); do
  case $1 in
    --scenarios) scenarios=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --warmup) warmup=$2; shift 2 ;;
    --quick) rounds=3 seconds=2 warmup=4; shift ;;
    *) sed -n '2,4p' "$0" >&2; exit 2 ;;
  esac
done

for tool in wrk h2load taskset; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install wrk nghttp2-client util-linux" >&2; exit 2; }
done

readonly server_core=0 load_core=1 warm_window=5 most_warm_windows=8
names=("Sockets" "Sockets again (control)" "epoll, ThreadPool" "epoll, UnsafeInline")
arguments=("--transport sockets" "--transport sockets" "--scheduling ThreadPool" "--scheduling UnsafeInline")
declare -a pids=()
work=$(mktemp -d)

end_servers() {
  local one
  for one in "${pids[@]}"; do
    kill -KILL "$one" 2>/dev/null || true
    # Without this the shell reports each death.
    wait "$one" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap end_servers EXIT

start_servers() {
  local i
  dotnet build --configuration Release --nologo --verbosity quiet samples/HelloKestrel >"$work/build.log" 2>&1 \
    || { cat "$work/build.log" >&2; exit 1; }
  for i in "${!names[@]}"; do
    : >"$work/server$i.log"
    # shellcheck disable=SC2086 # Several words.
    taskset --cpu-list $server_core dotnet samples/HelloKestrel/bin/Release/net10.0/HelloKestrel.dll ${arguments[i]} \
      --urls "http://127.0.0.1:$((6180 + i));https://127.0.0.1:$((6540 + i))" >>"$work/server$i.log" 2>&1 &
    pids+=($!)
    for _ in {1..200}; do
      grep -q 'Ctrl+C' "$work/server$i.log" && break
      kill -0 "${pids[i]}" 2>/dev/null || break
      sleep 0.1
    done
    grep -q 'Ctrl+C' "$work/server$i.log" || { cat "$work/server$i.log" >&2; exit 1; }
    kill -STOP "${pids[i]}"
  done
}

# load SCENARIO SERVER SECONDS: prints the number of requests that were answered.
load() {
  local http=http://127.0.0.1:$((6180 + $2)) https=https://127.0.0.1:$((6540 + $2))
  local limit=(timeout $(($3 + 30)) taskset --cpu-list $load_core)
  case $1 in
    json) "${limit[@]}" wrk -t1 -c64 -d"${3}s" "$http/json" ;;
    https) "${limit[@]}" wrk -t1 -c64 -d"${3}s" "$https/json" ;;
    pipelined) "${limit[@]}" wrk -t1 -c64 -d"${3}s" -s "$work/pipeline.lua" "$http/json" ;;
    h2) "${limit[@]}" h2load -t1 -c16 -m32 --duration="$3" "$https/json" ;;
    *) echo "no such scenario: $1" >&2; return 2 ;;
  esac >"$work/load.log" 2>&1 || { cat "$work/load.log" >&2; return 1; }
  if grep -qE 'Socket errors|Non-2xx|[1-9][0-9]* (failed|errored|timeout)' "$work/load.log"; then
    cat "$work/load.log" >&2
    return 1
  fi

  sed -nE 's/^ +([0-9]+) requests in .*/\1/p; s/^status codes: ([0-9]+) 2xx.*/\1/p' "$work/load.log"
}

cat >"$work/pipeline.lua" <<'LUA'
init = function(args)
  local requests = {}
  for i = 1, 16 do
    requests[i] = wrk.format()
  end
  all = table.concat(requests)
end
request = function()
  return all
end
LUA

# Clock ticks, which are hundredths of a second on every Linux that .NET runs on.
ticks() {
  local stat
  stat=$(<"/proc/$1/stat")
  read -ra stat <<<"${stat##*) }"
  echo $((stat[11] + stat[12]))
}

# turn SCENARIO SERVER SECONDS: prints the CPU microseconds a request and the requests a second.
turn() {
  local before after requests
  kill -CONT "${pids[$2]}"
  before=$(ticks "${pids[$2]}")
  requests=$(load "$@")
  after=$(ticks "${pids[$2]}")
  # The end of the load's connections belongs to nobody's turn.
  sleep 0.2
  kill -STOP "${pids[$2]}"
  awk -v t=$((after - before)) -v n="$requests" -v s="$3" 'BEGIN { printf "%.4f %.1f\n", t * 10000 / n, n / s }'
}

# Until two windows in succession agree within 5 %, and for as long as was asked at least.
warm_up() {
  local last=0 now window=$((warmup < warm_window ? warmup : warm_window)) spent=0 i
  for ((i = 0; i < most_warm_windows; i++)); do
    now=$(turn "$1" "$2" "$window" | cut -d' ' -f1)
    spent=$((spent + window))
    if ((spent >= warmup)) && awk -v a="$last" -v b="$now" 'BEGIN { d = a / b; exit !(d > 0.95 && d < 1.05) }'; then
      break
    fi
    last=$now
    # In a quick run, agreement isn't waited for.
    ((spent >= warmup && warmup < warm_window * 2)) && break
  done
  return 0
}

# Reads lines "round server cpu rps"; prints one row of the table for each server.
table_rows() {
  awk -v scenario="$1" -v rows="$(printf '%s|' "${names[@]}")" '
    function sort(v, n,   i, j, x) { for (i = 2; i <= n; i++) { x = v[i]; for (j = i - 1; j > 0 && v[j] > x; j--) v[j + 1] = v[j]; v[j + 1] = x } }
    function median(v, n) { return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2 }
    { cpu[$2, $1] = $3; rps[$2, $1] = $4; if ($1 > n) n = $1; if ($2 > last) last = $2 }
    END {
      split(rows, name, "|")
      for (s = 0; s <= last; s++) {
        for (r = 1; r <= n; r++) { a[r] = cpu[s, r]; b[r] = rps[s, r]; c[r] = cpu[s, r] / cpu[0, r]; d[r] = rps[s, r] / rps[0, r] }
        sort(a, n); sort(b, n); sort(c, n); sort(d, n)
        ratios = s == 0 ? "1 | 1" : sprintf("%.2f (%.2f..%.2f) | %.2f (%.2f..%.2f)", median(c, n), c[1], c[n], median(d, n), d[1], d[n])
        split(ratios, q, " [|] ")
        printf "| %s | %s | %.2f | %s | %d | %s |\n", scenario, name[s + 1], median(a, n), q[1], median(b, n), q[2]
      }
    }'
}

describe() {
  case $1 in
    json) echo "JSON, keep-alive, 64 connections" ;;
    https) echo "HTTPS JSON, keep-alive, 64 connections" ;;
    h2) echo "HTTPS HTTP/2 JSON, 16 connections × 32 streams" ;;
    pipelined) echo "JSON, pipelined 16 deep, 64 connections" ;;
    *) echo "no such scenario: $1" >&2; return 2 ;;
  esac
}

# A misspelt scenario is told before minutes are spent.
for scenario in ${scenarios//,/ }; do
  describe "$scenario" >/dev/null
done

start_servers
echo "| scenario | transport | CPU µs a request | × Sockets | requests/s | × Sockets |"
echo "| --- | --- | ---: | ---: | ---: | ---: |"
for scenario in ${scenarios//,/ }; do
  for server in "${!names[@]}"; do
    echo "warming up: $scenario, ${names[server]}" >&2
    warm_up "$scenario" "$server"
  done

  : >"$work/$scenario"
  for ((round = 1; round <= rounds; round++)); do
    echo "round $round of $rounds: $scenario" >&2
    order=("${!names[@]}")
    # The other way round every other time, so that nobody always comes after the same.
    ((round % 2 == 0)) && order=(3 2 1 0)
    for server in "${order[@]}"; do
      echo "$round $server $(turn "$scenario" "$server" "$seconds")" >>"$work/$scenario"
    done
  done

  table_rows "$(describe "$scenario")" <"$work/$scenario"
done
echo
echo "$rounds rounds of $seconds s after at least $warmup s of warm-up; $(nproc) processors, Linux $(uname -r), .NET $(dotnet --list-runtimes | awk '/^Microsoft.AspNetCore.App 10/ {v = $2} END {print v}')."
