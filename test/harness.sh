# harness.sh: the harness of shell tests, to be sourced first. A script is a list of functions test_NAME and the last
# line `run_tests` (or `run_tests_at_once`); it prints TAP. Each test runs in a subshell with `set -eu`, in an empty directory of its own (removed
# afterwards) that is also HOME and holds the XDG folders, so that nothing of the user's is read or written.
#
#   . "$FIRN_TEST_SOURCE_DIR/harness.sh"
#   test_one_plus_one() {
#     run firn eval -E '1 + 1'
#     expect_status 0
#     expect_out 2
#   }
#   run_tests
#
# $FIRN_TEST_BUILD_DIR and its bin/ come first in PATH. `run as_user firn ...` runs without privileges.
export PATH="$FIRN_TEST_BUILD_DIR:$FIRN_TEST_BUILD_DIR/bin:$PATH"
export LC_ALL=C.UTF-8

note() { # TEXT...: diagnostics
  printf '%s\n' "$*" | sed 's/^/# /'
}

fail() { # TEXT...: ends the test as failed
  note "failed: $*"
  exit 1
}

skip() { # REASON...: ends the test as not run here, for a reason that lies in the machine; in CI a failure
  printf '%s' "$*" > "$test_skip_file"
  exit 77
}

run() { # COMMAND...: runs it; $status, $out and $err hold what came
  status=0
  "$@" > "$test_scratch/out" 2> "$test_scratch/err" < /dev/null || status=$?
  out=$(cat "$test_scratch/out")
  err=$(cat "$test_scratch/err")
  last_run=$*
}

show_run() {
  note "ran: $last_run"
  note "status: $status"
  note "standard output: $out"
  note "standard error: $err"
}

expect_status() { # NUMBER
  [ "$status" = "$1" ] || { show_run; fail "status $status instead of $1"; }
}

expect_out() { # TEXT: the whole standard output, trailing newlines aside
  [ "$out" = "$1" ] || { show_run; fail "standard output is not: $1"; }
}

expect_out_has() { # TEXT: a part of it
  case $out in *"$1"*) ;; *) show_run; fail "standard output lacks: $1" ;; esac
}

expect_err_has() { # TEXT
  case $err in *"$1"*) ;; *) show_run; fail "standard error lacks: $1" ;; esac
}

expect_equal() { # GOT WANT
  [ "$1" = "$2" ] || fail "got: $1
want: $2"
}

as_user() { # COMMAND...: runs it without privileges: where the tests run as root, as a user who owns the test's directory
  if [ "$(id -u)" != 0 ]; then
    "$@"
    return
  fi
  # The build folder may lie where only root can look.
  if [ ! -e "$test_directory/programs" ]; then
    mkdir -p "$test_directory/programs/bin"
    cp "$FIRN_TEST_BUILD_DIR/firn" "$test_directory/programs/"
    cp -P "$FIRN_TEST_BUILD_DIR"/bin/* "$test_directory/programs/bin/"
  fi
  chown -R "$test_user:$test_user" "$test_directory"
  PATH="$test_directory/programs:$test_directory/programs/bin:$PATH" USER=tester LOGNAME=tester \
    setpriv --reuid="$test_user" --regid="$test_user" --clear-groups --inh-caps=-all --bounding-set=-all "$@"
}
test_user=4711

start_test() { # NUMBER NAME: in the background
  test_scratch=$scratch_root/$1.scratch
  test_skip_file=$test_scratch/skip
  mkdir -p "$test_scratch" "$scratch_root/$1/home"
  # A child shell, not `( … ) || …`: there `set -e` would be ignored.
  (
    set -eu
    cd "$scratch_root/$1"
    test_directory=$PWD
    export HOME=$PWD/home XDG_CACHE_HOME=$PWD/home/.cache XDG_DATA_HOME=$PWD/home/.local/share
    # Nothing asks the binary cache that is asked by default.
    echo 'substituters =' > "$PWD/nix-user.conf"
    export NIX_USER_CONF_FILES=$PWD/nix-user.conf
    export XDG_CONFIG_HOME=$PWD/home/.config XDG_STATE_HOME=$PWD/home/.local/state
    "$2"
  ) &
}

end_test() { # NUMBER NAME PID
  local test_status=0 skip_file=$scratch_root/$1.scratch/skip
  wait "$3" || test_status=$?
  if [ -e "$scratch_root/$1.out" ]; then cat "$scratch_root/$1.out"; fi
  if [ $test_status = 0 ]; then
    echo "ok $1 - ${2#test_}"
  elif [ $test_status = 77 ] && [ -e "$skip_file" ]; then
    echo "ok $1 - ${2#test_} # SKIP $(cat "$skip_file")"
  else
    note "the test ended with status $test_status"
    echo "not ok $1 - ${2#test_}"
    failed=1
  fi
  if [ -z "${FIRN_TEST_KEEP:-}" ]; then
    chmod -R u+rwX "$scratch_root/$1" 2>/dev/null || true
    rm -rf "${scratch_root:?}/$1" "$scratch_root/$1.scratch" "$scratch_root/$1.out"
  else
    note "kept $scratch_root/$1"
  fi
}

run_tests() { # all functions test_* in the order of the script, or the ones named in FIRN_TEST_ONLY, one after the other
  run_tests_in_groups 1
}

# For tests that mostly wait for the clock. What each prints is shown when it has ended.
run_tests_at_once() {
  run_tests_in_groups 100
}

run_tests_in_groups() { # SIZE
  local size=$1 names number=0 failed=0 name scratch_root pids=()
  # `declare -F` sorts by name; line numbers give the order of the script.
  names=$(shopt -s extdebug; for name in $(compgen -A function test_); do declare -F "$name"; done | sort -k2n | cut -d' ' -f1)
  if [ -n "${FIRN_TEST_ONLY:-}" ]; then names=$FIRN_TEST_ONLY; fi
  # shellcheck disable=SC2086 # one word per name
  set -- $names
  echo "1..$#"
  scratch_root=$(mktemp -d "${TMPDIR:-/tmp}/firn-test-XXXXXX")
  chmod 755 "$scratch_root" # for as_user
  local first=1 last
  while [ "$first" -le $# ]; do
    last=$((first + size - 1 < $# ? first + size - 1 : $#))
    for ((number = first; number <= last; number++)); do
      if [ "$first" = "$last" ]; then start_test "$number" "${!number}"
      else start_test "$number" "${!number}" > "$scratch_root/$number.out"; fi
      pids[number]=$!
    done
    for ((number = first; number <= last; number++)); do end_test "$number" "${!number}" "${pids[number]}"; done
    first=$((last + 1))
  done
  [ -n "${FIRN_TEST_KEEP:-}" ] || rm -rf "$scratch_root"
  exit $failed
}
