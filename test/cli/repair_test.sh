# Repair: nix-store --repair-path, nix store repair, --repair of builds, of nix-store --verify and of firn store check; from the store itself, from a
# binary cache, and by building again.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

setup() {
  cli_setup
  cat > x.nix <<END
let $sh_nix
  a = sh "a" "echo a library that is larger than nothing > \$out";
in { inherit a; b = derivation { name = "b"; system = builtins.currentSystem; builder = "/bin/sh"; outputs = [ "out" "dev" ]; args = [ "-c" "read x < \${a}; echo \${a} \$x > \$out; echo dev > \$dev" ]; }; }
END
  a=$(nix-build --no-out-link x.nix -A a 2> /dev/null)
  b=$(nix-build --no-out-link x.nix -A b 2> /dev/null)
}

tree() { echo "$HOME/store/store/$(basename "$1")"; }

# Overwrites the file of a path in place: the tree and the object are one inode.
damage() { # PATH
  chmod u+w "$(tree "$1")"
  printf 'x' | dd of="$(tree "$1")" bs=1 conv=notrunc 2> /dev/null
  chmod u-w "$(tree "$1")"
}

test_whole_paths_stay() {
  setup
  run nix store repair -r "$b"
  expect_status 0
  run nix-store --repair-path "$a" "$b"
  expect_status 0
  run grep -c repaired <<< "$err"
  expect_out 0
}

test_by_building_again() {
  setup
  damage "$b"
  run nix-store --verify-path "$b"
  expect_status 1
  run nix-store --repair-path "$b"
  expect_status 0
  expect_err_has 'by building it again'
  run nix-store --verify-path "$b" "$a"
  expect_status 0
  run firn store check --contents
  expect_status 0
  run cat "$(tree "$b")"
  expect_out_has 'a library'
}

test_damaged_inputs_are_repaired_first() {
  setup
  damage "$a"
  damage "$b"
  run nix store repair "$b"
  expect_status 0
  run nix-store --verify-path "$b" "$a"
  expect_status 0
}

test_from_a_cache() {
  setup
  nix-store --generate-binary-cache-key k-1 sk pk
  nix copy --to "file://$HOME/cache?secret-key=$PWD/sk" "$b"
  damage "$b"
  run nix store repair "$b" --substituters "file://$HOME/cache" --trusted-public-keys "$(cat pk)"
  expect_status 0
  expect_err_has 'from a substituter'
  run nix-store --verify-path "$b"
  expect_status 0
  # Nobody trusts it: it is built.
  damage "$a"
  run nix store repair "$a" --substituters "file://$HOME/cache" --trusted-public-keys ''
  expect_status 0
  expect_err_has 'by building it again'
}

test_what_nobody_has() {
  cli_setup
  head -c 100000 /dev/zero > f # too large for a pack, where a second copy would be
  p=$(nix-store --add f)
  nix-store -r "$p" > /dev/null 2>&1
  damage "$p"
  run nix store repair "$p"
  expect_status 1
  expect_err_has "cannot repair path '$p'"
  run nix-store --verify --check-contents --repair
  expect_status 1
  expect_err_has 'not all store errors were fixed'
}

test_repair_of_everything() {
  setup
  damage "$a"
  damage "$b"
  run nix-store --verify --check-contents
  expect_status 1
  run nix-store --verify --check-contents --repair
  expect_status 0
  run firn store check --contents
  expect_status 0
  expect_out_has '0 problems'
  damage "$b"
  run firn store check --contents --repair
  expect_status 0
  run nix-store --verify-path "$b"
  expect_status 0
}

test_repair_of_builds() {
  setup
  damage "$a"
  run nix-store -r "$b" --repair
  expect_status 0
  run nix-store --verify-path "$a"
  expect_status 0
  damage "$a"
  run nix-build --no-out-link x.nix -A b --repair
  expect_status 0
  run nix-store --verify-path "$a"
  expect_status 0
  damage "$b"
  run nix build --no-link -f x.nix b --repair
  expect_status 0
  run nix-store --verify-path "$b"
  expect_status 0
}

test_a_missing_tree_and_a_wrong_mode() {
  setup
  chmod 0600 "$(tree "$b")"
  run nix store repair "$b"
  expect_status 0
  run stat -c %a "$(tree "$b")"
  expect_out 444
}

run_tests
