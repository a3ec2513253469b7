# The seeded stress test, with a new seed each time; a failure prints it. Sourced by .ci/run.

check_stress() {
  local mode output
  for mode in ThreadPool UnsafeInline; do
    if output=$(timeout --kill-after=5 180 eng/stress.sh "$STRESS_SECONDS" --transport "$TRANSPORT" --scheduling "$mode" 2>&1); then
      pass "stress, $mode, $STRESS_SECONDS s: $(awk '/connections accepted/ {print $NF}' <<<"$output") connections, $(awk '/bytes received/ {print $NF}' <<<"$output") bytes"
    else
      fail "stress, $mode" "$(grep -E '^(stress|FAILED)' <<<"$output" | cut -c1-600)"
    fi
  done
}

check_stress
