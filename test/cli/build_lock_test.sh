# Two programs that are to build the same output: the second waits for the first, whichever of them is C++ Nix.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

setup() {
  cli_setup
  unset NIX_REMOTE
  echo "let $sh_nix in sh \"once\" \"sleep 2; cat /proc/sys/kernel/random/uuid > \\\$out\"" > x.nix
}

ours() { nix-build --no-out-link x.nix --option store "$HOME/root"; }
theirs() {
  NIX_REMOTE="local?root=$HOME/root" /usr/bin/nix-build --no-out-link x.nix --option build-users-group '' --option substituters '' \
    --option sandbox true --option sandbox-paths "/bin/sh=$(command -v busybox)"
}

# Runs both; the second starts when the first has locked the output.
both() { # FIRST SECOND
  "$1" > first 2>&1 &
  first_pid=$!
  for _ in $(seq 200); do
    [ -z "$(ls "$HOME"/root/nix/store/*-once.lock 2>/dev/null)" ] || break
    sleep 0.02
  done
  run "$2"
  wait "$first_pid" || fail "the first: $(cat first)"
  expect_status 0
  expect_equal "$out" "$(grep '^/nix/store' first | tail -1)"
}

test_two_of_ours() {
  setup
  both ours ours
  expect_err_has "waiting for another process"
  case $err in *"building '"*) fail "it was built twice" ;; esac
}

test_ours_waits_for_theirs() {
  [ "$(id -u)" = 0 ] || skip "C++ Nix without a daemon needs root here"
  setup
  both theirs ours
  expect_err_has "waiting for another process"
  case $err in *"building '"*) fail "it was built twice" ;; esac
}

# What firn has registered C++ Nix does not know of, so it builds again; but not at the same time.
test_theirs_waits_for_ours() {
  [ "$(id -u)" = 0 ] || skip "C++ Nix without a daemon needs root here"
  setup
  both ours theirs
  expect_err_has "waiting for lock on '"
}

run_tests
