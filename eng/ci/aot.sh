# Native AOT and trimming: published without a warning, and asked. Sourced by .ci/run.

# publish NAME PROJECT ARGUMENTS...: into $work/NAME, without a warning of ours. Objects are apart from those of the other parts, whose
# restore knows no processor.
publish() {
  local name=$1 project=$2 code ours
  shift 2
  timeout --kill-after=5 240 dotnet publish --configuration Release --runtime linux-x64 "$project" --artifacts-path "$work/publish" \
    --output "$work/$name" -p:TrimmerSingleWarn=false -p:SuppressTrimAnalysisWarnings=false "$@" >"$work/$name.publish" 2>&1 </dev/null
  code=$?
  ours=$(grep -E '(warning|error) [A-Z]+[0-9]+: (KestrelEpollTransport|HelloKestrel|Program|Samples|System\.CommandLine)' "$work/$name.publish" | sort -u)
  if [[ $code == 0 && -z $ours ]]; then
    pass "$name: published without a warning of ours"
  else
    fail "$name: published without a warning of ours" "exit code $code: ${ours:-$(tail -n 15 "$work/$name.publish")}"
    return 1
  fi
}

check_aot() {
  local -a linker=()
  # clang is what the SDK asks for; all that is needed of it is that it links.
  command -v clang >/dev/null || linker=(-p:CppCompilerAndLinker=gcc)
  publish aot samples/HelloKestrel -p:PublishAot=true "${linker[@]}" && check_published aot "$work/aot/HelloKestrel"
  # Partially: what says that it can be trimmed is, and that are both packages. All of MVC and Razor stays, and warns.
  publish trimmed samples/HelloKestrel --self-contained -p:PublishTrimmed=true -p:TrimMode=partial -p:ILLinkTreatWarningsAsErrors=false \
    && check_published trimmed "$work/trimmed/HelloKestrel"
  # What HelloKestrel doesn't use of the packages.
  publish whole eng/WholePackages "${linker[@]}"
}

# shellcheck source=/dev/null
source eng/ci/published.sh
check_aot
