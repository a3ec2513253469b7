# The seeded stress test and random ends, with a new seed each time; a failure prints it. Sourced by .ci/run.

check_stress() {
  local mode seconds output
  for mode in ThreadPool UnsafeInline Adaptive; do
    # Three times as long for the default, which has the most to go wrong.
    seconds=$STRESS_SECONDS
    [[ $mode == Adaptive ]] && seconds=$((3 * STRESS_SECONDS))
    if output=$(timeout --kill-after=5 $((seconds + 170)) eng/stress.sh "$seconds" --transport "$TRANSPORT" --scheduling "$mode" 2>&1); then
      pass "stress, $mode, $seconds s: $(awk '/connections accepted/ {print $NF}' <<<"$output") connections, $(awk '/bytes received/ {print $NF}' <<<"$output") bytes"
    else
      fail "stress, $mode" "$(grep -E '^(stress|FAILED)' <<<"$output" | cut -c1-600)"
    fi
  done
}

# The tests have the same cases every time; these are new.
check_ends() {
  local output
  local -a only=()
  [[ $TRANSPORT == sockets ]] && only=(--transport Sockets)
  if output=$(timeout --kill-after=5 170 eng/ends.sh 10000 "${only[@]}" 2>&1); then
    pass "random ends: $(sed -n 's/^ends: \(.* cases, seed .*\)$/\1/p' <<<"$output"), $(sed -n 's/^.* s, \(.* cases.s\),.*$/\1/p' <<<"$output")"
  else
    fail "random ends" "$(grep -E '^ends:|, rule|again:' <<<"$output" | cut -c1-300)"
  fi
}

check_stress
check_ends
