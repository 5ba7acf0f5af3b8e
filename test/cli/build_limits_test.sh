# What the settings allow builds: machines, features, memory, time, and what makes the sandbox.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

setup() { # ATTRIBUTES SCRIPT
  cli_setup
  cat > x.nix <<END
derivation ({ name = "it"; system = builtins.currentSystem; builder = "/bin/sh"; PATH = "/bin"; args = [ "-c" ''$2'' ]; } // { $1 })
END
}

build() { # OPTION...
  run nix-build --no-out-link x.nix "$@"
}

test_features() {
  setup 'requiredSystemFeatures = [ "kvm" "big-parallel" "none" ];' 'echo > $out'
  build
  expect_status 1
  expect_err_has "a '$system' with features {big-parallel, kvm, none} is required to build '/nix/store/"
  expect_err_has "-it.drv', but I am a '$system' with features {benchmark, big-parallel, kvm, nixos-test}"
  build --option system-features "none kvm big-parallel"
  expect_status 0
  setup 'system = "riscv64-linux";' 'echo > $out'
  build
  expect_status 1
  expect_err_has "a 'riscv64-linux' with features {} is required to build"
}

test_no_jobs() {
  setup '' 'echo > $out'
  build --max-jobs 0
  expect_status 1
  expect_err_has "unable to start any build; either increase '--max-jobs' or enable remote builds"
}

test_remote_machines_are_refused_aloud() {
  setup '' 'echo > $out'
  build --option builders "ssh://elsewhere $system"
  expect_status 0
  expect_err_has "setting 'builders' ('ssh://elsewhere $system') names machines, but firn builds only on this one"
  printf '\n' > machines
  build --option builders "@$PWD/machines"
  case $err in *"names machines"*) fail "an empty file names none" ;; esac
  echo "ssh://elsewhere" > machines
  build --option builders "@$PWD/machines"
  expect_err_has "names machines"
}

# Neither Nix 2.8 nor 2.26 looks at them; only the settings count.
test_attributes_set_no_timeouts() {
  setup 'timeout = 1; maxSilent = 1; max-silent-time = 1;' 'sleep 1.5; echo > $out'
  build
  expect_status 0
}

test_backends() {
  setup '' 'echo made > $out'
  build --option sandbox-backend nonsense
  expect_status 1
  expect_err_has "setting 'sandbox-backend' is auto, native, bubblewrap, oci:// or oci://PROGRAM, not 'nonsense'"
  for backend in native bubblewrap; do
    build --option sandbox-backend $backend
    expect_status 0
    nix-store --delete "$out" > /dev/null 2>&1
  done
  build --option sandbox-backend oci:///no/such/program
  expect_status 1
  expect_err_has "setting up the sandbox: there is no program '/no/such/program'"
  command -v crun > /dev/null || skip "no crun here"
  cat > oci.sh <<'END'
# crun 1.8 wants one hierarchy of cgroups.
[ ! -e /sys/fs/cgroup/unified ] || mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec nix-build --no-out-link x.nix --option sandbox-backend oci://crun
END
  if [ "$(id -u)" = 0 ]; then run unshare -m sh oci.sh; else run nix-build --no-out-link x.nix --option sandbox-backend oci://crun; fi
  expect_status 0
  expect_equal "$(cat "$HOME/store/store/${out##*/}")" made
}

test_memory() {
  setup '' 'dd if=/dev/zero of=/dev/null bs=200000000 count=1 2>/dev/null && echo > $out'
  build --option build-memory-max 64M
  case $err in
    *"needs the controller 'memory'"* | *"cgroups for builds"*) expect_status 1 ;;
    *) expect_status 100; expect_err_has "needed more than 'build-memory-max' of memory" ;;
  esac
  build --option use-cgroups true
  expect_status 0
}

test_shared_memory() {
  setup '' 'df -k /dev/shm | tail -1 | while read -r a size b; do echo $size; done > $out'
  build --option sandbox-dev-shm-size 8M
  expect_status 0
  expect_equal "$(cat "$HOME/store/store/${out##*/}")" 8192
  build --option sandbox-dev-shm-size much
  expect_status 1
  expect_err_has "setting 'sandbox-dev-shm-size' has invalid value 'much'"
}

run_tests
