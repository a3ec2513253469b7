# The README's test command, and the sum of what every test project reports. Sourced by .ci/run.

run_tests() {
  local command code project_passed project_failed tests=0
  command=$(readme_command "dotnet test")
  same "the README gives the test command" "dotnet test -c Release" "$command"
  echo "        $command"
  # shellcheck disable=SC2086 # The README's command is several words.
  timeout --kill-after=10 560 $command >"$work/tests.log" 2>&1 </dev/null
  code=$?

  # "Passed!  - Failed:     0, Passed:    12, Skipped:     0, Total:    12, Duration: 1 s - Some.Tests.dll (net10.0)"
  while read -r project_failed project_passed; do
    failed=$((failed + project_failed))
    passed=$((passed + project_passed))
    tests=$((tests + project_passed + project_failed))
  done < <(sed -nE 's/^.*Failed: +([0-9]+), Passed: +([0-9]+), Skipped: +[0-9]+, Total:.*$/\1 \2/p' "$work/tests.log")

  grep -E '^(Passed!|Failed!)|\[FAIL\]' "$work/tests.log" | sed 's/^/        /'
  if [[ $code == 0 && $tests -gt 0 ]]; then
    pass "$tests tests"
  else
    fail "the test command exits with 0 and runs tests" "exit code $code, $tests tests
$(grep -E 'error|Error|FAIL' "$work/tests.log" | head -n 20)
$(tail -n 15 "$work/tests.log")"
  fi
}

run_tests
