# What only the kernel can tell: how many calls an answer takes, and what happens at the limit of descriptors.
# Sourced by .ci/run.

count_calls() {
  grep -cE "^[0-9]+ +($1)\(" "$work/strace.log"
}

# trace_requests PATH COUNT: the server's calls while one connection asks COUNT times, one after the other.
trace_requests() {
  timeout 30 curl --silent "http://127.0.0.1:5180/$1?[1-2000]" >/dev/null
  strace --follow-forks --attach="$pid" --output="$work/strace.log" --string-limit=8 \
    --trace=sendto,sendmsg,sendmmsg,writev,recvfrom,recvmsg,readv 2>/dev/null &
  local tracer=$!
  started+=("$tracer")
  sleep 1.5
  timeout 60 curl --silent "http://127.0.0.1:5180/$1?[1-$2]" >/dev/null
  sleep 0.5
  kill -INT "$tracer"
  ended "$tracer"
}

check_calls_a_request() {
  if ! strace -o "$work/strace-probe" true 2>/dev/null; then
    echo "        strace may not trace here: left out"
    return
  fi

  local mode requests=500
  for mode in ThreadPool UnsafeInline; do
    start_hello "calls-$mode" --scheduling "$mode" || return
    trace_requests "json" "$requests"
    echo "        $mode: $(count_calls 'sendto|sendmsg|sendmmsg|writev') sends for $requests requests of /json, which flushes twice"
    trace_requests "" "$requests"
    stop "$pid"
    same "$mode: one send an answer" "$requests" "$(count_calls 'sendto|sendmsg|sendmmsg|writev')"
    local received
    received=$(count_calls 'recvfrom|recvmsg|readv')
    if [[ $TRANSPORT != epoll ]]; then
      echo "        $mode: $received receives for $requests requests"
    elif ((received <= requests + 10)); then
      # The stock transport makes two, so this also shows that it isn't the one that serves.
      pass "$mode: one receive a request ($received for $requests)"
    else
      fail "$mode: one receive a request" "$received for $requests"
    fi
  done
}

# More connections than the server has descriptors for: it must neither spin nor flood the log, live, and come back.
check_descriptor_limit() {
  local limit=400
  # Before it starts, as a user would; the runtime raises a soft limit to the hard one.
  start limit "Ctrl+C stops it" sh -c "ulimit -n $limit; exec \"\$@\"" limited dotnet "$hello" --transport "$TRANSPORT" \
    --urls http://127.0.0.1:5180 --Logging:LogLevel:Default=Debug || return
  mkfifo "$work/limit"
  exec 4<>"$work/limit"
  timeout 60 dotnet "$holder" 5180 "$limit" --silent <&4 >"$work/holder.log" 2>&1 &
  local holding=$!
  started+=("$holding")
  sleep 3

  local before cpu lines
  before=$(cpu_of "$pid")
  lines=$(wc -l <"$work/limit.log")
  sleep 3
  cpu=$(($(cpu_of "$pid") - before))
  lines=$(($(wc -l <"$work/limit.log") - lines))
  local found="$((cpu * 10 / 3)) ms CPU and $((lines / 3)) log lines a second at the limit of descriptors"
  if [[ $TRANSPORT != epoll ]]; then
    echo "        $found"
  elif ((cpu <= 30 && lines <= 60)); then
    pass "$found"
  else
    fail "neither spins nor floods" "$found"
  fi

  echo >&4
  ended "$holding"
  exec 4>&-
  rm -f "$work/limit"
  same "accepts again once descriptors are free" "Hello, World!" "$(curl --silent --max-time 10 http://127.0.0.1:5180/)"
  stop "$pid"
}

build && check_calls_a_request && check_descriptor_limit
