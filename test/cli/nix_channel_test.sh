# nix-channel: lists of channels, and their expressions in a profile.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

channel_setup() {
  cli_setup
  unset NIX_PATH # what channels are for
  publish 1
}

publish() { # VERSION: a channel at file://$PWD/site/packages-1.0
  rm -rf tree
  mkdir -p "tree/packages-1.0.$1" site/packages-1.0
  echo "{ version = \"$1\"; hello = derivation { name = \"hello-$1\"; system = builtins.currentSystem; builder = \"/bin/sh\"; }; }" > "tree/packages-1.0.$1/default.nix"
  tar -C tree -cJf site/packages-1.0/nixexprs.tar.xz "packages-1.0.$1"
}

test_the_list() {
  channel_setup
  run nix-channel --add https://example.org/channels/nixos-20.09/ system
  expect_status 0
  run nix-channel --add https://example.org/channels/nixpkgs-unstable
  run nix-channel --list
  expect_out 'nixpkgs https://example.org/channels/nixpkgs-unstable
system https://example.org/channels/nixos-20.09'
  expect_equal "$(cat "$HOME/.nix-channels")" 'https://example.org/channels/nixpkgs-unstable nixpkgs
https://example.org/channels/nixos-20.09 system'
  run nix-channel --remove system
  expect_status 0
  run nix-channel --list
  expect_equal "$(printf '%s\n' "$out" | wc -l)" 1
  run nix-channel --add ftp://example.org/x
  expect_status 1
  expect_err_has "invalid channel URL 'ftp://example.org/x'"
  run nix-channel --add https://example.org/x -bad
  expect_status 1
  run nix-channel
  expect_err_has 'no command specified'
}

test_update_and_rollback() {
  channel_setup
  run nix-channel --add "file://$PWD/site/packages-1.0" packages
  run nix-channel --update
  expect_status 0
  expect_err_has 'unpacking 1 channels...'
  [ -L "$HOME/.nix-defexpr/channels" ] || fail "the channels are not linked"
  run nix-env -qaP
  expect_out 'packages.hello  hello-1'
  run firn eval --raw -E '(import <packages>).version'
  expect_out 1
  publish 2
  run nix-channel --update packages --option tarball-ttl 0
  expect_status 0
  run firn eval --raw -E '(import <packages>).version'
  expect_out 2
  run nix-channel --rollback
  expect_status 0
  run firn eval --raw -E '(import <packages>).version'
  expect_out 1
  run nix-channel --list-generations
  expect_equal "$(printf '%s\n' "$out" | wc -l)" 2
  run nix-channel --remove packages
  run firn eval --raw -E '(import <packages>).version'
  expect_status 1
}

test_a_tarball_and_a_missing_one() {
  channel_setup
  run nix-channel --add "file://$PWD/site/packages-1.0/nixexprs.tar.xz" direct
  run nix-channel --update
  expect_status 0
  run firn eval --raw -E '(import <direct>).version'
  expect_out 1
  run nix-channel --add "file://$PWD/site/missing" missing
  run nix-channel --update
  expect_status 1
  expect_err_has missing
  run firn eval --raw -E '(import <direct>).version'
  expect_out 1
}

run_tests
