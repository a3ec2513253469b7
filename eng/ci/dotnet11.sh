# What is built for .NET 10, on .NET 11: both test projects and the samples. Sourced by .ci/run.

# Tests that fail over Sockets as well: Kestrel 11 drops most requests whose client closes right behind them.
readonly changed_on_11='FullyQualifiedName!~RequestBehindFinTests'

# run_on_11 PROJECT SECONDS: all its tests pass, and the one that looks at the runtime's version is among them. `dotnet vstest` would look
# for the runtime beside the SDK, and take the installed one.
run_on_11() {
  local project=$1 limit=$2 code project_passed log=$work/$1-on-11.log
  timeout --kill-after=10 "$limit" dotnet "$DOTNET_ROOT/sdk/$(dotnet --version)/vstest.console.dll" \
    "tests/$project/bin/Release/net10.0/$project.dll" --TestCaseFilter:"$changed_on_11" \
    --logger:"console;verbosity=normal" >"$log" 2>&1 </dev/null
  code=$?
  project_passed=$(sed -nE 's/^ +Passed: ([0-9]+)$/\1/p' "$log")
  if [[ $code == 0 && ${project_passed:-0} -gt 0 ]] && grep -qE '^ +Passed .*\.Runtime_OfTheTests_IsTheOneThatIsMeant' "$log"; then
    passed=$((passed + project_passed))
    pass "$project passes $project_passed tests on .NET 11, in $(sed -nE 's/^ Total time: //p' "$log")"
  else
    fail "$project passes on .NET 11" "exit code $code
$(grep -E '\[FAIL\]|Error Message|^ +(Assert|System\.)|^ +(Passed|Failed): ' "$log" | head -n 20)
$(tail -n 10 "$log")"
  fi
}

# check_bench_on_both FOLDER: the benchmark serves on both runtimes in one run, and its page says who ran on which.
check_bench_on_both() {
  if (($(nproc) < 2)); then
    echo "        TransportBench needs a processor for the server and one for the load: left out"
    return
  fi

  check "TransportBench: a short comparison on both runtimes" 120 \
    eng/bench.sh --quick --pairs 1 --transports epoll --scenarios latency-64 --runtime "$1" --output "$work/bench11"
  check "TransportBench: its page says who ran on .NET 10" 5 grep -qE '^\| epoll, \.NET 10\.' "$work/bench11/results.md"
  check "TransportBench: its page says who ran on .NET 11" 5 grep -qE '^\| epoll, \.NET 11\.' "$work/bench11/results.md"
}

check_dotnet11() {
  local folder installed=$PATH project
  for project in KestrelEpollTransport.Core.Tests KestrelEpollTransport.FunctionalTests; do
    check "$project is built, for .NET 10" 240 dotnet build --configuration Release --verbosity quiet "tests/$project"
  done

  if ! folder=$(timeout 120 eng/dotnet11.sh 2>"$work/dotnet11.log"); then
    fail "eng/dotnet11.sh puts .NET 11 together" "$(cat "$work/dotnet11.log")"
    return
  fi

  check_bench_on_both "$folder"
  # All that is asked for by the name `dotnet` from here on, and by programs with a host of their own, which look for DOTNET_ROOT.
  export PATH=$folder:$PATH DOTNET_ROOT=$folder DOTNET_ROLL_FORWARD=LatestMajor EXPECTED_DOTNET=11
  same "eng/dotnet11.sh puts .NET 11 together, and nothing else" "Microsoft.AspNetCore.App 11 Microsoft.NETCore.App 11" \
    "$(dotnet --list-runtimes | sed -E 's/^([^ ]+ [0-9]+)\..*/\1/' | paste -sd' ')"
  echo "        left out, because they fail over Sockets too: RequestBehindFinTests"
  run_on_11 KestrelEpollTransport.Core.Tests 240
  run_on_11 KestrelEpollTransport.FunctionalTests 540
  # shellcheck source=/dev/null
  source eng/ci/samples.sh
  export PATH=$installed
  unset DOTNET_ROOT DOTNET_ROLL_FORWARD EXPECTED_DOTNET
}

check_dotnet11
