# The two samples of metrics: a page whose charts Chromium has to draw, and what OpenTelemetry's SDK exports. Sourced by .ci/run.

dashboard=samples/LoopDashboard/bin/Release/net10.0/LoopDashboard.dll
metrics=samples/Metrics/bin/Release/net10.0/Metrics.dll

install_browser() {
  command -v chromium >/dev/null && command -v node >/dev/null && return 0
  export DEBIAN_FRONTEND=noninteractive
  apt-get install --yes --no-install-recommends chromium nodejs fonts-inter || {
    apt-get update && apt-get install --yes --no-install-recommends chromium nodejs fonts-inter
  }
}

build_metrics_samples() {
  local project
  for project in samples/LoopDashboard samples/Metrics; do
    timeout 300 dotnet build --configuration Release --verbosity quiet "$project" >"$work/build.log" 2>&1 \
      || { fail "$project builds" "$(cat "$work/build.log")"; return 1; }
  done
}

check_dashboard() {
  local url output
  start dashboard "Ctrl+C stops it" dotnet "$dashboard" --port 0 --loops 2 --load || return
  url=$(sed -nE 's|.* (http://[0-9.:]+/)\. .*|\1|p' "$work/dashboard.log")
  if output=$(timeout --kill-after=5 60 node eng/dashboard/look.mjs "$url" --points 12 2>&1); then
    pass "Chromium: $output"
  else
    fail "Chromium draws the dashboard from events" "$output"
  fi

  same "the page comes with its chart library and its licence" "200 200" \
    "$(curl -so "$work/page" -w '%{http_code}' "${url}vendor/uplot/uPlot.iife.min.js") $(curl -so "$work/page" -w '%{http_code}' "${url}vendor/uplot/LICENSE.txt")"

  # A page that is open does not keep it from ending, and its stream ends cleanly.
  curl --silent --no-buffer --max-time 60 "${url}events" >"$work/events" &
  local reader=$!
  for _ in {1..100}; do
    grep -q '^event: sample' "$work/events" && break
    sleep 0.1
  done
  stop "$pid"
  same "LoopDashboard ends when asked" "0" "$?"
  wait "$reader"
  same "the stream of an open page ends with it" "0" "$?"
  same "LoopDashboard logged nothing" "" "$(grep -E '^(warn|fail|crit)' -A3 "$work/dashboard.log")"
}

check_metrics() {
  local url
  start metrics "Ctrl+C stops it" dotnet "$metrics" --port 0 --every 1 || return
  url=$(sed -nE "s|.*curl '(http://[0-9.:]+)/hello'.*|\1|p" "$work/metrics.log")
  same "Metrics answers" "Hello, World!" "$(timeout 20 curl -s "$url/hello")"
  for _ in {1..100}; do
    grep -q 'Metric Name: epoll_transport.queueing.duration' "$work/metrics.log" && break
    sleep 0.1
  done
  same "OpenTelemetry exports what was accepted, with its unit" "1" \
    "$(grep -c 'Metric Name: epoll_transport.connections.accepted.*Unit: {connection}' <(grep -m1 'Metric Name: epoll_transport.connections.accepted' "$work/metrics.log"))"
  same "and the histogram of delays, in seconds" "1" \
    "$(grep -c 'Unit: s' <(grep -m1 'Metric Name: epoll_transport.queueing.duration' "$work/metrics.log"))"
  stop "$pid"
  same "Metrics ends when asked" "0" "$?"
}

if [[ $TRANSPORT != epoll ]]; then
  echo "        the figures are this transport's alone"
elif install_browser >"$work/browser.log" 2>&1; then
  build_metrics_samples && check_dashboard && check_metrics
else
  fail "Chromium and Node.js are there" "$(cat "$work/browser.log")"
fi
