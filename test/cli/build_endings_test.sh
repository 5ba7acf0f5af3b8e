# Every way in which a build can end, and many in which a builder can misbehave: nothing of it stays (no process, no mount, no scratch directory, no lock),
# the message and the exit status are those of Nix, and the next build works.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

setup() { # SCRIPT: x.nix builds it; MARK in it becomes a number of seconds that nobody else sleeps
  cli_setup
  mark=$((100000 + $$ % 100000))$(date +%N | tail -c 4)
  script=$(printf '%s' "$1" | sed "s/MARK/$mark/g")
  printf '%s\n' "let $sh_nix in { it = sh \"it\" ''$script''; next = sh \"next\" \"echo > \$out\"; }" > x.nix
}

await_builder() {
  for _ in $(seq 200); do
    ! pgrep -f "sleep $mark" > /dev/null || return 0
    sleep 0.05
  done
  fail "the build did not start: $(cat err)"
}

# In the background; waits until the builder sleeps.
start() { # OPTION...
  nix-build --no-out-link x.nix -A it "$@" > out 2> err < /dev/null &
  pid=$!
  await_builder
}

join() {
  status=0
  wait "$pid" || status=$?
  out=$(cat out) err=$(cat err) last_run="the build in the background"
}

build() { # OPTION...
  run nix-build --no-out-link x.nix -A it "$@"
}

no_process() { ! pgrep -f "sleep $mark" > /dev/null; }
no_scratch() { [ -z "$(ls "$HOME/store/var/firn/builds" 2>/dev/null)" ]; }
no_mount() { ! grep -sl "$HOME/store/" /proc/[0-9]*/mountinfo > left_mounts; }
no_lock() { [ -z "$(find "$HOME/store/store" -maxdepth 1 -name '*.lock')" ]; }

await() { # CONDITION
  for _ in $(seq 100); do
    ! "$1" || return 0
    sleep 0.05
  done
  note "$(pgrep -fa "sleep $mark"; ls "$HOME/store/var/firn/builds" "$HOME/store/store"; head -3 left_mounts 2>/dev/null)"
  fail "not true: $1"
}

expect_nothing_left() {
  await no_process
  await no_scratch
  await no_mount
  await no_lock
}

expect_next_works() {
  run nix-build --no-out-link x.nix -A next
  expect_status 0
  expect_nothing_left
  run firn store check
  expect_status 0
}

# Processes of all kinds that do not end by themselves. The shell of the sandbox is busybox.
leaves='(trap "" TERM HUP INT; sleep MARK) & sleep MARK & setsid setsid sh -c "sleep MARK & sleep MARK" &'
stubborn='trap "" TERM HUP INT QUIT;'

test_success_with_processes_left_behind() {
  setup "$leaves"' echo > $out'
  build
  expect_status 0
  expect_nothing_left
  expect_next_works
}

test_failure_with_processes_left_behind() {
  setup "$leaves"' mkdir $out; exit 3'
  build
  expect_status 100
  expect_err_has "failed with exit code 3"
  expect_nothing_left
  expect_next_works
}

test_timeouts() {
  setup "$stubborn $leaves sleep MARK"
  build --timeout 1
  expect_status 101
  expect_err_has "timed out after 1 seconds"
  expect_nothing_left
  build --max-silent-time 1
  expect_status 101
  expect_err_has "timed out after 1 seconds of silence"
  expect_nothing_left
  expect_next_works
}

test_too_much_output() {
  setup "$leaves"' while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done'
  build --option max-build-log-size 100000
  expect_status 1
  expect_err_has "killed after writing more than 100000 bytes of log output"
  expect_nothing_left
  expect_next_works
}

test_signals() {
  for signal in INT TERM HUP; do
    setup "$stubborn $leaves sleep MARK"
    start
    kill -$signal "$pid"
    join
    expect_status 130
    expect_err_has "interrupted by the user"
    expect_nothing_left
  done
  expect_next_works
}

test_two_interrupts() {
  setup "$stubborn $leaves sleep MARK"
  start
  kill -INT "$pid"
  kill -INT "$pid" 2> /dev/null || true
  join
  expect_status 130
  expect_nothing_left
  expect_next_works
}

test_kill_9() {
  setup "$stubborn $leaves sleep MARK"
  start
  kill -9 "$pid"
  join
  expect_status 137
  await no_process
  await no_mount
  # The directory goes with the next firn. The file of the lock, which nobody holds, goes with the next build of the same output.
  run nix-build --no-out-link x.nix -A next
  expect_status 0
  await no_scratch
  build --timeout 1
  expect_status 101
  expect_nothing_left
  expect_next_works
}

test_a_closed_terminal() {
  setup "$stubborn $leaves sleep MARK"
  cat > closed.py <<END
import os, pty, subprocess, sys, time
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("nix-build", ["nix-build", "--no-out-link", "x.nix", "-A", "it"])
for _ in range(200):
    if subprocess.run(["pgrep", "-f", "sleep $mark"], stdout=subprocess.DEVNULL).returncode == 0:
        break
    time.sleep(0.05)
else:
    sys.exit("the build did not start")
os.close(terminal)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
  run python3 closed.py
  expect_status 0
  expect_out 130
  expect_nothing_left
  expect_next_works
}

test_without_a_sandbox() {
  setup "$stubborn"' sleep MARK & (sleep MARK &); sleep MARK'
  unset NIX_REMOTE
  mkdir -p "$HOME/own"
  export NIX_STORE_DIR="$HOME/own/store" NIX_STATE_DIR="$HOME/own/var"
  sed -i 's|PATH = "/bin"|PATH = "/bin:/usr/bin"|' x.nix
  build --no-sandbox --timeout 1
  expect_status 101
  await no_process
  setup 'echo text > file; exit 1'
  unset NIX_REMOTE
  export NIX_STORE_DIR="$HOME/own/store" NIX_STATE_DIR="$HOME/own/var"
  build --no-sandbox --keep-failed
  expect_status 100
  expect_kept
}

expect_kept() {
  kept=$(printf '%s\n' "$err" | sed -n "s/.*keeping build directory '\([^']*\)'.*/\1/p")
  expect_equal "$(cat "$kept/file")" text
  expect_equal "$(stat -c %u "$kept")" "$(id -u)"
  expect_equal "${kept##*/}" "nix-build-it.drv-${1:-0}"
}

test_kept_directories() {
  setup 'echo text > file; exit 1'
  build --keep-failed
  expect_status 100
  expect_kept
  build --keep-failed
  expect_kept 1
  run nix-build --no-out-link x.nix -A next
  expect_equal "$(cat "$kept/file")" text
}

test_build_dir() {
  setup 'echo text > file; exit 1'
  mkdir "$HOME/elsewhere"
  build --keep-failed --option build-dir "$HOME/elsewhere"
  expect_status 100
  expect_kept
  expect_equal "$kept" "$HOME/elsewhere/nix-build-it.drv-0"
  rm -rf "$kept"
  run nix-build --no-out-link x.nix -A next --option build-dir "$HOME/elsewhere"
  expect_status 0
  expect_equal "$(ls "$HOME/elsewhere")" ""
  build --option build-dir "$HOME/not/there"
  expect_status 1
  expect_err_has "making '$HOME/not/there/nix-build-it.drv-0': No such file or directory"
}

# What is refused after the builder has succeeded leaves its directory as well; without a sandbox under the name that the builder saw.
test_kept_directories_of_refused_outputs() {
  setup 'echo text > file; cat /proc/sys/kernel/random/uuid > $out'
  build
  build --check --keep-failed
  expect_status 104
  expect_kept
  setup 'echo text > file; pwd'
  unset NIX_REMOTE
  export NIX_STORE_DIR="$HOME/own/store" NIX_STATE_DIR="$HOME/own/var"
  build --no-sandbox --keep-failed
  expect_status 1
  expect_kept
  expect_err_has "$kept
"
}

test_a_full_disk() {
  [ "$(id -u)" = 0 ] || skip "only root can mount a small disk"
  setup 'dd if=/dev/zero of=$out bs=64k; exit 1'
  cat > full.sh <<'END'
mount -t tmpfs -o size=24m tmpfs "$HOME/store" || exit 77
nix-build --no-out-link x.nix -A it; echo "status $?"
nix-build --no-out-link x.nix -A next; echo "next $?"
firn store check; echo "check $?"
END
  mkdir -p "$HOME/store"
  run unshare -m sh full.sh
  expect_out_has "status 100"
  expect_err_has "No space left on device"
  expect_err_has "note: build failure may have been caused by lack of free disk space"
  expect_out_has "next 0"
  expect_out_has "check 0"
}

test_no_further_processes() {
  [ "$(id -u)" = 0 ] || skip "needs a second user"
  setup 'echo > $out'
  unset NIX_REMOTE
  run as_user prlimit --nproc=1 nix-build --no-out-link "$PWD/x.nix" -A it
  [ "$status" != 0 ] || fail "it was built"
  expect_err_has "Resource temporarily unavailable"
  run as_user nix-build --no-out-link "$PWD/x.nix" -A it
  expect_status 0
}

test_too_many_processes() {
  setup 'ulimit -p 200; while :; do sleep MARK & done'
  build --timeout 2
  case $status in 100 | 101) ;; *) show_run; fail "status $status" ;; esac
  expect_nothing_left
  expect_next_works
}

peak_kib() { # COMMAND...
  # What AddressSanitizer holds back of what has been freed is not counted.
  ASAN_OPTIONS="${ASAN_OPTIONS:-}:quarantine_size_mb=8" python3 -c 'import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' "$@"
}

test_floods() {
  setup 'yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'
  peak=$(peak_kib nix-build --no-out-link x.nix -A it --timeout 2)
  note "peak $peak KiB"
  [ "$peak" -lt 150000 ] || fail "$peak KiB for an endless log"
  expect_nothing_left
  setup 'dd if=/dev/zero bs=1M count=100 2>/dev/null | tr "\0" x; echo > $out'
  peak=$(peak_kib nix-build --no-out-link x.nix -A it)
  note "peak $peak KiB"
  [ "$peak" -lt 150000 ] || fail "$peak KiB for a line of 100 MB"
  build
  expect_status 0
  expect_nothing_left
}

test_types_of_files() {
  setup 'mkfifo $out'
  build
  expect_status 1
  expect_err_has "-it' has an unsupported type"
  expect_nothing_left
  setup 'mkdir $out; mkfifo $out/p'
  build
  expect_status 1
  expect_err_has "-it/p' has an unsupported type"
  setup 'mkdir $out; mknod $out/null c 1 3 2>/dev/null && exit 7; mknod $out/disk b 8 0 2>/dev/null && exit 8; exit 0'
  build
  expect_status 0
  expect_nothing_left
}

test_what_is_beside_the_output() {
  setup 'echo x > /nix/store/00000000000000000000000000000000-foreign; mkdir -p /nix/store/junk/deep; chmod 0 /nix/store/junk; ln -s / /nix/store/link; echo > $out'
  build
  expect_status 0
  expect_nothing_left
  expect_equal "$(ls "$HOME/store/store" | grep -cE 'foreign|junk|link')" 0
  expect_next_works
}

test_permissions() {
  setup 'mkdir -p $out/a/b /build/x/y /tmp/z/w; echo 1 > $out/a/b/c; chmod 0 $out/a/b/c $out/a/b $out/a $out /build/x /tmp/z; chmod 0 /build /tmp /nix/store'
  build
  expect_status 0
  expect_equal "$(stat -c %a "$HOME/store/store/${out##*/}/a/b/c")" 444
  expect_equal "$(stat -c %a "$HOME/store/store/${out##*/}/a")" 555
  expect_nothing_left
  expect_next_works
}

test_sparse_files() {
  setup 'truncate -s 300M $out'
  build
  expect_status 0
  expect_equal "$(stat -c %s "$HOME/store/store/${out##*/}")" 314572800
  used=$(du -sk "$HOME/store" | cut -f1)
  [ "$used" -lt 50000 ] || fail "$used KiB for a file of holes"
  expect_nothing_left
}

test_names_that_are_no_text() {
  setup 'mkdir $out; cd $out; echo 1 > "$(printf "a\nb")"; echo 2 > "$(printf "\377\376")"; echo 3 > "$(printf "\033[31m")"'
  build
  expect_status 0
  expect_equal "$(ls -b "$HOME/store/store/${out##*/}" | wc -l)" 3
  run nix-store --verify --check-contents
  expect_status 0
  expect_nothing_left
}

run_tests
