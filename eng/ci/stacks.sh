# samples/RealStacks over both transports and in each mode of ours: the application and YARP in front of it, asked with the curl lines that
# it prints and by SignalR's JavaScript client. Sourced by .ci/run.

real_stacks=samples/RealStacks/bin/Release/net10.0/RealStacks.dll

build_stacks() {
  timeout 300 dotnet build --configuration Release --verbosity quiet samples/RealStacks >"$work/build.log" 2>&1 \
    || { fail "samples/RealStacks builds" "$(cat "$work/build.log")"; return 1; }
  # A copy: the packages are not for the source's folder.
  mkdir "$work/javascript"
  cp samples/RealStacks/javascript/{client.js,package.json,package-lock.json} "$work/javascript"
  check "the packages of the JavaScript client, as locked" 120 npm ci --prefix "$work/javascript" --no-audit --no-fund
}

# check_stacks APPLICATION PROXY: what each is served by.
check_stacks() {
  local name="RealStacks, $1 behind $2" log=$work/stacks-$1-$2.log server line where port
  start "stacks-$1-$2" "Ctrl+C stops it" dotnet "$real_stacks" --port 5600 --application "$1" --proxy "$2" || return
  server=$pid

  same "$name: the lines for curl" \
    "Hello, you! (HTTP/1.1) Hello, you! (HTTP/2) Hello, you! Hello, you! (HTTP/2) Hello, you! (HTTP/2) Hello, you!" \
    "$(grep -oE '(curl|printf) .*' "$log" | while IFS= read -r line; do timeout 20 bash -c "$line" </dev/null 2>&1; done \
      | grep -oE 'Hello, you!( \([^)]+\))?' | paste -sd' ')"
  for where in application:5600 proxy:5602; do
    port=${where#*:}
    same "$name: SignalR's JavaScript client asks the ${where%:*}" "$hub_answers" \
      "$(timeout 40 node "$work/javascript/client.js" "http://127.0.0.1:$port/hub" 2>&1)"
  done

  stop "$server"
  same "$name: it ends when asked" "0" "$?"
  # SignalR logs what a hub throws, which the clients ask for.
  same "$name: it logged nothing else" "" "$(grep -E '^(warn|fail|crit)' "$log" | grep -v 'SignalR.Internal.DefaultHubDispatcher')"
}

hub_answers=$(for transport in WebSockets ServerSentEvents LongPolling; do
  echo "$transport: Hello, you! heard you, counted 0,1,2, summed 3, An unexpected error occurred invoking 'Greet' on the server. HubException: A name is needed."
done)

check_modes() {
  local mode
  check_stacks Sockets Sockets
  [[ $TRANSPORT == epoll ]] || return 0
  check_stacks Adaptive Sockets
  check_stacks Sockets Adaptive
  for mode in Adaptive ScheduleContinuations ThreadPool UnsafeInline; do
    check_stacks "$mode" "$mode"
  done
}

build_stacks && check_modes
