# A server that is replaced under load by one that inherits its sockets, again and again: a short run of eng/RestartTool. And limits of connections. Sourced by .ci/run.

restart_tool=eng/RestartTool/bin/Release/net10.0/RestartTool.dll

build_restart() {
  local project
  for project in samples/Restart eng/RestartTool; do
    timeout 300 dotnet build --configuration Release --verbosity quiet "$project" >"$work/build.log" 2>&1 \
      || { fail "$project builds" "$(cat "$work/build.log")"; return 1; }
  done
}

check_restarts() {
  local output
  if output=$(timeout --kill-after=5 100 dotnet "$restart_tool" --server "$restart_sample" --connections 300 --restarts 4 2>&1); then
    pass "restarts under load: $(awk '/^requests answered/ {print $NF}' <<<"$output") answers, none failed, $(awk '/^to be retried/ {print $NF}' <<<"$output") to be retried"
  else
    fail "restarts under load" "$output"
  fi
}

# systemd's own tool starts the server when the first client comes, as a socket unit does: the client waits in the socket's queue until then.
check_activation() {
  local server socket=$work/activation.sock
  start activation "Listening on $socket" systemd-socket-activate --listen "127.0.0.1:5290" --listen "$socket" \
    dotnet "$restart_sample" --port 5290 --unix "$socket" || return

  # It becomes the server: the number stays.
  server=$pid
  same "socket activation, TCP: who came before the server is answered" "process $server" \
    "$(timeout 20 curl --silent --show-error --fail http://127.0.0.1:5290/ 2>&1)"
  same "socket activation, a unix socket" "process $server" \
    "$(timeout 20 curl --silent --show-error --fail --unix-socket "$socket" http://localhost/ 2>&1)"
  stop "$server"
  same "socket activation: the server ends when asked" "0" "$?"
  if [[ -S $socket ]]; then pass "socket activation: the file, which is the manager's, stays"; else fail "socket activation: the file, which is the manager's, stays"; fi
}

# The units of the sample say nothing that systemd does not know. What they start is not installed here, so any program stands for it.
check_units() {
  local units=$work/units
  mkdir -p "$units"
  cp samples/Restart/systemd/* "$units"
  sed -i 's|^ExecStart=[^ ]*|ExecStart=/bin/true|' "$units/restart.service"
  check "the sample's units are understood by systemd" 20 bash -c 'out=$(systemd-analyze verify "$1"/restart.service "$1"/restart.socket 2>&1) || { echo "$out"; exit 1; }; ! grep -F "$1" <<<"$out"' _ "$units"
}

# When connections end by their age and idle time, and how many of a burst are let in: fails where a time is off by more than a tenth.
check_limits() {
  local output
  if output=$(timeout --kill-after=5 170 eng/stress.sh 5 --transport "$TRANSPORT" --what ConnectionLimits 2>&1); then
    pass "limits of connections: $(sed -n 's/^  idle: of 5 s *//p' <<<"$output") of the idle time"
  else
    fail "limits of connections" "$(grep -E '^(stress|FAILED)|error' <<<"$output" | cut -c1-600)"
  fi
}

build_restart && check_units && check_restarts && check_activation
check_limits
