# firn explain: what would be built, and why.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

explain_setup() {
  cli_setup
  echo one > src.txt
  cat > default.nix <<'END'
{ version ? "1.0", flag ? "-O2", extra ? false }:
let sh = name: attrs: derivation ({ inherit name; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo $name > $out" ]; } // attrs);
in rec {
  base = sh "base-${version}" { src = ./src.txt; flags = "-g ${flag} -Wall"; };
  middle = sh "middle-1.6" { inherit base; };
  other = sh "other-3" { };
  top = sh "top-2.10" ({ inputs = [ middle base other ]; script = "one\ntwo\nthree"; } // (if extra then { script = "one\n2\nthree"; new = "x"; } else { }));
}
END
}

test_nothing_and_everything() {
  explain_setup
  run firn explain -A top
  expect_status 0
  expect_out_has '4 derivations will be built.'
  expect_out_has 'were not built here before'
  [ ! -e "$HOME/store/var/firn/history/top" ] || fail "explaining built something"
  firn build -A top --no-out-link
  run firn explain -A top
  expect_out 'Everything is there: nothing will be built.'
}

test_a_changed_source() {
  explain_setup
  firn build -A top --no-out-link
  echo two > src.txt
  run firn explain -A top
  expect_status 0
  expect_out_has '3 derivations will be built: '
  expect_out_has 'Root cause:
  base-1.0 has changed: a cause of 3 of 3 builds
    source src.txt has changed'
  expect_out_has 'inputs: base-1.0, middle-1.6'
  case $out in *other-3*) fail "what is there is mentioned: $out" ;; esac
}

test_changed_fields() {
  explain_setup
  firn build -A top --no-out-link
  run firn explain -A top --argstr flag -O3
  expect_out_has '  base-1.0 has changed: a cause of 3 of 3 builds
    attribute flags
      - -O2
      + -O3'
  # Another version is a change of that package, and none of those who use it.
  run firn explain -A top --argstr version 2.0
  expect_out_has 'Root cause:
  base-2.0 has changed: a cause of 3 of 3 builds
    name
      - base-1.0
      + base-2.0'
  run firn explain -A top --arg extra true
  expect_out_has 'Root cause:
  top-2.10 has changed
    attribute new is new
      + x
    attribute script
      - two
      + 2'
}

test_a_change_that_is_built_already() {
  explain_setup
  firn build -A top --no-out-link
  firn build -A middle --argstr flag -O3 --no-out-link
  run firn explain -A top --argstr flag -O3
  expect_out_has '1 derivation will be built'
  expect_out_has '  base-1.0 has changed (and is in the store)
    attribute flags'
}

test_deleted_outputs() {
  explain_setup
  firn build -A top --no-out-link
  firn store gc > /dev/null
  run firn explain -A top
  expect_out_has 'were built already, but not in the store any more'
}

test_json() {
  explain_setup
  firn build -A top --no-out-link
  run firn explain -A top --json --argstr flag -O3
  python3 -c 'import json, sys
explanation = json.loads(sys.argv[1])
assert [node["name"] for node in explanation["build"]] == ["base-1.0", "middle-1.6", "top-2.10"], explanation
assert [node["reason"] for node in explanation["build"]] == ["changed", "inputs", "inputs"]
root, = explanation["rootCauses"]
assert root["rebuilds"] == 3 and root["previous"].endswith("-base-1.0.drv")
change, = root["changes"]
assert change == {"kind": "field", "field": "attribute flags", "before": "-g -O2 -Wall", "after": "-g -O3 -Wall", "derived": False}
assert root["drvPath"] in explanation["build"][1]["causes"]
' "$out" || fail "$out"
}

run_tests
