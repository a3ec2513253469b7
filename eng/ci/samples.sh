# The samples, started as the README says and asked as a visitor would. Sourced by .ci/run.

ask() {
  timeout 20 curl --silent --show-error --fail --insecure "$@" 2>&1
}

check_hello() {
  local command server socket=/tmp/hello-kestrel.sock
  export TMPDIR=/tmp
  command=$(readme_command "dotnet run")
  same "the README gives the command that serves" "dotnet run -c Release --project samples/HelloKestrel" "$command"
  # dotnet run takes the runtime beside the SDK, whatever PATH and DOTNET_ROOT say.
  if [[ -n ${EXPECTED_DOTNET:-} ]]; then command="dotnet $hello"; else command+=" --"; fi
  # shellcheck disable=SC2086 # The command is several words.
  start hello "Ctrl+C stops it" $command --transport "$TRANSPORT" || return

  # dotnet run starts the server as a process of its own, which says its number.
  server=$(sed -nE 's/.*process ([0-9]+)\..*/\1/p' "$work/hello.log")
  started+=("$server")

  check_transport "$server"
  # As mapped: about another runtime than the one that is meant, nothing else here would say anything.
  same "the runtime's version" "${EXPECTED_DOTNET:-10}" "$(sed -nE 's|.*/Microsoft\.NETCore\.App/([0-9]+)\..*/libcoreclr\.so$|\1|p' "/proc/$server/maps" | sort -u)"
  same "curl: plain" "Hello, World! 1.1" "$(ask http://localhost:5080/ -w ' %{http_version}')"
  same "curl: JSON" '{"message":"Hello, World!"}' "$(ask http://localhost:5080/json)"
  same "curl: HTTP/2 without TLS" '{"message":"Hello, World!"} 2' "$(ask --http2-prior-knowledge http://localhost:5081/json -w ' %{http_version}')"
  same "curl: HTTPS, HTTP/1.1" "Hello, World! 1.1" "$(ask --http1.1 https://localhost:5443/ -w ' %{http_version}')"
  same "curl: HTTPS, HTTP/2" "Hello, World! 2" "$(ask --http2 https://localhost:5443/ -w ' %{http_version}')"
  same "curl: unix socket" "Hello, World! 1.1" "$(ask --unix-socket "$socket" http://localhost/ -w ' %{http_version}')"
  same "curl: a bad query is a 400" "400" "$(timeout 20 curl --silent -o "$work/bad" -w '%{http_code}' 'http://localhost:5080/bytes?n=x')"
  same "garbage is answered with 400" "HTTP/1.1 400 Bad Request" "$(garbage)"
  same "curl: IPv6, after the garbage" "Hello, World!" "$(ask 'http://[::1]:5080/')"
  check_curl_lines
  check_usage HelloKestrel "address already in use" dotnet "$hello" --transport "$TRANSPORT"
  check_websocket
  check_h2load "h2load: HTTP/1.1" --h1 http://127.0.0.1:5080/json
  check_h2load "h2load: HTTP/2 without TLS" http://127.0.0.1:5081/json
  check_h2load "h2load: HTTPS, HTTP/1.1" --h1 https://127.0.0.1:5443/json
  check_h2load "h2load: HTTPS, HTTP/2" https://127.0.0.1:5443/json
  check_wrk "wrk: plain" 64 http://127.0.0.1:5080/
  check_wrk "wrk: HTTPS" 64 https://127.0.0.1:5443/json

  kill -TERM "$server"
  stop "$pid"
  same "HelloKestrel ends when asked" "0" "$?"
  ended "$server"
  if [[ -e $socket ]]; then fail "its unix socket is gone"; else pass "its unix socket is gone"; fi
  same "HelloKestrel logged nothing" "" "$(grep -E '^(warn|fail|crit)' -A3 "$work/hello.log")"
}

# Each line that the sample prints, or the README shows, to be copied works as it stands, in zsh too, which takes an unquoted ? for a pattern.
check_curl_lines() {
  local line count=0 shell=sh
  command -v zsh >/dev/null && shell=zsh
  while IFS= read -r line; do
    count=$((count + 1))
    check "as printed, in $shell: $line" 20 "$shell" -c "$line"
    if [[ ${line//\'*\'/} == *\?* ]]; then fail "its ? is quoted"; fi
  done < <(sed -nE 's/^  .{22}((curl|head) .*)$/\1/p' "$work/hello.log")
  same "there are lines to copy" 6 "$count"
  while read -r line; do
    check "README: $line" 20 bash -c "cd '$work' && $line --silent --show-error --fail"
  done < <(grep '^curl ' README.md)
}

# check_usage NAME MESSAGE COMMAND...: what a new user does first: asks for help, mistypes, and starts it twice: COMMAND binds what is in use.
check_usage() {
  local name=$1 message=$2 output
  shift 2
  for option in --help -h; do
    output=$(timeout 20 "$@" $option 2>"$work/usage.err")
    same "$name $option ends with 0" 0 "$?"
    [[ $output == *"--"*[A-Z]* && ! -s $work/usage.err ]] || fail "$name $option prints the options" "$output"
  done
  output=$(timeout 20 "$@" --prot 1 2>&1)
  same "$name with an unknown option ends with 2" 2 "$?"
  same "$name says which" "There is no option '--prot'. --help shows what there is." "$output"
  output=$(timeout 20 "$@" 2>&1)
  same "$name where another serves ends with 1" 1 "$?"
  same "$name says so in one line" "1 1" "$(grep -ci "$message" <<<"$output") $(wc -l <<<"$output")"
}

check_restart_usage() {
  [[ $TRANSPORT == epoll ]] || return
  start restart-usage "Ctrl+C ends it" dotnet "$restart_sample" --port 5190 || return
  check_usage Restart "address already in use" dotnet "$restart_sample" --port 5190
  stop "$pid"
}

garbage() {
  exec 3<>/dev/tcp/127.0.0.1/5080
  printf 'this is no HTTP at all\r\n\r\n' >&3
  timeout 10 head -n 1 <&3 | tr -d '\r'
  exec 3>&-
}

# An upgrade and one masked text frame by hand: the frame that comes back is the same text, not masked.
check_websocket() {
  exec 3<>/dev/tcp/127.0.0.1/5080
  printf 'GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n' >&3
  local line status=
  while IFS= read -r -t 10 line <&3; do
    line=${line%$'\r'}
    status=${status:-$line}
    [[ -z $line ]] && break
  done
  same "WebSocket: upgrade" "HTTP/1.1 101 Switching Protocols" "$status"
  printf '\x81\x85\x01\x01\x01\x01idmmn' >&3 # "hello", each byte xor 1
  same "WebSocket: echo" "$(printf '\x81\x05hello' | od -An -tx1)" "$(timeout 10 head -c 7 <&3 | od -An -tx1)"
  exec 3>&-
}

# check_h2load NAME ARGUMENTS...: 8 connections, 16 streams each where there are streams, every request answered with 2xx.
check_h2load() {
  local name=$1 output requests=20000
  shift
  output=$(timeout 60 h2load --requests="$requests" --clients=8 --max-concurrent-streams=16 "$@" 2>&1)
  if grep -q "status codes: $requests 2xx" <<<"$output" && grep -q " 0 failed, 0 errored, 0 timeout" <<<"$output"; then
    pass "$name: $(sed -nE 's/^finished in [^,]+, ([^,]+),.*/\1/p' <<<"$output")"
  else
    fail "$name" "$output"
  fi
}

check_echo() {
  if [[ $TRANSPORT != epoll ]]; then
    echo "        EchoServer is a sample of this transport alone"
    return
  fi

  start echo "Ctrl+C stops it" dotnet "$echo_server" --port 7007 || return
  same "EchoServer: its client" "echo: one echo: two" \
    "$(printf 'one\ntwo\n' | timeout 20 dotnet "$echo_server" client --port 7007 2>&1 | grep '^echo' | paste -sd' ')"
  check_usage EchoServer "address already in use" dotnet "$echo_server" --port 7007
  exec 3<>/dev/tcp/127.0.0.1/7007
  printf 'held\n' >&3
  same "EchoServer: a plain socket" "held" "$(timeout 10 head -n 1 <&3)"
  # One connection is still open, and has to be let go of.
  stop "$pid"
  same "EchoServer ends when asked" "0" "$?"
  same "EchoServer: the open connection ended cleanly" "" "$(timeout 10 cat <&3)"
  exec 3>&-

  start echo-unix "Ctrl+C stops it" dotnet "$echo_server" --unix "$work/echo.sock" || return
  same "EchoServer: unix socket" "echo: one" \
    "$(printf 'one\n' | timeout 20 dotnet "$echo_server" client --unix "$work/echo.sock" 2>&1 | grep '^echo')"
  stop "$pid"
}

# shellcheck source=/dev/null
source eng/ci/wrk.sh
build && check_hello && check_echo && check_restart_usage
