# Programs that are meant to break the evaluator: nested too deep, endless, too large. Each ends with a value or an error.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

depth=30000

nested() { # BEFORE MIDDLE AFTER
  python3 -c 'import sys; n = int(sys.argv[4]); sys.stdout.write(sys.argv[1] * n + sys.argv[2] + sys.argv[3] * n)' "$1" "$2" "$3" $depth > nested.nix
  run timeout 120 nix-instantiate --eval nested.nix
  case $status in 0 | 1) ;; *) show_run; fail "nested '$1': status $status" ;; esac
}

test_nesting_of_every_construct() {
  cli_setup
  command -v python3 > /dev/null || skip "python3 is not installed"
  nested '(' 1 ')'
  nested '[' '' ']'
  nested '{a=' 1 ';}'
  nested 'rec{a=' 1 ';}'
  nested 'let a=' 1 ';in a'
  nested 'x:' 1 ''
  nested '{a?' 1 '}:a'
  nested 'if ' true ' then true else false'
  nested 'with ' '{}' ';{}'
  nested '!' true ''
  nested '-' 1 ''
  nested '1+(' 1 ')'
  nested '{}//' '{}' ''
  nested '"${' '"a"' '}"'
  nested "''\${" '"a"' "}''"
  nested '{}.a or ' 1 ''
  nested '(x:x)(' 1 ')'
  nested '{"${' '"a"' '}"=1;}'
  nested '{inherit (' '{}' ') a;}'
  nested '{' '' ''
  nested '"${' '' ''
  nested 'a@{' '' ''
}

never_ends() { # EXPRESSION
  run timeout 120 nix-instantiate --eval -E "$1"
  expect_status 1
  expect_err_has 'stack overflow'
}

test_what_never_ends() {
  cli_setup
  never_ends 'let a = { outPath = a; }; in "${a}"'
  never_ends 'let a = { outPath = a; }; in builtins.readFile a'
  never_ends 'let a = { outPath = a; }; in builtins.toJSON a'
  never_ends 'let a = { __toString = s: s; }; in builtins.readFile a'
  never_ends 'let a = { type = "derivation"; outPath = a; }; in a == a // { }'
  never_ends 'let a = { a = a; }; in builtins.toXML a'
  never_ends 'let a = [ a ]; b = [ b ]; in a == b'
  never_ends 'let f = x: f x + 1; in f 1'
  run nix-instantiate --eval -E 'builtins.genList (x: x) 1000000000000'
  expect_status 1
  expect_err_has 'cannot create list of size 1000000000000'
}

run_tests
