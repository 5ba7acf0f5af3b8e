# cli_setup.sh: what the tests of the command line share. Each test has a store of its own in its directory, and no nix.conf.
cli_setup() {
  export NIX_REMOTE="firn:$HOME/store" NIX_CONF_DIR="$HOME" NIX_PATH=
  unset NIX_CONFIG NIX_STORE_DIR NIX_STATE_DIR TERM
  system=$(firn eval --raw -E builtins.currentSystem)
}

# An expression for a derivation that runs a shell script: `sh NAME SCRIPT`.
sh_nix='sh = name: script: derivation { inherit name; system = builtins.currentSystem; builder = "/bin/sh"; PATH = "/bin"; args = [ "-c" script ]; };'

# The C++ Nix to compare with, under its own name; our links stand first in PATH.
cpp_nix() { # PROGRAM ARG...
  local program=/usr/bin/$1
  shift
  [ -x "$program" ] || skip "C++ Nix is not installed"
  NIX_REMOTE="local?root=$HOME/cpp" "$program" "$@" --option build-users-group '' --option substituters '' --option sandbox true \
    --option sandbox-paths "/bin/sh=$(command -v busybox)"
}

expect_within_ms() { # MILLISECONDS COMMAND...
  local limit=$1 start end
  shift
  start=$(date +%s%N)
  run "$@"
  end=$(date +%s%N)
  elapsed=$(((end - start) / 1000000))
  [ "$elapsed" -le "$limit" ] || { show_run; fail "took $elapsed ms, at most $limit are allowed"; }
}
