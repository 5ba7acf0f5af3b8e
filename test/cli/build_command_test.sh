# Builds, from the command line and from evaluation.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

test_build_and_links() {
  cli_setup
  cat > x.nix <<END
let $sh_nix in {
  one = sh "one" "echo text > \$out";
  two = derivation { name = "two"; system = builtins.currentSystem; builder = "/bin/sh"; PATH = "/bin"; outputs = [ "out" "doc" ];
    args = [ "-c" "mkdir \$out \$doc; echo \$doc > \$out/doc" ]; };
}
END
  run firn build -f x.nix -A one
  expect_status 0
  expect_equal "$out" "$(readlink result | sed 's|.*/store/|/nix/store/|')"
  expect_equal "$(cat "$(readlink -f result)")" text
  run nix-build x.nix -A two.doc -A two -A one -o link
  expect_status 0
  expect_equal "$(printf '%s\n' "$out" | wc -l)" 3
  [ -L link-doc ] && [ -L link ] && [ -L link-2 ] || fail "links: $(ls)"
  run firn store cat link/doc
  expect_out_has -two-doc
  rm -f result*
  run nix build --no-link --print-out-paths -f x.nix one
  expect_out_has -one
  [ ! -e result ] || fail "a link was made"
  run nix-build x.nix -A one --dry-run
  expect_status 0
}

test_installables() {
  cli_setup
  cat > x.nix <<END
let $sh_nix in rec {
  two = derivation { name = "two"; system = builtins.currentSystem; builder = "/bin/sh"; PATH = "/bin"; outputs = [ "out" "doc" ];
    args = [ "-c" "mkdir \$out \$doc; echo \$doc > \$out/doc" ]; };
  doc = two.doc.outPath; file = ./x.nix; text = builtins.toFile "text" "hi"; drv = builtins.unsafeDiscardOutputDependency two.drvPath;
  both = "\${two}\${two.doc}"; deep = two.drvPath; part = "\${two}/doc"; bad = sh "bad" "exit 1"; worse = sh "worse" "exit 1";
}
END
  # Strings and paths that stand for one store path.
  run nix build --no-link --json -f x.nix doc
  expect_status 0
  expect_out_has '"outputs":{"doc":"/nix/store/'
  run nix build --no-link --print-out-paths -f x.nix file text
  expect_out_has -x.nix
  expect_out_has -text
  run nix build --no-link --json -f x.nix drv
  expect_out_has 'two.drv"]'
  drv=$(printf '%s' "$out" | tr -d '["]')
  run nix build --no-link -f x.nix both
  expect_status 1
  expect_err_has 'has 2 entries in its context. It should only have exactly one entry'
  run nix build --no-link -f x.nix deep
  expect_err_has 'refers to a complete source and binary closure'
  run nix build --no-link -f x.nix part
  expect_err_has 'has context with the output '
  # Operands from standard input, links, outputs.
  echo "$drv^doc" > operands
  status=0; out=$(nix build --no-link --stdin --print-out-paths < operands) || status=$?
  expect_status 0
  expect_out_has -two-doc
  run nix build --no-link "$drv^"
  expect_status 1
  run nix build --no-link "$drv^none"
  expect_err_has "does not have wanted outputs 'none'"
  nix build -f x.nix two -o link
  run nix build --no-link --print-out-paths ./link
  expect_out_has -two
  # What is not built is named; the exit code of \`nix\` says only that.
  run nix build --keep-going --no-link -f x.nix bad worse
  expect_status 1
  expect_err_has "-bad.drv^out'"
  run nix-build --keep-going --no-out-link x.nix -A bad -A worse -A two
  expect_status 100
  expect_out ''
  run nix build --dry-run --json -f x.nix bad
  expect_out_has '-bad"'
}

test_a_failing_build() {
  cli_setup
  cat > x.nix <<END
let $sh_nix bad = sh "bad" "echo first; echo second >&2; exit 3"; in {
  inherit bad; user = sh "user" "cat \${bad}"; read = builtins.readFile bad; good = sh "good" "echo ok > \$out";
}
END
  run nix-build --no-out-link x.nix -A user
  expect_status 100
  expect_err_has "building '/nix/store/"
  expect_err_has "failed with exit code 3"
  run firn build --no-out-link -f x.nix -A bad
  expect_status 100
  expect_err_has '> second'
  run firn eval -f x.nix -A read
  expect_status 100
  expect_err_has 'failed with exit code 3'
  expect_err_has '> first'
  expect_err_has 'x.nix:'
  run firn build -k --no-out-link -f x.nix -A bad -A good
  expect_status 100
  expect_out_has -good
  run firn eval -E 'builtins.tryEval (builtins.readFile (import ./x.nix).bad)'
  expect_status 100
}

test_repeated_builds() {
  cli_setup
  cat > x.nix <<END
let $sh_nix in { same = sh "same" "echo x > \$out"; random = sh "random" "cat /proc/sys/kernel/random/uuid > \$out"; }
END
  run nix-build --no-out-link x.nix -A same --repeat 2
  expect_status 0
  expect_equal "$(printf '%s\n' "$err" | grep -cE "^(building|checking outputs of) '")" 3
  run nix-build --no-out-link x.nix -A random --repeat 1
  expect_status 104
  expect_err_has "may not be deterministic"
}

# Without a sandbox builders write to the store directory itself, which must be where they are told that it is.
test_without_a_sandbox() {
  cli_setup
  unset NIX_REMOTE
  mkdir -p "$HOME/own"
  export NIX_STORE_DIR="$HOME/own/store"
  cat > x.nix <<END
{ two = derivation { name = "two"; system = builtins.currentSystem; builder = "/bin/sh"; PATH = "/bin:/usr/bin"; outputs = [ "out" "doc" ];
    args = [ "-c" "mkdir \$out \$doc; echo \$doc > \$out/doc; echo \$doc > \$doc/self" ]; };
  random = derivation { name = "random"; system = builtins.currentSystem; builder = "/bin/sh"; PATH = "/bin:/usr/bin";
    args = [ "-c" "cat /proc/sys/kernel/random/uuid > \$out" ]; }; }
END
  run nix-build --no-sandbox --no-out-link x.nix -A two -A two.doc
  expect_status 0
  paths=$out
  hash=$(nix-store -q --hash $paths)
  # The builder cannot write to what is there: it is told another path, and what it wrote is renamed.
  run nix-build --no-sandbox --no-out-link x.nix -A two --check
  expect_status 0
  nix-store --delete --ignore-liveness "$(printf '%s\n' "$paths" | head -1)" > /dev/null 2>&1
  run nix-build --no-sandbox --no-out-link x.nix -A two -A two.doc
  expect_status 0
  expect_equal "$(nix-store -q --hash $out)" "$hash"
  expect_equal "$(cat "$(printf '%s\n' "$paths" | head -1)/doc")" "$(printf '%s\n' "$paths" | tail -1)"
  run nix-build --no-sandbox --no-out-link x.nix -A random
  run nix-build --no-sandbox --no-out-link x.nix -A random --check
  expect_status 104
}

test_a_wrong_fixed_output() {
  cli_setup
  cat > x.nix <<END
derivation { name = "fixed"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo other > \$out" ];
  outputHashAlgo = "sha256"; outputHash = "0000000000000000000000000000000000000000000000000000000000000000"; }
END
  run nix-build --no-out-link x.nix
  expect_status 102
  expect_err_has 'hash mismatch in fixed-output derivation'
}

test_reading_what_is_not_built() {
  cli_setup
  cat > x.nix <<END
let $sh_nix
  d = sh "d" "mkdir \$out; echo '{ x = 5; }' > \$out/default.nix; ln -s default.nix \$out/l; ln -s \${e} \$out/e";
  e = sh "e" "mkdir \$out; echo hello > \$out/f; ln -s f \$out/g";
in { drv = d; read = {
  imported = import d;
  link = import (d + "/l");
  across = builtins.readFile (d + "/e/g");
  dir = builtins.readDir d;
  without_context = builtins.readDir (builtins.unsafeDiscardStringContext (d + "/e"));
  exists = [ (builtins.pathExists (e + "/f")) (builtins.pathExists (e + "/nope")) ];
  hash = builtins.hashFile "md5" (e + "/g");
  copied = builtins.path { path = e; name = "copied"; };
  filtered = builtins.path { path = e; name = "copied"; filter = p: t: t == "regular"; };
  nowhere = builtins.pathExists "/nix/store/00000000000000000000000000000000-foo";
}; }
END
  run firn eval -E 'builtins.readFileType ((import ./x.nix).drv + "/l")'
  expect_out '"symlink"'
  run firn eval -f x.nix -A read --json
  expect_status 0
  ours=$out
  run cpp_nix nix-instantiate --eval --strict --json --read-write-mode x.nix -A read
  expect_status 0
  expect_equal "$ours" "$out"
}

test_import_from_derivation_can_be_forbidden() {
  cli_setup
  run firn eval --option allow-import-from-derivation false -E "let $sh_nix in import (sh \"x\" \"echo 1 > \\\$out\")"
  expect_status 1
  expect_err_has "during evaluation because the option 'allow-import-from-derivation' is disabled"
}

test_builds_overlap() {
  cli_setup
  examples=$FIRN_TEST_SOURCE_DIR/../examples/concurrency
  expect_within_ms 4000 firn eval -f "$examples/sleepers.nix" --strict -j 8 --arg n 8
  expect_out '[ 0 1 2 3 4 5 6 7 ]'
  expect_within_ms 8000 firn eval -f "$examples/tree.nix" -j 8 --arg depth 3
  expect_out 8
  expect_within_ms 1000 firn eval -f "$examples/tree.nix" -j 8 --arg depth 3
  # One at a time, it takes as long as the builds together.
  start=$(date +%s%N)
  run firn eval -f "$examples/sleepers.nix" --strict -j 1 --arg n 3 --argstr salt single
  [ $(((($(date +%s%N) - start)) / 1000000)) -ge 3000 ] || fail "-j 1 ran several builds at once"
}

test_the_first_error_in_program_order_is_reported() {
  cli_setup
  cat > x.nix <<END
let $sh_nix slow = sh "slow" "sleep 1; echo oops >&2; exit 7"; fast = sh "fast" "exit 8"; in
  [ (import slow) (import fast) (throw "third") ]
END
  run firn eval -f x.nix --strict -j 4
  expect_status 100
  expect_err_has "exit code 7"
}

test_interrupts_leave_nothing_running() {
  cli_setup
  mark=97$$
  cat > x.nix <<END
let $sh_nix in builtins.genList (i: import (sh "i\${toString i}" "sleep $mark; echo 1 > \$out")) 3
END
  # Jobs in the background ignore interrupts unless the program asks for them, as ours does.
  firn eval -f x.nix --strict -j 3 2> err &
  pid=$!
  for _ in $(seq 100); do
    [ "$(pgrep -cf "sleep $mark")" -lt 3 ] || break
    sleep 0.1
  done
  [ "$(pgrep -cf "sleep $mark")" -ge 3 ] || fail "the builds did not start: $(cat err)"
  kill -INT "$pid"
  status=0
  wait "$pid" || status=$?
  expect_equal "$status" 130
  expect_equal "$(pgrep -cf "sleep $mark" || true)" 0
  case $(cat err) in *'interrupted by the user'*) ;; *) fail "no message: $(cat err)" ;; esac
  run firn store check
  expect_status 0
}

test_internal_json() {
  cli_setup
  echo "let $sh_nix in sh \"j\" \"echo line; echo > \\\$out\"" > x.nix
  run nix-build --no-out-link -v --log-format internal-json x.nix
  expect_status 0
  printf '%s\n' "$err" | python3 -c '
import json, sys
seen = {}
for line in sys.stdin:
    assert line.startswith("@nix "), line
    message = json.loads(line[5:])
    seen.setdefault(message["action"], []).append(message)
start = [m for m in seen["start"] if m["type"] == 105]
assert len(start) == 1 and len(start[0]["fields"]) == 4 and start[0]["fields"][0].endswith("-j.drv"), start
assert any(m["type"] == 101 and m["fields"] == ["line"] and m["id"] == start[0]["id"] for m in seen["result"]), seen
assert any(m["id"] == start[0]["id"] for m in seen["stop"]), seen
' || fail "$err"
}

test_the_example_program() {
  cli_setup
  [ -e /usr/bin/tcc ] && ls /usr/lib/*-linux-musl/libc.a > /dev/null 2>&1 || skip "tcc and musl-dev are not installed"
  program=$FIRN_TEST_SOURCE_DIR/../examples/program
  run firn build --no-out-link -f "$program"
  expect_status 0
  ours=$out
  run firn eval --raw -f "$program" -A summary
  expect_out_has cbf43926
  run firn store path-info --json "$ours"
  our_hash=$(printf '%s' "$out" | sed 's/.*"narHash":"\([^"]*\)".*/\1/')
  run cpp_nix nix-build --no-out-link "$program"
  expect_status 0
  expect_equal "$ours" "$out"
  their_hash=$(cpp_nix nix-store -q --hash "$ours")
  expect_equal "$(nix-hash --type sha256 --to-sri "${their_hash#sha256:}")" "$our_hash"
}

test_as_an_unprivileged_user() {
  cli_setup
  cat > x.nix <<END
let $sh_nix in { a = sh "a" "id -u > \$out"; b = builtins.readFile (sh "b" "echo built > \$out"); }
END
  unset NIX_REMOTE
  run as_user firn eval -f "$PWD/x.nix" -A b
  expect_status 0
  expect_out '"built\n"'
  run as_user firn build --no-out-link -f "$PWD/x.nix" -A a
  expect_status 0
  run as_user firn store check
  expect_status 0
}

run_tests
