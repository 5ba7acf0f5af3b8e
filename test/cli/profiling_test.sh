# --profile and what else says where evaluation spends its time.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

busy_file() { # a function, an option and a derivation that cost something
  cat > busy.nix <<'EOF'
let
  slow = n: builtins.foldl' (a: b: a + b) 0 (builtins.genList (x: x * x) n);
  again = k: if k == 0 then 0 else slow 20000 + again (k - 1);
in
derivation {
  name = "busy-1.0";
  system = builtins.currentSystem;
  builder = "/bin/sh";
  cost = builtins.addErrorContext "while evaluating the option `services.busy':" (toString (again 40));
}
EOF
}

test_speedscope() {
  cli_setup
  busy_file
  run firn eval -f busy.nix -A drvPath --profile out.json
  expect_status 0
  run firn eval --json --strict -E '
    let p = builtins.fromJSON (builtins.readFile ./out.json); frames = map (f: f.name) p.shared.frames; names = map (x: x.name) p.profiles;
        sum = builtins.foldl'"'"' (a: b: a + b) 0;
        all = builtins.head p.profiles;
    in { inherit names;
         frames = builtins.all (n: builtins.elem n frames) [ "again" "derivation busy-1.0" "option services.busy" ];
         sums = builtins.all (x: sum x.weights == x.endValue && builtins.length x.weights == builtins.length x.samples) p.profiles;
         indexes = builtins.all (s: builtins.all (i: i < builtins.length frames) s) all.samples; }'
  expect_out '{"frames":true,"indexes":true,"names":["everything","packages","options","files"],"sums":true}'
}

test_folded_and_summary() {
  cli_setup
  busy_file
  run firn instantiate -f busy.nix --profile out.folded --profile-summary
  expect_status 0
  expect_err_has 'busy-1.0'
  expect_err_has 'services.busy'
  expect_err_has "again $PWD/busy.nix:3:11"
  run grep -c "derivation busy-1.0;.*option services.busy;.*again $PWD/busy.nix:3:11.* [0-9][0-9]*\$" out.folded
  expect_status 0
  # The answer would not be evaluated again, but a profile is asked for.
  run firn eval -f busy.nix -A drvPath
  run firn eval -f busy.nix -A drvPath --eval-profile again.folded --explain-cache
  expect_err_has 'evaluation is profiled'
  [ -s again.folded ] || fail 'no profile'
}

test_names_of_the_options() {
  cli_setup
  busy_file
  run firn build --dry-run -f busy.nix --eval-profile build.folded
  [ -s build.folded ] || fail 'firn build wrote no profile'
  run nix-instantiate --eval busy.nix -A name --profile classic.folded
  expect_out '"busy-1.0"'
  [ -e classic.folded ] || fail 'nix-instantiate wrote no profile'
  run firn eval-jobs -f busy.nix --profile jobs.folded
  expect_out_has '"drvPath"'
  [ -s jobs.folded ] || fail 'firn eval-jobs wrote no profile'
}

test_as_nix_names_them() {
  cli_setup
  busy_file
  run nix eval -f busy.nix drvPath --eval-profiler flamegraph --eval-profile-file flame --eval-profiler-frequency 5000
  expect_status 0
  grep -q 'derivation busy-1.0;' flame || fail 'no stack in the file'
  run firn eval -f busy.nix -A drvPath --option eval-profiler flamegraph
  [ -s nix.profile ] || fail 'no nix.profile'
  run firn eval -E 1 --option eval-profiler gprof
  expect_status 1
  expect_err_has "option 'eval-profiler' has an unrecognised value 'gprof'"
}

run_tests
