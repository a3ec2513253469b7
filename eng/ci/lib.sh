# Counting checks, and starting and ending servers. Sourced by .ci/run.

passed=0
failed=0
work=$(mktemp -d)
declare -a started=()

pass() {
  passed=$((passed + 1))
  echo "ok      $1"
}

fail() {
  failed=$((failed + 1))
  echo "FAILED  $1"
  [[ -n ${2:-} ]] && echo "$2" | tail -n 20 | sed 's/^/        /'
  return 0
}

# check NAME SECONDS COMMAND...: passes if the command exits with 0 in time; shows what it printed if not.
check() {
  local name=$1 limit=$2 output
  shift 2
  if output=$(timeout --kill-after=5 "$limit" "$@" 2>&1 </dev/null); then
    pass "$name"
  else
    fail "$name" "exit code $?: $output"
  fi
}

# same NAME EXPECTED ACTUAL
same() {
  if [[ $2 == "$3" ]]; then pass "$1"; else fail "$1" "expected '$2', got '$3'"; fi
}

# readme_command PREFIX: the command that the README gives, so that what is checked is what is promised.
readme_command() {
  grep --max-count=1 "^$1" README.md
}

# start NAME READY COMMAND...: runs it in the background, its output in $work/NAME.log, and waits until it printed READY.
# Sets $pid.
start() {
  local name=$1 ready=$2
  shift 2
  : >"$work/$name.log"
  "$@" </dev/null >>"$work/$name.log" 2>&1 &
  pid=$!
  started+=("$pid")
  for _ in {1..600}; do
    grep -q "$ready" "$work/$name.log" && return 0
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  fail "$name starts" "$(cat "$work/$name.log")"
  return 1
}

# stop PID: asks a process of ours to end, and makes it if it doesn't. The exit code is the process's own.
stop() {
  kill -TERM "$1" 2>/dev/null
  for _ in {1..150}; do
    kill -0 "$1" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$1" 2>/dev/null && echo "        process $1 did not end in 15 s"
  ended "$1"
}

# ended PID: waits for a process of ours; from now on its number may be another's. The exit code is the process's own.
ended() {
  local code one
  local -a rest=()
  wait "$1" 2>/dev/null
  code=$?
  for one in "${started[@]}"; do
    [[ $one == "$1" ]] || rest+=("$one")
  done
  started=("${rest[@]}")
  return $code
}

hello=samples/HelloKestrel/bin/Release/net10.0/HelloKestrel.dll
echo_server=samples/EchoServer/bin/Release/net10.0/EchoServer.dll
restart_sample=samples/Restart/bin/Release/net10.0/Restart.dll
holder=eng/ConnectionHolder/bin/Release/net10.0/ConnectionHolder.dll

build() {
  local project
  for project in samples/HelloKestrel samples/EchoServer samples/Restart eng/ConnectionHolder; do
    timeout 300 dotnet build --configuration Release --verbosity quiet "$project" >"$work/build.log" 2>&1 \
      || { fail "$project builds" "$(cat "$work/build.log")"; return 1; }
  done
}

# start_hello NAME ARGUMENTS...: HelloKestrel on http 5180 and https 5543.
start_hello() {
  local name=$1
  shift
  start "$name" "Ctrl+C stops it" dotnet "$hello" --transport "$TRANSPORT" \
    --urls "http://127.0.0.1:5180;https://127.0.0.1:5543" "$@"
}

# check_transport PID: the stock transport stays in use, without an error, where ours can't be. Here it must be the one that was asked for.
check_transport() {
  local expected=no drives=no
  [[ $TRANSPORT == epoll ]] && expected=yes
  grep -qs '^epoll loop' /proc/"$1"/task/*/comm && drives=yes
  same "a thread of the server drives a loop: $expected" "$expected" "$drives"
}

# CPU time of a process so far, in hundredths of a second.
cpu_of() {
  local stat
  stat=$(<"/proc/$1/stat")
  # The name in parentheses may hold spaces; after it, utime and stime are the 12th and 13th.
  read -ra stat <<<"${stat##*) }"
  echo $((stat[11] + stat[12]))
}

finish() {
  echo "$passed passed, $failed failed"
  [[ $failed == 0 && $passed != 0 ]]
  exit
}

clean_up() {
  local one
  for one in "${started[@]}"; do
    kill -KILL "$one" 2>/dev/null
  done
  rm -rf "$work"
}
trap clean_up EXIT
