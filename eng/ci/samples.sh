# The samples, started as the README says and asked as a visitor would. Sourced by .ci/run.

ask() {
  timeout 20 curl --silent --show-error --fail --insecure "$@" 2>&1
}

check_hello() {
  local command server line socket=/tmp/hello-kestrel.sock
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
  while IFS= read -r line; do
    copied README "Hello, World!|^$" "$line"
  done < <(grep '^curl ' README.md)
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

# copied NAME EXPECTED LINE: works as it stands in bash, and in zsh, which takes an unquoted ? for a pattern. EXPECTED is in the output.
copied() {
  local shell output code
  for shell in bash "zsh -f"; do
    # shellcheck disable=SC2086 # A shell and its option.
    output=$(cd "$work" && timeout 20 $shell -c "curl() { command curl --fail --silent --show-error \"\$@\"; }; $3" 2>&1 </dev/null | tr -d '\0')
    code=$?
    # 23: who reads it has enough.
    if [[ $code == 0 && $output =~ $2 ]] && ! grep -v '(23)' <<<"$output" | grep -q '^curl: '; then
      pass "$1, in ${shell% *}: $3"
    else
      fail "$1, in ${shell% *}: $3" "exit code $code: $output"
    fi
  done
}

# What a new user does first with each sample: asks for help, mistypes, copies what it prints, and starts it twice.
# shellcheck disable=SC2086 # A command and arguments are several words.
check_usage() {
  local folder name arguments wrong answer lines sample option line output
  for folder in samples/*/*.csproj; do
    folder=${folder%/*}
    name=${folder#*/}
    answer='Hello, World!|took a while|event: sample'
    wrong="--port 65536"
    case $name in
      HelloKestrel) arguments="--transport $TRANSPORT" wrong="--scheduling Fast" lines=6 answer+='|[0-9a-f]{64}' ;;
      EchoServer) arguments="--port 7007" lines=0 ;;
      LoopDashboard) arguments="--load" lines=3 ;;
      Metrics) arguments="--port 5160" wrong="--otlp nowhere" lines=2 ;;
      RealStacks) arguments="--port 5600" wrong="--proxy Fast" lines=6 answer='Hello, you!' ;;
      Restart) arguments="--port 5190" lines=1 answer='^process [0-9]+$' ;;
      *) fail "$name is among the samples that are tried"; continue ;;
    esac
    [[ $TRANSPORT == epoll || $name == HelloKestrel ]] || continue
    check "$name is built" 300 dotnet build --configuration Release --verbosity quiet "$folder"
    sample="dotnet $folder/bin/Release/net10.0/$name.dll"

    for option in --help -h; do
      output=$(timeout 20 $sample $option 2>"$work/usage.err")
      same "$name $option prints the options, and no error" "0 1 0" "$? $(grep -c -- '^Options:' <<<"$output") $(wc -l <"$work/usage.err")"
    done
    refused "$name with an unknown option" 2 "'--prot'" $sample --prot 1
    refused "$name with a wrong value" 2 "${wrong% *} must be .*, not '${wrong#* }'" $sample $wrong

    start "usage-$name" "Ctrl+C stops it" $sample $arguments || continue
    refused "$name where another serves" 1 "address already in use" $sample $arguments
    while IFS= read -r line; do
      lines=$((lines - 1))
      copied "$name" "$answer" "$line"
    done < <(grep -oE '(curl|head|printf) .*' "$work/usage-$name.log")
    same "$name printed all lines to copy" 0 "$lines"
    stop "$pid"
    same "$name ends when asked" 0 "$?"
  done
}

# refused NAME CODE TEXT COMMAND...: an error is one line with TEXT, and the exit code CODE.
refused() {
  local name=$1 code=$2 text=$3 output
  shift 3
  output=$(timeout 20 "$@" 2>&1 >/dev/null </dev/null)
  same "$name: exit code, lines, text" "$code 1 1" "$? $(wc -l <<<"$output") $(grep -ciE -- "$text" <<<"$output")"
}

# Each command of the README is one that is run here or in another part, and none has a comment, which zsh takes for arguments.
check_readme() {
  same "the README's commands" "$(printf '%s\n' 'dotnet add package KestrelEpollTransport --prerelease' \
    'dotnet run -c Release --project samples/HelloKestrel' 'dotnet test -c Release' 'dotnet run -c Release --project samples/LoopDashboard -- --load')" \
    "$(sed -n '/^```sh/,/^```/p' README.md | grep -vE '^(```|curl )')"
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
check_readme
build && check_hello && check_echo && check_usage
