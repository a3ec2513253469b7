# wrk as a check. Sourced by the parts that need it.

# check_wrk NAME CONNECTIONS URL [SECONDS]: answers come, none of them is an error, and no connection fails.
check_wrk() {
  local name=$1 connections=$2 url=$3 seconds=${4:-3} output
  # Many connections on few processors wait in turn: slow is not an error here.
  output=$(ulimit -n "$(ulimit -Hn)" && timeout $((seconds + 60)) wrk --threads 2 --connections "$connections" \
    --duration "${seconds}s" --timeout 30s "$url" 2>&1)
  if grep -q '^Requests/sec' <<<"$output" && ! grep -qE 'Socket errors|Non-2xx' <<<"$output" \
    && ! grep -qE ' 0 requests in' <<<"$output"; then
    pass "$name: $connections connections, $(awk '/^Requests\/sec/ {print $2}' <<<"$output") requests/s"
  else
    fail "$name" "$output"
  fi
}
