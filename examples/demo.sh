#!/bin/bash
# demo.sh: what firn is for, in half a minute: builds driven by reads, all at once, and a real program. Uses a store of its own that is
# removed at the end. `make demo` sets everything up and calls this.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
firn=${FIRN:-$here/../build/firn}
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
store="firn:$work/store"
export NIX_CONFIG="substituters =" # it is the same without a network
[ -x "$firn" ] || { echo "demo: $firn is missing; run make" >&2; exit 1; }

if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold= plain=; fi
total=0

show() { # TITLE COMMAND...: runs it and says how long it took
  local title=$1 start end ms
  shift
  printf '\n%s%s%s\n' "$bold" "$title" "$plain"
  printf '  $ firn %s\n' "$(printf '%s ' "${@//$here\//examples/}")"
  start=$(date +%s%N)
  "$firn" "$@" --store "$store" 2>"$work/log" | sed 's/^/  /' || { sed 's/^/  /' "$work/log" >&2; exit 1; }
  end=$(date +%s%N)
  ms=$(((end - start) / 1000000))
  total=$((total + ms))
  printf '  %s%d.%03d s%s\n' "$bold" $((ms / 1000)) $((ms % 1000)) "$plain"
}

echo "Each of these expressions reads files that nobody has built yet. Every build sleeps for one second."
show "8 independent builds" eval -f "$here/concurrency/sleepers.nix" --strict -j 8 --arg n 8
show "16 independent builds" eval -f "$here/concurrency/sleepers.nix" --strict -j 16 --arg n 16 --argstr salt more
show "a chain of 4: each needs the one before" eval -f "$here/concurrency/chain.nix" -j 8 --arg n 4
show "a tree of 15: a node is the sum of its two children" eval -f "$here/concurrency/tree.nix" -j 8 --arg depth 3
show "the same tree again: nothing is left to build" eval -f "$here/concurrency/tree.nix" -j 8 --arg depth 3

compiler_missing=
[ -e /usr/bin/tcc ] && ls /usr/lib/*-linux-musl/libc.a >/dev/null 2>&1 || compiler_missing=1
if [ -z "$compiler_missing" ]; then
  echo
  echo "A C program: one build generates a source file that evaluation reads back, one compiles, one runs the program."
  show "build it" build "$here/program" --no-out-link
  show "and read its report while evaluating" eval -f "$here/program" -A summary --raw
  echo
else
  echo
  echo "(The C program needs the Debian packages tcc and musl-dev; tools/setup installs them.)"
fi
printf '\n%sall together: %d.%03d s%s\n' "$bold" $((total / 1000)) $((total % 1000)) "$plain"
