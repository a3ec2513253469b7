#!/usr/bin/env bash
# The lists of public members, src/*/PublicAPI.*.txt.
#
#   bash eng/public-api.sh            lists anew what is public and not released yet
#   bash eng/public-api.sh --ship     at a release: what was listed as not released is released
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export DOTNET_NOLOGO=1

readonly header='#nullable enable'

for project in src/KestrelEpollTransport.Core src/KestrelEpollTransport; do
  shipped=$project/PublicAPI.Shipped.txt
  unshipped=$project/PublicAPI.Unshipped.txt
  if [[ ${1:-} == --ship ]]; then
    if grep -q '^\*REMOVED\*' "$unshipped"; then
      echo "$unshipped: released members were removed. Take them out of both files by hand." >&2
      exit 1
    fi
    members=$(cat "$shipped" "$unshipped" | grep -vxF "$header" | LC_ALL=C sort -u)
    printf '%s\n' "$header" "$members" >"$shipped"
    echo "$header" >"$unshipped"
  else
    # From nothing, so that what was removed is gone; the analyzer's fix adds every member that is in neither file.
    echo "$header" >"$unshipped"
    dotnet format analyzers "$project" --diagnostics RS0016
  fi
done
