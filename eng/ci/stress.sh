# The seeded stress test, with a new seed each time; a failure prints it. Sourced by .ci/run.

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

check_stress
