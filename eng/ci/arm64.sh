# arm64, under emulation: HelloKestrel published for it and asked, on Debian's arm64 libraries. Sourced by .ci/run.

# fetch_libraries FOLDER: Debian's libraries for arm64 into a folder. apt keeps what it knows of that architecture there too, so that
# the machine's own lists and packages stay as they are.
fetch_libraries() {
  local root=$1 package
  local -a apt=(-o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State="$root/apt" -o Dir::State::status="$root/status"
    -o Dir::Cache="$root/cache" -o APT::Sandbox::User=root)
  mkdir -p "$root"/{apt/lists/partial,cache/archives/partial,packages}
  : >"$root/status"
  apt-get "${apt[@]}" update || return
  (cd "$root/packages" && apt-get "${apt[@]}" download libc6 libgcc-s1 libstdc++6 libssl3) || return
  for package in "$root"/packages/*.deb; do
    dpkg --extract "$package" "$root" || return
  done
}

check_arm64() {
  local root=$work/arm64-root
  if ! fetch_libraries "$root" >"$work/arm64-apt.log" 2>&1; then
    fail "Debian's libraries for arm64 are there" "$(cat "$work/arm64-apt.log")"
    return
  fi
  pass "Debian's libraries for arm64 are there"
  check "HelloKestrel is published for linux-arm64" 180 dotnet publish --configuration Release --runtime linux-arm64 --self-contained \
    samples/HelloKestrel --artifacts-path "$work/publish" --output "$work/arm64"
  check_published arm64 qemu-aarch64-static -L "$root" "$work/arm64/HelloKestrel"
}

# shellcheck source=/dev/null
source eng/ci/published.sh
check_arm64
