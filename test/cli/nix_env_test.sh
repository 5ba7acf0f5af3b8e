# nix-env: packages in profiles, and generations.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

env_setup() {
  cli_setup
  mkdir tools
  cp "$(command -v busybox)" tools/busybox
  cat > x.nix <<'END'
let
  busybox = "${builtins.path { path = ./tools; name = "tools"; }}/busybox";
  package = name: meta: derivation {
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    outputs = [ "out" "doc" ];
    args = [ "-c" "${busybox} mkdir -p $out/bin $doc/share; echo ${name} > $out/bin/${(builtins.parseDrvName name).name}; echo > $doc/share/${name}" ];
  } // { meta = { description = "the ${name}"; list = [ 1 "a\nb" ]; function = x: x; } // meta; };
  foo = package "foo-1.0" { };
in {
  inherit foo;
  alias = foo;
  foo2 = package "foo-2.0" { };
  bar = package "bar-0.1" { outputsToInstall = [ "out" ]; priority = 7; };
  bad = throw "bad";
  nested = { recurseForDerivations = true; baz = package "baz-3" { }; };
  hidden.gone = package "gone-1" { };
}
END
  profile=$PWD/profile
}

env_run() {
  run nix-env -f x.nix -p "$profile" "$@"
}

test_queries() {
  env_setup
  env_run -qa
  expect_status 0
  expect_out 'bar-0.1
baz-3
foo-1.0
foo-2.0'
  env_run -qaP --description 'foo.*'
  expect_out 'alias  foo-1.0  the foo-1.0
foo2   foo-2.0  the foo-2.0'
  env_run -qaP -A nested
  expect_out 'nested.baz  baz-3'
  env_run -qa --json --meta bar
  python3 -c 'import json, sys
packages = json.loads(sys.argv[1])
assert list(packages) == ["bar"]
bar = packages["bar"]
assert bar["pname"] == "bar" and bar["version"] == "0.1" and bar["outputs"] == {"doc": None, "out": None}
assert bar["meta"]["list"] == [1, "a\nb"] and bar["meta"]["function"] is None
' "$out" || fail "$out"
  env_run -qa nothing
  expect_status 1
  expect_err_has "selector 'nothing' matches no derivations"
  env_run -qa fo
  expect_err_has 'maybe you meant:'
}

test_install_and_upgrade() {
  env_setup
  env_run -i foo-1.0
  expect_status 0
  expect_err_has "installing 'foo-1.0'"
  expect_equal "$(readlink "$profile")" profile-1-link
  [ -L "$profile/bin" ] && [ -L "$profile/share" ] || fail "no links: $(ls "$profile/")"
  env_run -iA bar nested.baz
  expect_status 0
  env_run -q --out-path
  expect_out_has 'bar-0.1  /nix/store/'
  expect_out_has 'baz-3    doc=/nix/store/'
  expect_equal "$(printf '%s\n' "$out" | wc -l)" 3
  [ -L "$profile/bin/bar" ] && [ -L "$profile/share/baz-3" ] || fail "folders are not merged"
  [ ! -L "$profile/share/bar-0.1" ] || fail "an output that is not to be installed was"
  env_run -u --dry-run
  expect_err_has "upgrading 'foo-1.0' to 'foo-2.0'"
  env_run -u
  env_run -qc
  expect_out 'bar-0.1  = 0.1
baz-3    = 3
foo-2.0  = 2.0'
  env_run -i foo-1.0
  expect_err_has "replacing old 'foo-2.0'"
  env_run -e 'ba.*'
  expect_err_has "uninstalling 'bar-0.1'"
  env_run -q
  expect_out foo-1.0
  env_run -qas
  expect_out_has 'IP-  foo-1.0'
  expect_out_has '-P-  foo-2.0'
  env_run -iA foo2 -r
  env_run -q
  expect_out foo-2.0
}

# Most packages of a set cannot be evaluated somewhere: queries pass over what is not asked for, and over what throws.
test_packages_that_throw() {
  env_setup
  sed -i 's/  bad = throw/  unfree = (package "foo-9.0" { license = "unfree"; }) \/\/ { drvPath = throw "unfree"; outPath = throw "unfree"; out.outPath = throw "unfree"; };\n&/' x.nix
  env_run -qaP --description foo-9.0
  expect_status 0
  expect_out 'unfree  foo-9.0  the foo-9.0'
  env_run -qa --json --meta foo-9.0
  expect_status 0
  expect_out_has '"license": "unfree"'
  env_run -qas
  expect_status 0
  expect_out_has '---  foo-2.0'
  case $out in *foo-9.0*) fail "$out" ;; esac
  env_run -qa --json --out-path
  expect_status 0
  expect_out_has '"pname": "foo"'
  env_run -i bar
  env_run -u
  expect_status 0
  env_run -iA foo
  env_run -u
  expect_status 1
  expect_err_has 'error: unfree'
  case $err in *package.nix*) fail "$err" ;; esac
}

test_flags_of_other_operations() {
  env_setup
  env_run -qa --lt
  expect_status 1
  expect_err_has "unknown flag '--lt'"
  env_run -e -P foo
  expect_err_has "unknown flag '-P'"
  env_run -qa -A
  expect_err_has "'-A' requires an argument"
  env_run --foo -q
  expect_err_has "unknown flag '--foo'"
  env_run --delete-generations +x
  expect_err_has "invalid number of generations to keep '+x'"
}

test_conflicts_are_told() {
  env_setup
  env_run -i foo-1.0
  env_run -i -P foo-2.0
  expect_status 100
  expect_err_has 'error: Unable to build profile. There is a conflict for the following files:'
  expect_err_has '/bin/foo'
}

# The order is part of the environment's hash; C++ Nix (2.26) leaves that of std::partition.
test_uninstalling_leaves_the_order_of_cpp() {
  env_setup
  for name in foo-1.0 bar baz; do env_run -i $name; done
  env_run -e baz
  env_run -q --json
  python3 -c 'import json, sys
packages = json.loads(sys.argv[1])
assert [packages[i]["pname"] for i in sorted(packages)] == ["foo", "bar"]' "$out" || fail "$out"
}

test_flags() {
  env_setup
  env_run -i foo-1.0 bar
  env_run --set-flag active false bar
  expect_status 0
  [ ! -L "$profile/bin/bar" ] || fail "an inactive package is there"
  env_run --set-flag keep true foo
  env_run -u
  env_run -q
  expect_out 'bar-0.1
foo-1.0'
  env_run --set-flag priority 3 nothing
  expect_status 1
  expect_err_has "selector 'nothing' matches no derivations"
}

test_generations() {
  env_setup
  for version in 1.0 2.0 1.0; do env_run -i foo-$version; done
  env_run --list-generations
  expect_equal "$(printf '%s\n' "$out" | awk '{print $1 $4}')" '1
2
3(current)'
  env_run --rollback
  expect_err_has 'switching profile from version 3 to 2'
  env_run -q
  expect_out foo-2.0
  env_run -G 3
  env_run --delete-generations +2
  expect_err_has 'removing profile version 1'
  env_run -G 1
  expect_status 1
  expect_err_has 'version 1 does not exist'
  env_run --delete-generations old
  env_run --list-generations
  expect_equal "$(printf '%s\n' "$out" | wc -l)" 1
  env_run --rollback
  expect_err_has 'no profile version older than the current (3) exists'
}

test_set_and_store_paths() {
  env_setup
  env_run --set -A foo
  expect_status 0
  [ -L "$profile" ] && [ ! -e "$profile/manifest.nix" ] || fail "$(ls "$profile/")"
  path=$(nix-build x.nix -A nested.baz --no-out-link)
  run nix-env -p "$profile" -i "$path"
  expect_status 0
  run nix-env -p "$profile" --set "$path"
  expect_equal "$(readlink -f "$profile" | sed 's|.*/store/|/nix/store/|')" "$path"
  env_run --set
  expect_status 1
  run nix-env -p "$profile" -q -i
  expect_err_has 'only one operation may be specified'
  run nix-env
  expect_err_has 'no operation specified'
}

test_the_default_expression() {
  env_setup
  mkdir -p "$HOME/.nix-defexpr/channel"
  echo 'import '"$PWD"'/x.nix' > "$HOME/.nix-defexpr/channel/default.nix"
  echo '(import '"$PWD"'/x.nix).bar // { single = 1; }' > "$HOME/.nix-defexpr/single.nix"
  run nix-env -qaP 'ba.*'
  expect_out 'channel.bar         bar-0.1
single              bar-0.1
channel.nested.baz  baz-3'
  run nix-env -iA channel.foo
  expect_status 0
  [ -L "$HOME/.nix-profile/bin" ] || fail "the profile of the user has no foo"
}

test_same_environment_as_cpp() {
  env_setup
  cpp_nix nix-env -f "$PWD/x.nix" -p "$PWD/cpp-profile" -iA foo bar nested.baz > /dev/null 2>&1 || fail "C++ Nix failed"
  env_run -iA foo bar nested.baz
  expect_equal "$(basename "$(readlink "$(readlink -m profile-1-link)" || readlink -f "$profile")")" "$(basename "$(readlink cpp-profile-1-link)")"
}

run_tests
