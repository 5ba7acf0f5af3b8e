# What commands there are: finding them, and what is said of those that there are not.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

test_what_is_not_there() {
  cli_setup
  run nix bulid
  expect_status 1
  expect_err_has "error: 'bulid' is not a recognised command
       Did you mean build?
Try 'nix --help' for more information."
  run firn store gcc
  expect_err_has "'gcc' is not a recognised command"
  expect_err_has 'Did you mean gc?'
  run nix profile
  expect_err_has 'nix profile requires a sub-command. Available sub-commands:'
  expect_err_has '· wipe-history'
  run nix flake show
  expect_status 1
  expect_err_has 'flakes are not supported'
  run nix upgrade-nix
  expect_err_has 'does not replace itself'
  run nix build --kep-going
  expect_err_has "unrecognised flag '--kep-going'"
  expect_err_has 'Did you mean --keep-going?'
}

test_settings_and_checks() {
  cli_setup
  run nix show-config cores
  expect_out "$(nproc --all)"
  run nix config show system
  expect_out "$system"
  run nix config show --json
  expect_out_has '"max-jobs":{"defaultValue":"auto",'
  expect_out_has "\"system\":{\"defaultValue\":\"\",\"description\":\"what is built for\",\"value\":\"$system\"}"
  PATH="$FIRN_TEST_BUILD_DIR/bin:/bin" run nix doctor
  expect_out_has 'Running checks against store: '
  expect_out_has '[PASS] The store can be written.'
  run nix help build
  expect_out_has 'Usage: nix build '
}

test_search() {
  cli_setup
  cat > x.nix <<'END'
let d = name: description: derivation { inherit name; system = builtins.currentSystem; builder = "/bin/sh"; } // { meta = { inherit description; }; }; in {
  hello = d "hello-2.10" "Greets the world\nin a friendly way"; empty = d "empty-1" ""; bad = throw "bad";
  inner = { recurseForDerivations = true; deep = d "deep-3" "hello from below"; };
}
END
  run nix search -f x.nix '' nothing
  expect_status 1
  expect_err_has 'no results for the given search term(s)!'
  run env NO_COLOR=1 nix search -f x.nix '' HELLO
  expect_out '* hello (2.10)
  Greets the world in a friendly way

* inner.deep (3)
  hello from below'
  run env NO_COLOR=1 nix search -f x.nix '' hello world
  expect_out_has 'hello (2.10)'
  case $out in *deep*) fail "all patterns have to match" ;; esac
  run nix search -f x.nix '' 'orld' 'wor'
  expect_out_has "$(printf 'the \033[32;1mworld\033[0m in')"
  run firn search -f x.nix ^ -e deep --json
  expect_out '{"empty":{"description":"","pname":"empty","version":"1"},"hello":{"description":"Greets the world in a friendly way","pname":"hello","version":"2.10"}}'
  run nix search -f x.nix ''
  expect_err_has 'Must provide at least one regex!'
  run nix search nixpkgs hello
  expect_err_has 'flakes are not supported'
}

# Every command says what it does.
test_help_of_all() {
  cli_setup
  firn help | sed -n 's/^  \([a-z][a-z -]*[a-z]\)  .*/\1/p' > commands
  [ "$(wc -l < commands)" -gt 15 ] || fail "$(cat commands)"
  while read -r command; do
    # shellcheck disable=SC2086 # words
    run firn $command --help
    expect_status 0
    expect_out_has "Usage: firn $command"
    run firn man $command
    expect_status 0
    expect_out_has '.SH NAME'
  done < commands
}

run_tests
