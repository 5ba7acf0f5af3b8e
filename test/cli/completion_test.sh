# Completion, help and manual pages: all from the tables of commands and options.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

completion_setup() {
  cli_setup
  cat > x.nix <<'END'
{ extra ? false }: let d = name: derivation { inherit name; system = builtins.currentSystem; builder = "/bin/sh"; }; in {
  hello = d "hello"; help = d "help"; nested = { inner.deep = d "deep"; bad = throw "bad"; other = 1; };
} // (if extra then { more = 1; } else { })
END
}

complete() { # WORDS...: the last one is completed; candidates without descriptions in $out
  run env NIX_GET_COMPLETIONS=$(($# - 1)) "$@"
  expect_status 0
  out=$(printf '%s\n' "$out" | cut -f1 | tr '\n' ' ')
}

test_commands_and_options() {
  completion_setup
  complete firn bui
  expect_out 'normal build '
  complete nix store p
  expect_out_has 'ping '
  complete firn build --max-j
  expect_out 'normal --max-jobs --max-jobs '
  complete firn build --log-format bar
  expect_out 'normal bar bar-with-logs '
  complete firn eval --option allow-imp
  expect_out 'normal allow-import-from-derivation '
  complete firn completion ''
  expect_out 'normal bash fish zsh '
  complete nix-build x
  expect_out 'filenames '
  complete firn build -o x
  expect_out 'filenames '
}

test_attributes() {
  completion_setup
  complete firn build x.nix -A hel
  expect_out 'attrs hello help '
  complete nix-build x.nix -A nested.
  expect_out 'attrs nested.bad nested.inner nested.other '
  complete nix build -f x.nix nested.inner.d
  expect_out 'attrs nested.inner.deep '
  complete nix-shell x.nix -A he
  expect_out 'attrs hello help '
  complete nix-build x.nix --arg extra true -A m
  expect_out 'attrs more '
  complete nix-env -f x.nix -iA hello hel
  expect_out 'attrs hello help '
  complete nix-build x.nix -A nested.bad.
  expect_out 'attrs '
  complete nix-build missing.nix -A x
  expect_out 'attrs '
  export NIX_PATH=nixpkgs=$PWD/x.nix
  complete firn shell help
  expect_out 'attrs help '
  complete nix-shell -p hello hel
  expect_out 'attrs hello help '
  [ ! -e "$HOME/store/var/nix/gcroots/auto" ] || [ -z "$(ls "$HOME/store/store" 2>/dev/null)" ] || fail "completing wrote into the store"
}

test_the_script_for_bash() {
  completion_setup
  run firn completion bash
  expect_status 0
  printf '%s\n' "$out" > script
  run bash --norc -c '. ./script; COMP_WORDS=(firn build x.nix -A hel); COMP_CWORD=4; compopt() { :; }; _firn_complete; printf "%s\n" "${COMPREPLY[@]}"; complete -p nix-build'
  expect_status 0
  expect_out 'hello
help
complete -F _firn_complete nix-build'
  for shell in zsh fish; do
    run firn completion $shell
    expect_status 0
    expect_out_has NIX_GET_COMPLETIONS
    if command -v $shell > /dev/null; then
      printf '%s\n' "$out" > script.$shell
      run $shell -n script.$shell
      expect_status 0
    fi
  done
}

test_help_and_manuals() {
  completion_setup
  for name in nix-build nix-shell nix-env nix-store nix-instantiate nix-hash 'nix build' 'nix develop' 'firn explain' 'firn shell'; do
    # shellcheck disable=SC2086 # program and command
    run $name --help
    expect_status 0
    expect_out_has "Usage: $name"
    # shellcheck disable=SC2086
    run firn man $name
    expect_out_has ".TH \"$(printf '%s' "$name" | tr ' ' -)\" 1"
    expect_out_has '.SH OPTIONS'
  done
  run firn man nix3-store-ls
  expect_out_has '.TH "nix-store-ls" 1'
}

run_tests
