# firn cache, and that caches change no answer.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

# Files that are old enough to be remembered.
write_tree() {
  mkdir tree
  echo '{ a = import ./a.nix; s = "text ${toString ./a.nix}"; }' > tree/default.nix
  echo 'let f = n: if n == 0 then [ ] else [ n ] ++ f (n - 1); in f 3' > tree/a.nix
  sleep 2.1
}

units() {
  firn cache --json | sed 's/^{"units":[^}]*"entries":\([0-9]*\).*/\1/'
}

test_show_and_clear() {
  cli_setup
  write_tree
  run firn cache
  expect_status 0
  expect_out_has 'compiled files: 0,'
  firn eval --no-eval-cache -f tree -A a --strict > /dev/null
  expect_equal "$(units)" 2
  run firn cache --clear
  expect_status 0
  expect_equal "$(units)" 0
  run firn cache extra
  expect_status 1
  expect_err_has "'firn cache' takes no arguments"
}

test_code_cache_can_be_switched_off() {
  cli_setup
  write_tree
  for off in 'FIRN_NO_CODE_CACHE=1 firn' 'firn --option code-cache false'; do
    run bash -c "${off/firn/firn eval} -f tree --strict --no-eval-cache"
    expect_status 0
    without=$out
    expect_equal "$(units)" 0
  done
  for round in fill use; do
    run firn eval -f tree --strict --no-eval-cache
    expect_out "$without"
    expect_equal "$(units)" 2
  done
}

# Files that the last run loaded are compiled by another thread where no compiled ones are kept; what it finds is used only for that very file.
test_files_of_the_last_run() {
  cli_setup
  write_tree
  for i in 1 2 3 4 5 6 7 8 9; do echo "import ./f$((i + 1)).nix + $i" > f$i.nix; done
  echo 0 > f10.nix
  sleep 2.1
  export FIRN_NO_CODE_CACHE=1
  for round in 1 2 3; do
    run firn eval -f f1.nix --no-eval-cache
    expect_out 45
  done
  run firn cache --json
  expect_out_has '"files":{"path":'
  expect_out_has '"entries":1,'
  echo 1 > f10.nix
  run firn eval -f f1.nix --no-eval-cache
  expect_out 46
  sleep 2.1
  run firn eval -f f1.nix --no-eval-cache
  expect_out 46
  printf 2 1<> f10.nix
  run firn eval -f f1.nix --no-eval-cache
  expect_out 47
  echo 'builtins.trace "loaded" (import ./f9.nix +' > f8.nix
  run firn eval -f f1.nix --no-eval-cache
  expect_status 1
  expect_err_has 'f8.nix'
  sleep 2.1
  run firn eval -f f1.nix --no-eval-cache
  expect_status 1
  expect_err_has 'syntax error'
  rm f8.nix
  run firn eval -f f1.nix --no-eval-cache
  expect_status 1
  mkfifo f8.nix
  for list in .cache/firn/files/* "${XDG_CACHE_HOME:-/none}"/firn/files/*; do
    if [ -f "$list" ]; then printf '/dev/zero\n/proc/self/mem\n%s\n\n' "$PWD/f8.nix" > "$list"; fi
  done
  rm f8.nix
  echo 'import ./f9.nix + 8' > f8.nix
  run firn eval -f f1.nix --no-eval-cache
  expect_out 47
  run firn cache --clear --json
  expect_out_has '"files":{"path":'
}

test_counters() {
  cli_setup
  write_tree
  run firn eval --eval-stats -f tree --strict
  expect_status 0
  for name in cpuTime nrFunctionCalls nrPrimOpCalls nrThunks nrLookups unitCacheHits heapPeakBytes; do
    expect_err_has "\"$name\": "
  done
  expect_err_has '"unitCacheMisses": 2'
  expect_err_has '"nrFunctionCalls": 4'
  NIX_SHOW_STATS=1 NIX_SHOW_STATS_PATH=stats run firn eval -f tree --strict
  expect_equal "$err" ''
  grep -q '"unitCacheHits": 2' stats || fail "no counters in the file: $(cat stats)"
  NIX_SHOW_STATS=0 run firn eval -f tree --strict
  expect_equal "$err" ''
}

test_counters_by_place() {
  cli_setup
  cat > counted.nix <<'EOF'
let
  f = x: x.a + 1;
  s = { a = builtins.length [ 1 2 ]; };
in
f s + f s + builtins.foldl' (a: b: a + b) 0 [ 1 2 3 ] + builtins.stringLength (toString 12)
EOF
  run firn eval -f counted.nix
  expected=$out
  NIX_COUNT_CALLS=1 NIX_SHOW_STATS=1 NIX_SHOW_STATS_PATH=stats run firn eval -f counted.nix
  expect_out "$expected"
  run firn eval --json -E '
    let s = builtins.fromJSON (builtins.readFile ./stats); f = builtins.head (builtins.filter (x: x.name == "f") s.functions);
    in { inherit (s) primops nrLookups nrFunctionCalls; f = [ f.count f.line f.column ]; a = map (x: [ x.count x.line ]) s.attributes; }'
  expect_out '{"a":[[2,2],[1,3],[1,5],[1,5]],"f":[2,2,7],"nrFunctionCalls":5,"nrLookups":5,"primops":{"foldl'"'"'":1,"length":1,"stringLength":1,"toString":1}}'
}

test_trace_of_io() {
  cli_setup
  write_tree
  run firn eval --trace-eval-io -f tree -A a
  expect_status 0
  plain=$out
  expect_err_has "lstat $PWD/tree/a.nix: regular"
  expect_err_has "read_file $PWD/tree/a.nix: done"
  run firn eval -f tree -A a
  expect_out "$plain"
  expect_equal "$err" ''
}

run_tests_at_once
