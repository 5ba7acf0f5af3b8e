# nix profile: packages in profiles whose manifest is JSON.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

packages() {
  cli_setup
  cat > p.nix <<END
let sh = name: script: derivation { inherit name; system = builtins.currentSystem; builder = "/bin/sh"; PATH = "/bin"; args = [ "-c" script ]; }; in {
  one = sh "foo-1.0" "mkdir -p \$out/bin; echo 1 > \$out/bin/foo";
  two = sh "foo-2.0" "mkdir -p \$out/bin; echo 2 > \$out/bin/foo";
  bar = sh "bar-0.5-doc" "mkdir -p \$out/share; echo b > \$out/share/bar";
  multi = derivation { name = "multi-3"; outputs = [ "out" "dev" ]; system = builtins.currentSystem; builder = "/bin/sh"; PATH = "/bin";
    args = [ "-c" "mkdir -p \$out/lib \$dev/inc; echo x > \$out/lib/x; echo y > \$dev/inc/y" ]; };
}
END
  P="--profile $PWD/profiles/test"
  mkdir profiles
}

test_install_list_remove() {
  packages
  run nix profile list $P
  expect_out ''
  run nix profile install $P -f p.nix one
  expect_status 0
  case $(readlink profiles/test/bin) in *-foo-1.0/bin) ;; *) fail "$(ls -lR profiles/test/)" ;; esac
  run nix profile add $P -f p.nix multi
  expect_status 0
  one=$(nix-build p.nix -A one --no-out-link 2> /dev/null)
  run nix profile list $P --json
  expect_out_has "{\"elements\":{\"foo\":{\"active\":true,\"priority\":5,\"storePaths\":[\"$one\"]},\"multi\":{"
  expect_out_has '},"version":3}'
  expect_equal "$out" "$(cat profiles/test/manifest.json)"
  run nix profile list $P
  expect_out_has 'Name:               foo'
  expect_out_has "Store paths:        $one"
  run nix profile remove $P foo
  expect_status 0
  expect_err_has "removing 'foo'"
  [ ! -L profiles/test/bin ] || fail "foo is still there"
  [ -L profiles/test/inc ] || fail "multi is gone, too"
  run nix profile install $P "$one"
  expect_status 0
  run nix profile remove $P "$one" nothing
  expect_err_has "Package name 'nothing' does not match any packages in the profile."
  run nix profile remove $P --regex 'MUL.*'
  expect_err_has 'removed 1 packages, kept 0 packages'
}

test_files_that_collide() {
  packages
  nix profile install $P -f p.nix one
  run nix profile install $P -f p.nix two
  expect_status 1
  expect_err_has 'An existing package already provides the following file:'
  expect_err_has 'nix profile remove foo'
  expect_err_has '-foo-2.0 --priority 4'
  run nix profile install $P -f p.nix two --priority 4
  expect_status 0
  case $(readlink profiles/test/bin/foo || readlink profiles/test/bin) in *-foo-2.0/*) ;; *) fail "$(ls -lR profiles/test/)" ;; esac
  run nix profile list $P
  expect_out_has 'foo-1'
}

test_versions() {
  packages
  nix profile install $P -f p.nix one
  nix profile install $P -f p.nix bar
  nix profile remove $P foo
  run nix profile history $P
  expect_out_has '  foo: ∅ -> 1.0'
  expect_out_has 'Version 3 ('
  expect_out_has '  foo: 1.0 -> ∅'
  run nix profile diff-closures $P
  expect_out_has 'Version 1 -> 2:
  bar: ∅ → 0.5'
  run nix profile rollback $P
  expect_err_has 'switching profile from version 3 to 2'
  [ -L profiles/test/bin ] || fail "not rolled back"
  run nix profile rollback $P --to 7
  expect_status 1
  expect_err_has 'profile version 7 does not exist'
  run nix profile wipe-history $P --dry-run
  expect_err_has 'would remove profile version 1'
  run nix profile wipe-history $P
  run nix profile history $P
  expect_out_has 'Version 2 ('
  [ "$(printf '%s\n' "$out" | grep -c Version)" = 1 ] || fail "versions are left: $out"
}

test_what_is_refused() {
  packages
  run nix profile install $P nixpkgs#hello
  expect_status 1
  expect_err_has 'flakes are not supported'
  nix profile install $P -f p.nix one
  run nix profile remove $P
  expect_err_has 'No packages specified.'
  run nix profile remove $P 0
  expect_err_has "'nix profile' no longer supports indices ('0')"
  run nix profile remove $P --all foo
  expect_err_has '--all cannot be used with package names or regular expressions.'
  run nix profile upgrade $P --all
  expect_err_has "Found package 'foo', but it was not installed from a flake"
  run nix-env $P -q
  expect_err_has "is incompatible with 'nix-env'; please use 'nix profile' instead"
}

test_other_manifests() {
  packages
  nix-env $P -f p.nix -iA one 2> /dev/null
  run nix profile list $P
  expect_out_has 'Name:               foo'
  # Elements from flakes stay as they are.
  one=$(nix-build p.nix -A one --no-out-link 2> /dev/null)
  mkdir tree
  echo "{\"elements\":[{\"active\":false,\"attrPath\":\"legacyPackages.x.hello\",\"originalUrl\":\"flake:nixpkgs\",\"outputs\":[\"out\"],\"storePaths\":[\"$one\"],\"url\":\"github:x/y/0123\"}],\"version\":2}" > tree/manifest.json
  tree=$(nix-store --add tree)
  ln -s "$HOME/store/store/$(basename "$tree")" profiles/other-1-link
  ln -s other-1-link profiles/other
  nix profile install --profile "$PWD/profiles/other" -f p.nix bar
  run nix profile list --profile "$PWD/profiles/other" --json
  expect_out_has '"hello":{"active":false,"attrPath":"legacyPackages.x.hello","originalUrl":"flake:nixpkgs","outputs":["out"],"priority":5,"storePaths":["'
  run nix profile list --profile "$PWD/profiles/other"
  expect_out_has 'Flake attribute:    legacyPackages.x.hello^out'
  run nix profile upgrade --profile "$PWD/profiles/other" hello
  expect_status 1
}

test_the_store_path() {
  packages
  nix profile install $P -f p.nix one
  ours=$(basename "$(readlink -f profiles/test)")
  run nix path-info --json "/nix/store/$ours"
  expect_out_has '"ca":"fixed:r:sha256:'
  one=$(nix-build p.nix -A one --no-out-link 2> /dev/null)
  run nix-store -q --references "/nix/store/$ours"
  expect_out "$one"
}

test_build_into_a_profile() {
  packages
  run nix build --no-link $P -f p.nix one
  expect_status 0
  expect_equal "$(cat "$(readlink -f profiles/test)/bin/foo")" 1
  run nix build --no-link $P -f p.nix one two
  expect_status 1
  expect_err_has "'--profile' requires that the arguments produce a single store path, but there are 2"
}

run_tests
