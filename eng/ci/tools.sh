# What the checks are made with, from Debian's packages. Sourced by .ci/run.

install_missing() {
  local -A package=([curl]=curl [wrk]=wrk [h2load]=nghttp2-client [strace]=strace [prlimit]=util-linux [haproxy]=haproxy [nginx]=nginx
    [systemd-socket-activate]=systemd [qemu-aarch64-static]=qemu-user-static [gcc]=gcc [node]=nodejs [npm]=npm [zsh]=zsh)
  local -a missing=()
  local tool
  for tool in "${!package[@]}"; do
    command -v "$tool" >/dev/null || missing+=("${package[$tool]}")
  done
  [[ -e /usr/lib/nginx/modules/ngx_stream_module.so ]] || missing+=(libnginx-mod-stream)
  [[ ${#missing[@]} == 0 ]] && return 0
  echo "        installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get install --yes --no-install-recommends "${missing[@]}" || {
    apt-get update && apt-get install --yes --no-install-recommends "${missing[@]}"
  }
}

if install_missing >"$work/apt.log" 2>&1; then
  pass "curl, wrk, h2load, strace, HAProxy, nginx, systemd's tools, node, gcc, zsh and QEMU are there"
else
  fail "curl, wrk, h2load, strace, HAProxy, nginx, systemd's tools, node, gcc, zsh and QEMU are there" "$(cat "$work/apt.log")"
fi
