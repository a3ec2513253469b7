# Big bodies both ways, byte for byte, in every scheduling mode. Sourced by .ci/run.

transfer() {
  timeout 300 curl --silent --show-error --insecure "$@" 2>&1
}

check_transfers() {
  local bytes=$((TRANSFER_MIB * 1024 * 1024)) file=$work/upload mode up down
  head -c "$bytes" /dev/urandom >"$file"
  up=$(sha256sum <"$file" | cut -d' ' -f1)
  down=$(seq 100000000000000 199999999999999 | head -c "$bytes" | sha256sum | cut -d' ' -f1)

  for mode in ThreadPool UnsafeInline; do
    start_hello "transfers-$mode" --scheduling "$mode" || return
    local name options
    for name in "http --http1.1 http://127.0.0.1:5180" "https, HTTP/1.1 --http1.1 https://127.0.0.1:5543" "https, HTTP/2 --http2 https://127.0.0.1:5543"; do
      options=(--"${name#* --}")
      read -ra options <<<"${options[0]}"
      name=${name%% --*}
      same "$mode, $name: $TRANSFER_MIB MiB up" "$up" "$(transfer "${options[0]}" --upload-file "$file" "${options[1]}/upload")"
      same "$mode, $name: $TRANSFER_MIB MiB down" "$down" \
        "$(transfer "${options[0]}" "${options[1]}/bytes?n=$bytes" | sha256sum | cut -d' ' -f1)"
    done
    same "$mode: the server logged nothing" "" "$(grep -E '^(warn|fail|crit)' -A3 "$work/transfers-$mode.log")"
    stop "$pid"
  done
  rm -f "$file"
}

build && check_transfers
