# That what measures the transport runs, and that the transport allocates nothing where it should not. The times of so
# short runs say nothing. Sourced by .ci/run.

check "microbenchmarks: nothing of the transport's allocates" 180 \
  dotnet run --configuration Release --project eng/Microbenchmarks -- --quick
if (($(nproc) > 1)); then
  check "TransportBench: a short comparison" 240 \
    eng/bench.sh --quick --pairs 1 --launches 2 --transports epoll,floor --scenarios json-64,h2,isolation-100 --output "$work/bench"
  check "TransportBench: its page and its figures are there" 5 test -s "$work/bench/results.md" -a -s "$work/bench/results.json"
  check "TransportBench: servers were started twice where they take turns" 5 grep -q '^`json-64`, turns of each: 2$' "$work/bench/results.md"
  check "TransportBench: and not where each turn has its own" 5 grep -q '^`isolation-100`, turns of each: 1$' "$work/bench/results.md"
  # On a machine that is busy every turn may have to be discarded. That it was the client has to be said then.
  check "TransportBench: an open loop has figures, or says that the client was the limit" 120 bash -c '
    eng/bench.sh --quick --pairs 1 --transports epoll --scenarios open-10k --output "$1" ||
      grep -q "the client was the limit in every round" "$1/results.md"' _ "$work/open"
  check "TransportBench: and tells what was discarded" 5 grep -qE "turns discarded|the client was the limit" "$work/open/results.md"
else
  echo "        TransportBench needs a processor for the server and one for the load: left out"
fi
