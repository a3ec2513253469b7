# The packages, as somebody gets them who adds them to a new application. Sourced by .ci/run.
#
# They are made of the last commit, in a fresh clone, under a version that nobody else has: the cache of packages would go on
# giving the last ones. They go into it all the same, and out again at the end.

packed=$work/packed
apps=$work/apps
version=0.1.0-ci.$(date +%s)
repository=https://github.com/example/KestrelEpollTransport

pack() {
  (cd "$work/clone" && timeout 240 dotnet pack --verbosity quiet -nodeReuse:false --output "$1") >"$work/pack.log" 2>&1
}

make_packages() {
  git clone --quiet --no-tags --no-hardlinks . "$work/clone" && git -C "$work/clone" remote set-url origin "$repository.git" \
    || { fail "a fresh clone"; return 1; }

  pack "$work/untagged" || { fail "dotnet pack, without a tag" "$(cat "$work/pack.log")"; return 1; }
  same "dotnet pack without a tag: both packages, both symbol packages, and the version of none" \
    "KestrelEpollTransport.Core.nupkg KestrelEpollTransport.Core.snupkg KestrelEpollTransport.nupkg KestrelEpollTransport.snupkg" \
    "$(cd "$work/untagged" && printf '%s\n' * | sed -E 's/\.0\.1\.0-alpha\.0\.[0-9]+\./\./' | LC_ALL=C sort | paste -sd' ')"

  git -C "$work/clone" tag "v$version" && pack "$packed" || { fail "dotnet pack, with a tag" "$(cat "$work/pack.log")"; return 1; }
}

# has NAME PATTERN LISTING: a line of the listing is PATTERN.
has() {
  if grep -qxE "$2" "$3"; then pass "$1"; else fail "$1" "no line '$2'"; fi
}

# has_not NAME PATTERN LISTING: no line of the listing begins with PATTERN.
has_not() {
  same "$1" "" "$(grep -E "^($2)" "$3" | head -n 5)"
}

# check_package ID: the listing of a package, and what has to be in it.
check_package() {
  local id=$1 one=$work/$1.list commit
  commit=$(git rev-parse HEAD)
  dotnet "$package_tool" list "$packed/$id.$version.nupkg" >"$one" 2>&1
  dotnet "$package_tool" list "$packed/$id.$version.snupkg" >>"$one" 2>&1
  grep -E '^(nuspec|file|assembly|sourcelink)' "$one" | cut -c1-150 | sed 's/^/        /'

  has "$id: the version is the tag's" "nuspec version $version" "$one"
  has "$id: licence" "nuspec license type=expression MIT" "$one"
  has "$id: README" "nuspec readme PACKAGE.md" "$one"
  has "$id: README, the file" "file PACKAGE.md [0-9]{3,}" "$one"
  has "$id: icon" "nuspec icon icon.png" "$one"
  has "$id: icon, the file" "file icon.png [0-9]{3,}" "$one"
  has "$id: description" "nuspec description .{40,}" "$one"
  has "$id: tags" "nuspec tags .*kestrel.*" "$one"
  has "$id: project" "nuspec projectUrl $repository" "$one"
  has "$id: repository and commit" "nuspec repository type=git url=$repository.* commit=$commit" "$one"
  has "$id: release notes" "nuspec releaseNotes ## \[.*### Added.*" "$one"
  has "$id: for .NET 10" "file lib/net10.0/$id.dll [0-9]+" "$one"
  has "$id: strong name" "assembly $id, .*PublicKeyToken=$token" "$one"
  has "$id: symbols" "file lib/net10.0/$id.pdb [0-9]+" "$one"
  has "$id: Source Link" "sourcelink .*\"/_/\*\":\"https://raw.githubusercontent.com/example/KestrelEpollTransport/$commit/\*\".*" "$one"
  has "$id: sources by their path in the repository" "source /_/src/$id/.*\.cs" "$one"
  has_not "$id: no path of the machine that built it" "(source|assembly-pdb) ([^/]|/[^_]|/_[^/])" "$one"
  same "$id: documentation of public members only" "" "$(documented_and_not_public "$id" | head -n 5)"
  same "$id: documentation of every public type" "" "$(public_and_not_documented "$id" | head -n 5)"
}

# Of both, what is public is what src/*/PublicAPI.*.txt say. A constructor has its type's name there, and a generic method no number.
documented_and_not_public() {
  local name
  sed -nE 's/^documented .:([^(]+).*/\1/p' "$work/$1.list" | sed -E 's/([^.]+)\.#ctor/\1.\1/; s/`+[0-9]+//g' | sort -u | while read -r name; do
    grep -qwF -- "$name" "src/$1"/PublicAPI.*.txt || echo "$name"
  done
}

public_and_not_documented() {
  local name
  grep -hxE '[A-Za-z0-9_.]+' "src/$1"/PublicAPI.*.txt | while read -r name; do
    grep -qxF "documented T:$name" "$work/$1.list" || echo "$name"
  done
}

check_packages() {
  timeout 100 dotnet build --configuration Release --verbosity quiet -nodeReuse:false eng/PackageTool >"$work/tool.log" 2>&1 \
    || { fail "eng/PackageTool builds" "$(cat "$work/tool.log")"; return 1; }
  local package_tool=eng/PackageTool/bin/Release/net10.0/PackageTool.dll token
  token=$(sed -nE 's/.*PublicKeyToken=//p' < <(dotnet "$package_tool" list "$packed/KestrelEpollTransport.Core.$version.nupkg") | head -n 1)
  if [[ $token =~ ^[0-9a-f]{16}$ ]]; then pass "the strong name's token is $token"; else fail "a strong name" "$token"; fi

  check_package KestrelEpollTransport
  check_package KestrelEpollTransport.Core
  has "documentation of a public method" "documented M:Microsoft.AspNetCore.Hosting.WebHostBuilderEpollTransportExtensions.UseEpollTransport\(.*EpollTransportOptions.*\)" \
    "$work/KestrelEpollTransport.list"
  has "documentation of a public property" "documented P:KestrelEpollTransport.EpollTransportOptions.LoopCount" "$work/KestrelEpollTransport.Core.list"

  # What they ask for: a higher one would be refused to whom has pinned a lower one, an exact one to everybody else.
  same "KestrelEpollTransport depends on" "KestrelEpollTransport.Core $version" "$(dependencies KestrelEpollTransport)"
  same "KestrelEpollTransport.Core depends on" \
    "Microsoft.AspNetCore.Connections.Abstractions 10.0.0 Microsoft.Extensions.Configuration.Binder 10.0.0 Microsoft.Extensions.Hosting.Abstractions 10.0.0 Tmds.LibC 0.5.0" \
    "$(dependencies KestrelEpollTransport.Core)"
  has "KestrelEpollTransport is for ASP.NET Core" "nuspec frameworkReference name=Microsoft.AspNetCore.App .*" "$work/KestrelEpollTransport.list"
  check "the icon is what eng/Icon.cs draws" 120 dotnet run eng/Icon.cs -- --check eng/icon.png
}

dependencies() {
  sed -nE 's/^nuspec dependency id=([^ ]+) version=([^ ]+) .*/\1 \2/p' "$work/$1.list" | LC_ALL=C sort -u | paste -sd' '
}

# new_app NAME TEMPLATE: a new application, which takes packages of ours from the folder and forgives no warning.
new_app() {
  mkdir -p "$apps"
  cat >"$apps/nuget.config" <<XML
<configuration><packageSources><add key="packed" value="$packed" /></packageSources></configuration>
XML
  # A feed may lack 10.0.0 of something that ours asks for, and have 10.0.3: NU1603 says that it is taken.
  cat >"$apps/Directory.Build.props" <<'XML'
<Project><PropertyGroup>
  <TreatWarningsAsErrors>true</TreatWarningsAsErrors>
  <WarningsNotAsErrors>NU1603</WarningsNotAsErrors>
</PropertyGroup></Project>
XML
  timeout 60 dotnet new "$2" --output "$apps/$1" --no-restore >"$work/new.log" 2>&1 || fail "dotnet new $2" "$(cat "$work/new.log")"
}

# add APP PACKAGE [VERSION]: the newest one that is served, if no version is given.
add() {
  local -a which=()
  [[ -n ${3:-} ]] && which=(--version "$3")
  (cd "$apps/$1" && timeout 120 dotnet add package "$2" "${which[@]}") >"$work/add.log" 2>&1 \
    || fail "$1: dotnet add package $2" "$(grep -E 'error|warn' "$work/add.log")"
}

# use APP LINE...: writes lines below the one that makes the builder.
use() {
  local app=$1 line
  shift
  for line in "$@"; do
    sed -i "/^var builder = /a $line" "$apps/$app/Program.cs"
  done
}

# serves APP: it builds without a warning, answers over HTTP, and a loop of ours has done it.
serves() {
  local app=$1 address hosting
  if ! (cd "$apps/$app" && timeout 150 dotnet build --verbosity quiet -nodeReuse:false) >"$work/app.log" 2>&1; then
    fail "$app builds" "$(grep -E 'error|warn' "$work/app.log" | sort -u)"
    return
  fi

  hosting=$(sed -nE 's/.*"Microsoft.Extensions.Hosting" Version="([^"]+)".*/\1/p' "$apps/$app/$app.csproj")
  start "app-$app" "Now listening on" dotnet "$apps/$app/bin/Debug/net10.0/$app.dll" --urls http://127.0.0.1:0 || return
  address=$(sed -nE 's/.*Now listening on: (http:[^ ]+).*/\1/p' "$work/app-$app.log" | head -n 1)
  same "$app, beside Microsoft.Extensions.Hosting ${hosting:-of the framework}: an answer over HTTP" "Hello World!" \
    "$(timeout 20 curl --silent --show-error --fail "$address/" 2>&1)"
  if grep -qs '^epoll loop' /proc/"$pid"/task/*/comm; then pass "$app: a thread drives a loop"; else fail "$app: a thread drives a loop"; fi
  stop "$pid"
  same "$app ends when asked" "0" "$?"
}

check_apps() {
  new_app web web
  add web Microsoft.Extensions.Hosting
  add web Microsoft.Extensions.Hosting.Systemd
  add web KestrelEpollTransport "$version"
  use web 'builder.WebHost.UseEpollTransport();' 'builder.Services.AddSystemd();'
  serves web

  new_app worker worker
  add worker Microsoft.Extensions.Hosting
  add worker Microsoft.Extensions.Hosting.Systemd
  add worker KestrelEpollTransport.Core "$version"
  use worker 'builder.Services.AddEpollTransport();' 'builder.Services.AddSystemd();'
  cp eng/ci/packages/Worker.cs "$apps/worker/Worker.cs"
  serves worker

  new_app console console
  add console Microsoft.Extensions.Hosting
  new_app oldest console
  add oldest Microsoft.Extensions.Hosting 10.0.0
  local one
  for one in console oldest; do
    add "$one" KestrelEpollTransport.Core "$version"
    cp eng/ci/packages/Worker.cs "$apps/$one/Worker.cs"
    cp eng/ci/packages/Console.cs "$apps/$one/Program.cs"
    serves "$one"
  done
  same "the newest Microsoft.Extensions.Hosting is beyond .NET 10's" "yes" \
    "$(grep -qE 'Microsoft.Extensions.Hosting" Version="1[1-9]' "$apps/console/console.csproj" && echo yes)"
}

# What the repository itself restores: not what is newer than the framework that it runs on, whoever brings it along.
check_restore() {
  sed -i 's|<PackageVersion Include="MinVer"|<PackageVersion Include="Microsoft.Extensions.Primitives" Version="11.0.0" />&|' \
    "$work/clone/Directory.Packages.props"
  (cd "$work/clone" && timeout 120 dotnet build --verbosity quiet -nodeReuse:false samples/EchoServer) >"$work/restore.log" 2>&1
  if grep -q 'error.*Newer than the framework.*Microsoft.Extensions.Primitives 11.0.0' "$work/restore.log"; then
    pass "a package that would shadow the framework's assemblies is refused"
  else
    fail "a package that would shadow the framework's assemblies is refused" "$(cat "$work/restore.log")"
  fi
}

make_packages && check_packages && check_apps && check_restore
cache=$(dotnet nuget locals global-packages --list | sed 's/^global-packages: //')
rm -rf "${cache:?}"/kestrelepolltransport{,.core}/"$version"
