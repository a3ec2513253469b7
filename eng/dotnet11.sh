#!/usr/bin/env bash
# Puts .NET 11 together from the runtime packs on NuGet: eng/dotnet11.sh [FOLDER]. Needs the .NET 10 SDK, and nothing else;
# changes nothing outside the folder, which is artifacts/dotnet11 otherwise. Prints the folder.
#
#   DOTNET_ROLL_FORWARD=LatestMajor $(eng/dotnet11.sh)/dotnet samples/HelloKestrel/bin/Release/net10.0/HelloKestrel.dll
#
# What is built for net10.0 rolls forward only where it is told to. The folder has no other runtime, so what runs from it
# runs on .NET 11 or not at all. The SDK in it is a link to the installed one: what `dotnet run`, `dotnet test` and `dotnet vstest`
# start runs on the installed runtime all the same.
set -euo pipefail

readonly version=11.0.0 rid=linux-x64
folder=${1:-$(dirname "$0")/../artifacts/dotnet11}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
[[ -e $folder/$version ]] && { echo "$folder"; exit; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# NuGet's own client brings the packs. The project is outside the repository, whose versions are none of its business.
cat >"$work/packs.csproj" <<PROJECT
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <TargetFramework>net10.0</TargetFramework>
  </PropertyGroup>
  <ItemGroup>
    <PackageDownload Include="Microsoft.NETCore.App.Runtime.$rid;Microsoft.AspNetCore.App.Runtime.$rid" Version="[$version]" />
  </ItemGroup>
</Project>
PROJECT
dotnet restore "$work/packs.csproj" --packages "$work/packages" >&2

rm -rf "$folder"/{host,shared,sdk,dotnet}
for framework in Microsoft.NETCore.App Microsoft.AspNetCore.App; do
  pack=$work/packages/${framework,,}.runtime.$rid/$version/runtimes/$rid
  mkdir -p "$folder/shared/$framework/$version"
  find "$pack" -type f -exec mv -t "$folder/shared/$framework/$version" {} +
done
mkdir -p "$folder/host/fxr/$version"
mv "$folder/shared/Microsoft.NETCore.App/$version/libhostfxr.so" "$folder/host/fxr/$version"

# The program `dotnet` is in no pack. It only looks for the libhostfxr beside it, which does the rest, so the installed one will do.
installed=$(readlink --canonicalize "$(command -v dotnet)")
cp "$installed" "$folder/dotnet"
ln --symbolic "$(dirname "$installed")/sdk" "$folder/sdk"
touch "$folder/$version"
echo "$folder"
