# firn eval and nix-instantiate --eval, as a person uses them.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

test_forms_of_output() {
  cli_setup
  run firn eval -E '{ a = 1; b = [ "x" null true 1.5 ]; }' --strict
  expect_status 0
  expect_out '{ a = 1; b = [ "x" null true 1.5 ]; }'
  run firn eval -E '{ a = 1 + 1; b = throw "not looked at"; }'
  expect_out '{ a = <CODE>; b = <CODE>; }'
  run firn eval --json -E '{ b = [ 1 2.0 "a\"b" ]; a = null; }'
  expect_out '{"a":null,"b":[1,2.0,"a\"b"]}'
  run firn eval --raw -E '"a\nb"'
  expect_out 'a
b'
  run firn eval --xml --no-location -E '[ 1 "x" ]' --strict
  expect_out_has '<int value="1" />'
  run firn eval --raw -E '1 + 1'
  expect_status 1
  expect_err_has 'cannot coerce an integer to a string'
}

test_what_to_evaluate() {
  cli_setup
  mkdir dir
  echo '{ x ? 1, y ? { z = [ 10 20 ]; } }: { inherit x y; here = ./.; }' > dir/default.nix
  run firn eval dir -A x
  expect_out 1
  run firn eval -f dir/default.nix -A y.z.1
  expect_out 20
  run firn eval -f dir -A x --arg x '2 * 21'
  expect_out 42
  run firn eval -f dir -A x --argstr x text
  expect_out '"text"'
  run firn eval -f dir -A here
  expect_out "$PWD/dir"
  run firn eval -E '{ "a.b" = { c = 3; }; }' -A '"a.b".c'
  expect_out 3
  run bash -c 'echo "1 + 2" | firn eval -f -'
  expect_out 3
  run firn eval -E '[ 1 2 ]' -A 0 -A 1
  expect_out '1
2'
  cd dir
  run nix-instantiate --eval -A x
  expect_out 1
  run nix-instantiate --eval -E '1' '2'
  expect_out '1
2'
}

# What is old and dead is collected before the limit is an error.
test_max_heap() {
  cli_setup
  run firn eval --max-heap 32M -E '
    builtins.length (builtins.foldl'"'"' (l: i: builtins.deepSeq l (builtins.genList (x: toString (x + i)) 20000)) [ ] (builtins.genList (i: i) 100))'
  expect_out 20000
  run firn eval --max-heap 8M -E 'builtins.deepSeq (builtins.genList (i: builtins.genList (x: toString (x + i)) 1000) 1000) 1' --option eval-cache false
  expect_status 1
  expect_err_has 'needs more than the 8 MiB of memory that --max-heap allows'
}

test_functions_without_arguments() {
  cli_setup
  run firn eval -E '{ a }: a' -A b
  expect_status 1
  expect_err_has "cannot evaluate a function that has an argument without a value ('a')"
  run firn eval -E '{ a, ... }@all: all' --argstr a x --argstr b y --strict
  expect_out '{ a = "x"; b = "y"; }'
  run firn eval -E '{ a }@all: all' --argstr a x --argstr b y --strict
  expect_out '{ a = "x"; }'
  run firn eval -E '{ __functor = self: { a ? 5 }: a; }' --argstr unused x
  expect_out 5
}

test_search_path() {
  cli_setup
  mkdir -p one/sub two
  echo 1 > one/sub/default.nix
  echo 2 > two/default.nix
  run firn eval -E '[ (import <sub>) (import <named>) ]' -I one -I named=two --strict
  expect_out '[ 1 2 ]'
  NIX_PATH=named=$PWD/two:$PWD/one run firn eval -E 'import <named>'
  expect_out 2
  run nix-instantiate --find-file sub -I one
  expect_out "$PWD/one/sub"
  run firn eval -E '<missing>'
  expect_status 1
  expect_err_has "file 'missing' was not found in the Nix search path"
}

test_errors() {
  cli_setup
  run firn eval -E '{ hello = 1; }' -A helo
  expect_status 1
  expect_err_has "attribute 'helo' in selection path 'helo' not found"
  expect_err_has 'Did you mean hello?'
  run firn eval -E '[ 1 ]' -A 3
  expect_err_has "list index 3 in selection path '3' is out of range"
  run firn eval -E '1' -A x
  expect_err_has "the expression selected by the selection path 'x' should be a set but is an integer"
  run firn eval -f missing.nix
  expect_status 1
  expect_err_has "$PWD/missing.nix"
  run firn eval -E '1 +'
  expect_status 1
  expect_err_has 'syntax error, unexpected end of file'
  run firn eval --no-such-option
  expect_status 1
  expect_err_has "unrecognised flag '--no-such-option'"
  run firn no-such-command
  expect_status 1
  run firn eval --arg x
  expect_err_has "requires 2 argument(s)"
}

test_settings() {
  cli_setup
  run firn eval --option allow-import-from-derivation maybe -E 1
  expect_status 1
  expect_err_has "Boolean setting 'allow-import-from-derivation' has invalid value 'maybe'"
  run firn eval --option no-such-setting x -E 1
  expect_status 0
  expect_err_has "unknown setting 'no-such-setting'"
  NIX_CONFIG='max-jobs = 3
extra-experimental-features = a b' run nix config show max-jobs
  expect_out 3
  printf 'include other.conf\n!include missing.conf\ncores = 2 # comment\n' > nix.conf
  echo 'experimental-features = nix-command flakes' > other.conf
  NIX_CONF_DIR=$PWD run nix config show experimental-features
  expect_out 'nix-command flakes'
  NIX_CONF_DIR=$PWD run nix --extra-experimental-features ca-derivations config show experimental-features
  expect_out 'nix-command flakes ca-derivations'
}

test_restricted_and_pure() {
  cli_setup
  echo secret > file
  run firn eval --restrict-eval -E "builtins.readFile $PWD/file"
  expect_status 1
  expect_err_has "access to absolute path '$PWD/file' is forbidden in restricted mode"
  run firn eval --restrict-eval -I "$PWD" -E "builtins.readFile $PWD/file"
  expect_out '"secret\n"'
  run firn eval --pure-eval -E "builtins.readFile $PWD/file"
  expect_status 1
  expect_err_has "is forbidden in pure evaluation mode (use '--impure' to override)"
  mkdir allowed
  ln -s ../file allowed/link
  run firn eval --restrict-eval -I "$PWD/allowed" -E "builtins.readFile $PWD/allowed/link"
  expect_status 1
  expect_err_has "access to absolute path '$PWD/file' is forbidden"
  HOME=/x run firn eval --restrict-eval -E 'builtins.getEnv "HOME"'
  expect_out '""'
  run firn eval --restrict-eval -E 'builtins.fetchurl "http://localhost/x"'
  expect_err_has "access to URI 'http://localhost/x' is forbidden in restricted mode"
}

test_help_and_completion() {
  cli_setup
  run firn eval --help
  expect_status 0
  expect_out_has '--argstr NAME STRING'
  run firn help
  expect_out_has 'eval-jobs'
  run firn man build
  expect_out_has '.TH "firn-build" 1'
  run nix-instantiate --version
  expect_out_has 'nix-instantiate (Nix) 2.'
  run nix --option cores 1 --version
  expect_out_has 'nix (Nix) 2.'
  NIX_GET_COMPLETIONS=1 run firn st
  expect_out_has 'store'
  NIX_GET_COMPLETIONS=2 run firn store pa
  expect_out_has 'path-info'
  NIX_GET_COMPLETIONS=2 run firn eval --arg
  expect_out_has '--argstr'
  for shell in bash zsh fish; do
    run firn completion $shell
    expect_status 0
    expect_out_has NIX_GET_COMPLETIONS
  done
}

test_write_to() {
  cli_setup
  run firn eval --write-to out -E '{ a = "text"; d = { b = "more"; }; }'
  expect_status 0
  expect_equal "$(cat out/a out/d/b)" 'textmore'
  run firn eval --write-to out -E '"x"'
  expect_status 1
  expect_err_has 'already exists'
}

# `nix eval` is pure unless a file is named.
test_nix_eval_is_pure() {
  cli_setup
  echo 7 > x.nix
  run nix eval --expr '[ (builtins ? currentTime) (builtins ? currentSystem) (builtins.getEnv "HOME") (builtins.pathExists /etc) ]'
  expect_out '[ false false "" false ]'
  run nix eval --expr 'import ./x.nix'
  expect_status 1
  expect_err_has "is forbidden in pure evaluation mode (use '--impure' to override)"
  run nix eval -I foo=. --expr '<foo/x.nix>'
  expect_status 1
  run nix eval --impure --expr 'import ./x.nix'
  expect_out 7
  run nix eval --option pure-eval false --expr 'import ./x.nix'
  expect_out 7
  run nix eval -f x.nix
  expect_out 7
  run nix eval --pure-eval -f x.nix
  expect_out 7
  run nix eval --expr 1 -f x.nix
  expect_status 1
  expect_err_has "'--file' and '--expr' are exclusive"
  # firn's own command is not.
  run firn eval -E 'import ./x.nix'
  expect_out 7
}

test_nix_eval_arguments() {
  cli_setup
  echo '{ a ? 1, b ? 2, ... }@args: { inherit args; sum = a + b; }' > f.nix
  printf text > file
  run nix eval -f f.nix sum --arg a 5
  expect_out 7
  # Only functions on the way are called.
  run nix eval -f f.nix --arg a 5
  expect_out "«lambda @ $PWD/f.nix:1:1»"
  run nix eval -f f.nix --arg a 5 --apply 'f: (f { }).sum'
  expect_out 3
  run nix eval -f f.nix --arg-from-file c file args.c
  expect_out '"text"'
  run nix eval -f f.nix --arg-from-file c missing args.c
  expect_err_has "opening file 'missing': No such file or directory"
  status=0
  out=$(printf piped | nix eval -f f.nix --arg-from-stdin c args.c) || status=$?
  expect_out '"piped"'
  run nix eval -f f.nix sum --arg a 'throw "used"'
  expect_err_has 'error: used'
  run nix eval -f f.nix args.b --arg a 'throw "not used"' --arg b 3
  expect_out 3
  run nix-instantiate --eval f.nix --arg a 5 -A args
  expect_out '{ a = <CODE>; }'
  run nix eval --raw --json --expr 1
  expect_err_has '--raw and --json are mutually exclusive'
  run nix eval --expr 1 x y
  expect_err_has "unexpected argument 'y'"
  run nix eval --expr '{ a.b = 1; }' 'a.b^out,dev'
  expect_out 1
}

test_write_to_errors() {
  cli_setup
  printf '{\n a.b = 1;\n s = "x"; up = { ".." = ""; };\n down = { "a/b" = ""; };\n}\n' > f.nix
  run nix eval -f f.nix a --write-to out
  expect_status 1
  expect_err_has "error: value at '$PWD/f.nix:2:2' is not a string or an attribute set"
  expect_err_has "… while evaluating the attribute 'b'"
  rm -r out
  run nix eval --expr 1 --write-to out
  expect_err_has "error: value at '«none»:0' is not a string or an attribute set"
  run nix eval -f f.nix s --write-to missing/out
  expect_err_has "opening file 'missing/out': No such file or directory"
  run nix eval -f f.nix s --write-to f.nix
  expect_err_has "path 'f.nix' already exists"
  for name in up down; do
    run nix eval -f f.nix "$name" --write-to out
    expect_status 1
    expect_err_has 'invalid file name'
    rm -r out
  done
  run nix eval -f f.nix s --write-to out
  expect_status 0
  expect_equal x "$(cat out)"
}

test_nix_eval() {
  cli_setup
  echo '{ a = { b = 1; c = throw "no"; }; }' > x.nix
  run nix --extra-experimental-features nix-command eval -f x.nix a.b
  expect_out 1
  run nix eval --expr '{ x = 1 + 1; y = [ ]; }'
  expect_out '{ x = 2; y = [ ]; }'
  run nix eval --impure --raw --expr builtins.currentSystem
  expect_out "$system"
  run nix eval --json --apply 'x: x + 1' --expr 41
  expect_out 42
  run nix eval .#x
  expect_status 1
  expect_err_has 'flakes are not supported'
}

test_parse() {
  cli_setup
  run nix-instantiate --parse -E '{ a = 1; }'
  expect_out '{ a = 1; }'
  run nix-instantiate --parse -E '{ a = ; }'
  expect_status 1
  expect_err_has "syntax error, unexpected ';'"
}

test_infinite_recursion_shows_the_cycle() {
  cli_setup
  run firn eval -E 'let a = { x = b.y; }; b = { y = c 1; }; c = z: a.x; in a.x'
  expect_status 1
  expect_err_has 'error: infinite recursion encountered'
  expect_err_has "… 'x' needs 'y' at «string»:1:15"
  expect_err_has "… 'y' needs 'x' at «string»:1:48"
  run nix-instantiate --eval -E 'let x = x; in x'
  [ "${err#*needs}" = "$err" ] || fail "what C++ Nix has no word for is not said under its name"
}

test_errors_are_short_unless_asked() {
  cli_setup
  run firn eval -E 'builtins.addErrorContext "the option a.b" ((derivation { name = "p-1"; system = "s"; builder = throw "no builder"; }).outPath)'
  expect_err_has 'error: no builder'
  expect_err_has "… while evaluating derivation 'p-1'"
  expect_err_has '… the option a.b'
  expect_err_has "use '--show-trace'"
  [ "${err#*whose name attribute}" = "$err" ] || fail "a detail is shown"
  run firn eval --show-trace -E '(derivation { name = "p-1"; system = "s"; builder = throw "no builder"; }).outPath'
  expect_err_has 'whose name attribute is located at'
}

test_parser_warnings_are_repeated() {
  cli_setup
  echo 'let or = x: x; in [ (x: x) or ]' > or.nix
  for i in 1 2; do
    run firn eval -E "builtins.length (import $PWD/or.nix)"
    expect_err_has 'uses `or` as an identifier'
  done
}

run_tests
