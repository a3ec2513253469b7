# HelloKestrel as a published program, asked as a visitor would. Sourced by the parts that need it.

# ask_published ARGUMENTS...: what curl says; under emulation the first TLS handshake takes seconds.
ask_published() {
  timeout 60 curl --silent --show-error --fail --insecure "$@" 2>&1
}

# check_published NAME COMMAND...: what COMMAND starts, over each protocol, behind the PROXY protocol, and until it ends.
check_published() {
  local name=$1 server text up sum bytes=1000000
  shift
  start "$name" "Ctrl+C stops it" "$@" --transport "$TRANSPORT" --urls "http://127.0.0.1:5180;https://127.0.0.1:5543" \
    --proxy-protocol Optional || return
  server=$pid
  check_transport "$server"
  same "$name: plain" "Hello, World! 1.1" "$(ask_published http://127.0.0.1:5180/ -w ' %{http_version}')"
  same "$name: JSON" '{"message":"Hello, World!"}' "$(ask_published http://127.0.0.1:5180/json)"
  same "$name: HTTPS, HTTP/1.1" "Hello, World! 1.1" "$(ask_published --http1.1 https://127.0.0.1:5543/ -w ' %{http_version}')"
  same "$name: HTTPS, HTTP/2" '{"message":"Hello, World!"} 2' "$(ask_published --http2 https://127.0.0.1:5543/json -w ' %{http_version}')"
  text=$(ask_published --haproxy-protocol http://127.0.0.1:5180/connection)
  same "$name: the PROXY protocol" ", PROXY 1" "${text#"${text%, PROXY*}"}"
  sum=$(seq 100000000000000 199999999999999 | head -c "$bytes" | sha256sum | cut -d' ' -f1)
  same "$name: $bytes bytes down" "$sum" "$(ask_published "https://127.0.0.1:5543/bytes?n=$bytes" | sha256sum | cut -d' ' -f1)"
  up=$(seq 100000000000000 199999999999999 | head -c "$bytes" | ask_published --upload-file - http://127.0.0.1:5180/upload)
  same "$name: $bytes bytes up" "$sum" "$up"
  check_wrk "$name, a short load" 32 http://127.0.0.1:5180/json 3
  stop "$server"
  same "$name ends when asked" "0" "$?"
  same "$name logged nothing" "" "$(grep -E '^(warn|fail|crit)' -A3 "$work/$name.log")"
}

# shellcheck source=/dev/null
source eng/ci/wrk.sh
