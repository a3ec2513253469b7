# Very many connections: busy ones and idle ones. Sourced by .ci/run.

# shellcheck source=/dev/null
source eng/ci/wrk.sh

# at_most COUNT: that many connections, or what the limit of descriptors a process leaves room for.
at_most() {
  local limit
  limit=$(ulimit -Hn)
  [[ $limit == unlimited ]] && limit=$(($1 + 1000))
  echo $(($1 < limit - 1000 ? $1 : limit - 1000))
}

check_load() {
  start_hello load || return
  check_wrk "all busy" "$(at_most 10000)" http://127.0.0.1:5180/json 10
  check_idle "$(at_most 15000)"
  same "load: the server logged nothing" "" "$(grep -E '^(warn|fail|crit)' -A3 "$work/load.log")"
  stop "$pid"
}

# So many connections that asked once are held, others are served, then every one of them is asked again.
check_idle() {
  local count=$1 server=$pid
  mkfifo "$work/release"
  # Opened for both, or opening would wait for the other end.
  exec 4<>"$work/release"
  timeout 120 dotnet "$holder" 5180 "$count" <&4 >"$work/holder.log" 2>&1 &
  local holding=$!
  started+=("$holding")
  for _ in {1..600}; do
    grep -q '^holding' "$work/holder.log" && break
    sleep 0.1
  done
  same "idle connections are held" "holding $count" "$(grep '^holding' "$work/holder.log")"
  echo "        resident memory of the server: $(awk '/^VmRSS/ {print $2, $3}' "/proc/$server/status")"
  check_wrk "others are served meanwhile" 64 http://127.0.0.1:5180/json 4
  echo >&4
  ended "$holding"
  same "every one of them still answers" "answered again $count" "$(grep '^answered' "$work/holder.log")"
  exec 4>&-
  rm -f "$work/release"
}

build && check_load
