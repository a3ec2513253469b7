# macOS and FreeBSD, as far as Linux can show them: what runs over the model of kqueue, in a process without the Linux
# binding, which no other system has. Sourced by .ci/run.

# run_without_binding PROJECT FILTER LEAST: the tests of PROJECT that FILTER takes pass, and are at least LEAST.
run_without_binding() {
  local project=$1 filter=$2 least=$3 code project_passed=0 copy=$work/without-binding/$1
  mkdir -p "$work/without-binding"
  rm -rf "$copy"
  cp -r "tests/$project/bin/Release/net10.0" "$copy"
  find "$copy" -name Tmds.LibC.dll -print -delete | grep -q . || fail "$project has a binding to take away"

  timeout --kill-after=10 300 dotnet vstest "$copy/$project.dll" --TestCaseFilter:"$filter" >"$work/kqueue.log" 2>&1 </dev/null
  code=$?
  project_passed=$(sed -nE 's/^.*Failed: +0, Passed: +([0-9]+), Skipped:.*$/\1/p' "$work/kqueue.log")
  if [[ $code == 0 && ${project_passed:-0} -ge $least ]]; then
    pass "$project passes $project_passed tests over the model of kqueue, with Tmds.LibC.dll deleted"
  else
    fail "$project passes over the model of kqueue, with Tmds.LibC.dll deleted" "exit code $code
$(grep -E '\[FAIL\]|Error Message|^ +(Assert|System\.)|Passed:' "$work/kqueue.log" | head -n 20)"
  fi
}

for one in KestrelEpollTransport.Core.Tests KestrelEpollTransport.FunctionalTests; do
  check "$one builds" 240 dotnet build --configuration Release --verbosity quiet "tests/$one"
done

run_without_binding KestrelEpollTransport.Core.Tests "FullyQualifiedName~KqueueModel" 50
run_without_binding KestrelEpollTransport.FunctionalTests "DisplayName~KqueueModel" 200
