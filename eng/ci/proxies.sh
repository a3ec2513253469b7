# Real proxies in front of HelloKestrel, and curl in front of them: HAProxy with both versions of the PROXY protocol, and nginx's
# stream module, which has version 1; and random headers over real connections. Sourced by .ci/run.

write_haproxy_config() {
  cat >"$work/haproxy.cfg" <<CONFIG
global
  maxconn 100

defaults
  mode tcp
  timeout connect 5s
  timeout client 20s
  timeout server 20s

listen version-1
  bind 127.0.0.1:5191
  server hello 127.0.0.1:5180 send-proxy

# Its health checks come five times a second, with the command LOCAL.
listen version-2
  bind 127.0.0.1:5192
  unique-id-format port-%cp
  server hello 127.0.0.1:5180 send-proxy-v2 proxy-v2-options crc32c,unique-id check inter 200ms

listen version-2-of-tls
  bind 127.0.0.1:5193
  server hello 127.0.0.1:5543 send-proxy-v2

listen without
  bind 127.0.0.1:5194
  server hello 127.0.0.1:5180
CONFIG
}

# One process, so that ending it ends all of it.
write_nginx_config() {
  cat >"$work/nginx.conf" <<CONFIG
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
master_process off;
pid $work/nginx.pid;
error_log stderr notice;
events { worker_connections 256; }
stream {
  proxy_protocol on;
  server { listen 127.0.0.1:5195; proxy_pass 127.0.0.1:5180; }
  server { listen 127.0.0.1:5196; proxy_pass 127.0.0.1:5543; }
}
CONFIG
}

ask() {
  timeout 20 curl --silent --show-error --fail --insecure "$@" 2>&1
}

# listening PORT: waits until somebody accepts there, for 10 seconds at most.
listening() {
  for _ in {1..100}; do
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 0
    sleep 0.1
  done
  fail "a proxy listens on port $1"
  return 1
}

# check_told NAME URL PORT REST ARGUMENTS...: the answer names curl's own port, and PORT, where curl connected to, and then REST, in which %
# stands for curl's port.
check_told() {
  local name=$1 url=$2 port=$3 rest=$4 answer mine
  shift 4
  answer=$(ask "$@" "$url" -w '\n%{local_port} %{http_version}')
  mine=$(tail -n 1 <<<"$answer")
  same "$name, HTTP/${mine#* }" "from 127.0.0.1:${mine% *} to 127.0.0.1:$port${rest//%/${mine% *}}" "$(head -n 1 <<<"$answer")"
}

check_proxies() {
  local server haproxy nginx
  write_haproxy_config
  write_nginx_config
  start_hello hello-behind-proxies --proxy-protocol RequiredFromTrusted || return
  server=$pid
  start haproxy "epoll" haproxy -db -V -f "$work/haproxy.cfg" || return
  haproxy=$pid
  start nginx "event method" nginx -e stderr -p "$work" -c "$work/nginx.conf" || return
  nginx=$pid
  listening 5194 && listening 5196 || return

  check_told "HAProxy, version 1" http://127.0.0.1:5191/connection 5191 ", PROXY 1"
  check_told "HAProxy, version 2 with checksum and id" http://127.0.0.1:5192/connection 5192 ", PROXY 2, id port-%"
  check_told "HAProxy, version 2 in front of TLS" https://127.0.0.1:5193/connection 5193 ", PROXY 2" --http1.1
  check_told "HAProxy, version 2 in front of TLS" https://127.0.0.1:5193/connection 5193 ", PROXY 2" --http2
  check_told "nginx, version 1" http://127.0.0.1:5195/connection 5195 ", PROXY 1"
  check_told "nginx, version 1 in front of TLS" https://127.0.0.1:5196/connection 5196 ", PROXY 1" --http1.1
  check_told "nginx, version 1 in front of TLS" https://127.0.0.1:5196/connection 5196 ", PROXY 1" --http2
  same "HAProxy without a header gets no answer" "000" "$(timeout 20 curl --silent -o "$work/none" -w '%{http_code}' http://127.0.0.1:5194/connection)"

  same "a client of an address that is not trusted stays what it is" "from 127.0.0.2 to 127.0.0.1:5180" \
    "$(ask --interface 127.0.0.2 http://127.0.0.1:5180/connection | sed 's/^from 127.0.0.2:[0-9]* /from 127.0.0.2 /')"
  same "the health checks, which are LOCAL, passed" "" "$(grep -E 'is DOWN' "$work/haproxy.log")"
  stop "$nginx"
  stop "$haproxy"
  stop "$server"
  same "HelloKestrel behind proxies ends when asked" "0" "$?"
  same "HelloKestrel behind proxies logged nothing" "" "$(grep -E '^(warn|fail|crit)' -A3 "$work/hello-behind-proxies.log")"
}

# Headers that are valid, spoilt or missing, in pieces, on connections that end at any moment, with a new seed each time.
check_headers() {
  local output
  if output=$(timeout --kill-after=5 170 eng/stress.sh 10 --transport "$TRANSPORT" --what ProxyProtocol 2>&1); then
    pass "random headers: $(awk '/^  connections / {print $NF}' <<<"$output") connections"
  else
    fail "random headers" "$(grep -E '^(stress|FAILED)' <<<"$output" | cut -c1-600)"
  fi
}

build && check_proxies
check_headers
