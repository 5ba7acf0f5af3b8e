# Derivations: the same paths and the same bytes as C++ Nix writes.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

same_drvs() { # FILE ARG...: instantiates with both and compares all .drv files of the closure
  run cpp_nix nix-instantiate "$@"
  expect_status 0
  theirs=$out
  run nix-instantiate "$@"
  expect_status 0
  expect_equal "$out" "$theirs"
  for drv in "$HOME"/cpp/nix/store/*.drv; do
    firn store cat "/nix/store/${drv##*/}" > ours || fail "$drv was not written"
    cmp ours "$drv" || fail "$drv differs"
  done
}

test_many_kinds() {
  cli_setup
  mkdir -p dir/sub
  echo a > dir/a.txt
  echo x > dir/x
  ln -s a.txt dir/sub/link
  chmod +x dir/x
  cat > x.nix <<'END'
let
  mk = attrs: derivation ({ system = "x86_64-linux"; builder = "/bin/sh"; } // attrs);
  a = mk { name = "a"; args = [ "-c" "echo" 3 [ 4 null true ] 1.5 ]; src = ./dir/a.txt; n = null; outputs = [ "out" "dev" ]; t = builtins.toFile "foo" "bar ${./dir/a.txt}"; };
in {
  inherit a;
  structured = mk { name = "b"; builder = "${a.dev}/x"; x = "${a}/foo"; __structuredAttrs = true; l = { a = [ 1 2.5 a ]; "q\"" = "\n\t"; }; outputs = [ "lib" "out" ]; };
  flat = mk { name = "c"; outputHash = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="; u = a.dev; };
  recursive = mk { name = "c2"; outputHash = "0sg9f58l1jj88w6pdrfdpj5x9b1zrwszk84j81zvby36q9whhhqa"; outputHashAlgo = "sha256"; outputHashMode = "recursive"; };
  md5 = mk { name = "c3"; outputHash = "d41d8cd98f00b204e9800998ecf8427e"; outputHashAlgo = "md5"; };
  sha1 = mk { name = "c4"; outputHash = "da39a3ee5e6b4b0d3255bfef95601890afd80709"; outputHashAlgo = "sha1"; };
  sha512 = mk { name = "c5"; outputHash = "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="; outputHashAlgo = "sha512"; };
  deep = mk { name = "d"; dd = a.drvPath; };
  sources = mk { name = "e"; dir = ./dir; f = builtins.filterSource (p: t: baseNameOf p != "x") ./dir; p = builtins.path { path = ./dir; name = "pp"; recursive = true; }; q = builtins.path { path = ./dir/a.txt; recursive = false; name = "flat"; }; __ignoreNulls = true; nn = null; };
  strange = mk { name = "f"; text = "\\ \" \n \r \t \${x} ü"; list = [ "a b" [ ] [ [ "c" ] ] ]; out = "overwritten"; z = builtins.placeholder "out"; };
}
END
  same_drvs x.nix
}

test_errors_of_derivations() {
  cli_setup
  check() { # EXPRESSION MESSAGE
    run nix-instantiate --eval --show-trace -E "(derivation ({ name = \"x\"; system = \"y\"; builder = \"z\"; } // $1)).drvPath"
    expect_status 1
    expect_err_has "$2"
  }
  check '{ name = "a b"; }' "invalid derivation name: name 'a b' contains illegal character ' '. Please pass a different 'name'."
  check '{ outputs = [ "a" "a" ]; }' "duplicate derivation output 'a'"
  check '{ outputs = [ "drvPath" ]; }' "invalid derivation output name 'drvPath'"
  check '{ builder = ""; }' "required attribute 'builder' missing"
  check '{ system = ""; }' "required attribute 'system' missing"
  check '{ outputHash = "x"; outputs = [ "a" "b" ]; }' 'multiple outputs are not supported in fixed-output derivations'
  check '{ outputHash = "x"; outputHashMode = "y"; }' "invalid value 'y' for 'outputHashMode' attribute"
  check '{ x = throw "reason"; }' 'reason'
  check '{ x = { }; }' "while evaluating attribute 'x' of derivation 'x'"
  check '{ __contentAddressed = true; }' "experimental Nix feature 'ca-derivations' is disabled"
  check '{ name = "x.drv"; }' "derivation names are allowed to end in '.drv' only if they produce a single derivation file"
}

test_what_evaluation_copies() {
  cli_setup
  echo content > file
  run nix-instantiate --eval --json -E ./file
  expect_status 0
  copied=${out#\"} copied=${copied%\"}
  case $copied in /nix/store/*-file) ;; *) fail "not copied: $copied" ;; esac
  # As it is for `nix eval`.
  run firn eval --impure --json -E ./file
  expect_out "\"$PWD/file\""
  [ ! -e "$HOME/store/store/${copied##*/}" ] || fail 'evaluation alone writes nothing'
  run nix-instantiate --eval --read-write-mode -E '"${./file}"'
  expect_status 0
  expect_equal content "$(cat "$HOME/store/store/${copied##*/}")"
}

test_no_escape_sequences_in_files() {
  cli_setup
  run nix-instantiate --eval -E "throw (builtins.fromJSON ''\"\\u001b[31mred\\u001b[0m\\r\"'')"
  expect_status 1
  expect_err_has 'error: red'
  case $err in *"$(printf '\033')"*) fail 'an escape sequence' ;; esac
}

test_roots() {
  cli_setup
  echo '{ a = derivation { name = "a"; system = "x"; builder = "y"; outputs = [ "o" "p" ]; }; }' > x.nix
  run nix-instantiate x.nix -A a.p --add-root root --indirect
  expect_status 0
  expect_out "$PWD/root!p"
  run nix-store -q --roots "$(readlink root | sed 's|.*/store/|/nix/store/|')"
  expect_out_has "$PWD/root"
}

test_what_is_given() {
  cli_setup
  echo '[ 1 ]' > list.nix
  status=0
  out=$(echo 5 | nix-instantiate --eval list.nix -) || status=$?
  expect_out 5
  run nix-instantiate --eval
  expect_status 1
  expect_err_has "path '$PWD/default.nix' does not exist"
  run nix-instantiate --parse missing.nix
  expect_err_has "path '$PWD/missing.nix' does not exist"
  run nix-instantiate --eval -E
  expect_status 0
  expect_out ''
  run nix-instantiate --eval list.nix -A 0 --option max-jobs nonsense
  expect_out 1
  expect_err_has "warning: error: configuration setting 'max-jobs' should be 'auto' or an integer"
  run nix-instantiate --eval '<nope>'
  expect_err_has "file 'nope' was not found in the Nix search path"
  case $err in *"calling the 'import'"*) fail 'the trace shows an expression that nobody wrote' ;; esac
}

test_eval_jobs_fields() {
  cli_setup
  cat > x.nix <<'END'
let d = name: extra: derivation ({ inherit name; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "echo > $out" ]; } // extra); in {
  a = d "a" { requiredSystemFeatures = [ "kvm" "big-parallel" ]; dep = d "dep" { }; } // {
    meta = { x = 1; list = [ 1 "a" 1.5 true ]; set.inner = { }; f = x: x; none = null; deep = [ (x: x) ]; drv = d "m" { }; };
  };
  b = d "b" { };
  c = throw "broken";
}
END
  run firn eval-jobs x.nix --meta --apply 'd: { upper = d.name + "!"; }'
  expect_status 0
  expect_out_has '"meta":{"list":[1,"a",1.5,true],"set":{"inner":{}},"x":1}'
  expect_out_has '"requiredSystemFeatures":["big-parallel","kvm"]'
  expect_out_has '"extraValue":{"upper":"a!"}'
  expect_out_has '"meta":null,"name":"b"'
  expect_out_has 'error: broken'
  # What is named is in the store, also when the answer is an earlier one; unless nobody wants that.
  drv=$(printf '%s\n' "$out" | grep -o '"drvPath":"[^"]*-b.drv' | cut -d'"' -f4)
  nix-store --check-validity "$drv" || fail 'the derivation was not written'
  nix-store --delete "$drv" > /dev/null
  run firn eval-jobs x.nix --meta --apply 'd: { upper = d.name + "!"; }'
  nix-store --check-validity "$drv" || fail 'the derivation was not written again'
  nix-store --delete "$drv" > /dev/null
  run firn eval-jobs x.nix --no-instantiate
  expect_out_has "$drv"
  ! nix-store --check-validity "$drv" 2> /dev/null || fail 'the derivation was written'
  run firn eval-jobs x.nix --no-instantiate --check-cache-status
  expect_status 1
  expect_err_has '--no-instantiate is incompatible with: --check-cache-status'
  run firn eval-jobs x.nix --check-cache-status
  expect_out_has '"cacheStatus":"notBuilt","isCached":false,"neededBuilds":["/nix/store/'
  expect_out_has "\"neededBuilds\":[\"$drv\"],\"neededSubstitutes\":[]"
  nix-build x.nix -A b --no-out-link > /dev/null 2>&1
  run firn eval-jobs x.nix --check-cache-status
  expect_out_has '"cacheStatus":"local","isCached":true,"neededBuilds":[],"neededSubstitutes":[]'
  run firn eval-jobs x.nix --gc-roots-dir "$PWD/roots"
  [ -L "roots/$(basename "$drv")" ] || fail 'no root was made'
  run firn eval-jobs x.nix --select 's: { inherit (s) b; }' --workers 3 --max-memory-size 500 --show-input-drvs --impure
  expect_equal 1 "$(printf '%s\n' "$out" | wc -l)"
}

test_eval_jobs() {
  cli_setup
  cat > x.nix <<'END'
let d = name: derivation { inherit name; system = "x86_64-linux"; builder = "/bin/sh"; } // { meta.x = 1; }; in
{ b = d "b"; a = { recurseForDerivations = true; c = d "c"; "d.e" = throw "broken"; }; skipped = { x = d "x"; }; n = 1; }
END
  run firn eval-jobs x.nix --meta
  expect_status 0
  expect_equal "$(printf '%s\n' "$out" | wc -l)" 3
  expect_out_has '"attr":"b","attrPath":["b"]'
  expect_out_has '"attr":"a.c","attrPath":["a","c"]'
  expect_out_has '"attr":"a.\"d.e\"","attrPath":["a","d.e"],"error":"error:'
  expect_out_has '"meta":{"x":1}'
  run firn eval-jobs x.nix --force-recurse
  expect_out_has '"attr":"skipped.x"'
}

test_eval_jobs_constituents() {
  cli_setup
  cat > x.nix <<'END'
let
  d = name: extra: derivation ({ inherit name; system = "x86_64-linux"; builder = "/bin/sh"; } // extra);
  all = name: constituents: d name { _hydraAggregate = true; inherit constituents; };
  globs = name: constituents: d name { _hydraAggregate = true; _hydraGlobConstituents = true; inherit constituents; };
  a = d "a" { }; b = d "b" { outputs = [ "dev" "out" ]; };
  tests = { recurseForDerivations = true; inherit a b; broken = throw "broken"; };
in {
  fine = { inherit a b; direct = all "direct" [ a b.dev ]; named = all "named" [ "a" "b" a ]; above = all "above" [ "named" ];
    none = all "none" [ ]; no = d "no" { _hydraAggregate = false; }; };
  glob = { inherit tests; some = globs "some" [ "tests.[ab]" ]; nothing = globs "nothing" [ "x*" ]; all = globs "all" [ "*" ]; };
  bad = { inherit a; b = throw "broken"; x = all "x" [ "a" "b" "c" ]; y = d "y" { _hydraAggregate = true; }; };
  circle = { p = all "p" [ "q" ]; q = all "q" [ "p" ]; r = all "r" [ "p" ]; };
}
END
  run firn eval-jobs x.nix -A fine
  plain=$(printf '%s\n' "$out" | grep '"attr":"named"' | grep -o '"drvPath":"[^"]*' | cut -d'"' -f4)
  run firn eval-jobs x.nix --select 's: s.fine' --constituents --gc-roots-dir "$PWD/roots"
  expect_status 0
  a=$(printf '%s\n' "$out" | grep '"attr":"a"' | grep -o '"drvPath":"[^"]*' | cut -d'"' -f4)
  b=$(printf '%s\n' "$out" | grep '"attr":"b"' | grep -o '"drvPath":"[^"]*' | cut -d'"' -f4)
  named=$(printf '%s\n' "$out" | grep '"attr":"named"' | grep -o '"drvPath":"[^"]*' | cut -d'"' -f4)
  above=$(printf '%s\n' "$out" | grep '"attr":"above"' | grep -o '"drvPath":"[^"]*' | cut -d'"' -f4)
  expect_equal 7 "$(printf '%s\n' "$out" | wc -l)"
  expect_out_has '"attr":"none","attrPath":["none"],"constituents":[],"namedConstituents":[],'
  expect_out_has "\"constituents\":[\"$a\",\"$a\",\"$b\"],\"drvPath\":\"$named\""
  expect_out_has "\"constituents\":[\"$named\"],\"drvPath\":\"$above\""
  [ "$named" != "$plain" ] || fail 'the derivation of the aggregate is what it was'
  # What is written is what a derivation with these inputs is, and can be rooted.
  [ -L "roots/${named##*/}" ] || fail 'no root was made'
  run nix-store -q --references "$named"
  expect_out_has "$a"
  expect_out_has "$b"
  run nix derivation show "$named" --extra-experimental-features nix-command
  printf '%s\n' "$out" | grep -q '"dev"' || fail 'the first output of b is no input'
  run nix-store -q --references "$above"
  expect_out_has "$named"
  run firn eval-jobs x.nix --select 's: s.glob' --constituents
  expect_status 0
  expect_out_has '"error":"x*: constituent glob pattern had no matches\n"'
  expect_out_has '"error":"tests.broken: error:'
  expect_err_has "aggregate job 'all' references broken job 'tests.broken'"
  run firn eval-jobs x.nix --select 's: s.bad' --constituents
  expect_out_has 'c: does not exist\n"'
  expect_out_has 'b: error:'
  expect_out_has "derivation must have a 'constituents' attribute"
  run firn eval-jobs x.nix --select 's: s.circle' --constituents
  expect_out_has '"error":"Dependency cycle: p <-> q","namedConstituents":["q"]'
  expect_out_has '"error":"Skipping aggregate because of a dependency cycle","namedConstituents":["p"]'
  run firn eval-jobs x.nix --constituents --no-instantiate
  expect_err_has '--no-instantiate is incompatible with: --constituents'
  run firn eval-jobs --flake .#x
  expect_status 1
  expect_err_has "'--flake': there are no flakes"
}

# A process that is too large begins with a new evaluator, which finds the sets again.
test_eval_jobs_within_a_memory_limit() {
  cli_setup
  cat > many.nix <<'EOF'
{ size ? 60 }:
let
  numbers = builtins.genList (i: i) size;
  job = name: i: derivation {
    inherit name;
    system = "x86_64-linux"; builder = "/bin/sh";
    n = builtins.foldl' (a: b: a + builtins.stringLength b) i (map (k: toString (k * i)) (builtins.genList (k: k) 30000));
  };
  jobs = prefix: f: builtins.listToAttrs (map (i: { name = "${prefix}${toString i}"; value = f i; }) numbers);
in builtins.trace "begun" (jobs "top" (job "top") // {
  nested = { recurseForDerivations = true; "dotted.set" = { recurseForDerivations = true; } // jobs "deep" (job "deep"); }
    // jobs "in" (i: if i == 7 then throw "seven" else job "in" i);
  call = { size ? 3 }: jobs "called" (job "called") // { recurseForDerivations = true; };
})
EOF
  run firn eval-jobs many.nix --no-instantiate --no-eval-cache
  expect_status 0
  expect_out_has '"attr":"nested.\"dotted.set\".deep59"'
  unlimited=$out
  expect_equal "$(printf '%s\n' "$out" | wc -l)" 240
  expect_equal "$(printf '%s\n' "$err" | grep -c begun)" 1
  run firn eval-jobs many.nix --no-instantiate --no-eval-cache --max-memory-size 1
  expect_status 0
  [ "$out" = "$unlimited" ] || fail 'a small limit changes what is printed'
  [ "$(printf '%s\n' "$err" | grep -c begun)" -gt 2 ] || fail 'the evaluator was not begun anew'
  run firn eval-jobs many.nix --no-instantiate --max-memory-size some
  expect_status 1
  expect_err_has "'--max-memory-size some': a number of MiB is expected"
}

# A link in a source that was only named is seen from the source's place in the store.
test_links_of_named_sources() {
  cli_setup
  mkdir d
  echo outside > a
  ln -s a link
  ln -s ../a d/out
  echo inside > d/b
  ln -s b d/in
  run nix-instantiate --eval -E 'builtins.readFile "${./link}"'
  expect_status 1
  expect_err_has '/nix/store/a'
  run nix-instantiate --eval -E 'builtins.readFile "${./d}/in"'
  expect_out '"inside\n"'
  run nix-instantiate --eval -E 'builtins.readFile "${./d}/out"'
  expect_status 1
  expect_err_has '/nix/store/a'
}

# The hash part is that of a path that is there.
test_other_name_of_a_path() {
  cli_setup
  drv='(derivation { name = "n"; system = "s"; builder = "b"; }).drvPath'
  run nix-instantiate -E 'derivation { name = "n"; system = "s"; builder = "b"; }'
  run nix-instantiate --eval -E "builtins.pathExists ($drv + \"1\")"
  expect_out false
}

# Contexts name what is valid, where values are not all that is asked for.
test_context_of_absent_paths() {
  cli_setup
  text='builtins.appendContext "a" { "/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-x" = { path = true; }; }'
  run nix-instantiate --eval -E "$text"
  expect_out '"a"'
  run nix-instantiate --eval --read-write-mode --option substituters '' -E "$text"
  expect_status 1
  expect_err_has "path '/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-x' does not exist and cannot be created"
}

# The names whose derivations are compared when FIRN_NIXPKGS names a tree of nixpkgs.
if [ -n "${FIRN_NIXPKGS-}" ]; then
  test_nixpkgs() {
    cli_setup
    for name in hello stdenv coreutils gcc python3 git firefox; do
      run cpp_nix nix-instantiate "$FIRN_NIXPKGS" -A $name
      expect_status 0
      theirs=$out
      run nix-instantiate "$FIRN_NIXPKGS" -A $name
      expect_status 0
      expect_equal "$out" "$theirs"
    done
    for drv in "$HOME"/cpp/nix/store/*.drv; do
      firn store cat "/nix/store/${drv##*/}" > ours || fail "$drv was not written"
      cmp -s ours "$drv" || fail "$drv differs"
    done
  }
fi

run_tests
