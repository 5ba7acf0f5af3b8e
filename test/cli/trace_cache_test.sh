# Answers of earlier evaluations: given again while nothing has changed, and never otherwise.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

# The files of a test are old enough to be known by their status alone.
age() {
  sleep 2.1
}

ask() { # ARG...: one evaluation; $out, $err, and $verdict: what the cache had to say
  run firn eval --explain-cache "$@"
  verdict=$(printf '%s\n' "$err" | grep '^evaluation cache: ' | head -n 1)
}

expect_hit() { # ANSWER ARG...
  local want=$1
  shift
  ask "$@"
  case $verdict in *': hit: '*) ;; *) show_run; fail "not answered from the cache" ;; esac
  expect_out "$want"
  # The same as without.
  local cached=$out
  run firn eval --no-eval-cache "$@"
  expect_out "$cached"
}

expect_miss() { # ANSWER REASON ARG...
  local want=$1 reason=$2
  shift 2
  ask "$@"
  case $verdict in *': miss: '*"$reason"*) ;; *) show_run; fail "no miss because of: $reason" ;; esac
  expect_out "$want"
}

expect_unrecorded() { # REASON ARG...: asked twice, evaluated twice
  local reason=$1
  shift
  ask "$@"
  ask "$@"
  case $err in *'not recorded: '*"$reason"*) ;; *) show_run; fail "recorded in spite of: $reason" ;; esac
}

test_hit_and_switches() {
  cli_setup
  echo '{ x ? 1 }: { a = x + import ./b.nix; }' > a.nix
  echo 41 > b.nix
  age
  expect_miss 42 'no earlier evaluation' -f a.nix -A a
  expect_hit 42 -f a.nix -A a
  expect_hit 42 -f "$PWD/a.nix" -A a
  expect_miss 43 'no earlier' -f a.nix -A a --arg x 2
  expect_hit 43 -f a.nix -A a --arg x 2
  expect_miss 42 'no earlier' -f a.nix -A a --json
  expect_miss 42 'no earlier' -f a.nix -A a --system x86_64-other
  ask -f a.nix -A a --option eval-cache false
  expect_out 42
  expect_err_has 'not used: it is switched off'
  run firn cache --json
  expect_out_has '"traces":{"path":'
  run firn cache --clear
  expect_miss 42 'no earlier' -f a.nix -A a
}

test_fresh_file_changed_in_place() {
  cli_setup
  # Same length, same inode, and within one tick: only the content tells.
  printf 11 > a.nix
  expect_miss 11 'no earlier' -f a.nix
  expect_hit 11 -f a.nix
  cp -p a.nix stamp
  printf 22 > a.nix
  touch -r stamp a.nix
  expect_miss 22 'a.nix' -f a.nix
  for i in 31 32 33 34 35 36 37 38 39; do
    printf %s "$i" 1<> a.nix
    run firn eval -f a.nix
    expect_out "$i"
  done
}

test_old_file_changed() {
  cli_setup
  echo '[ (import ./b.nix) (builtins.readFile ./c) ]' > a.nix
  echo 10 > b.nix
  printf text > c
  age
  expect_miss '[ 10 "text" ]' 'no earlier' -f a.nix --strict
  expect_hit '[ 10 "text" ]' -f a.nix --strict
  touch b.nix c
  expect_hit '[ 10 "text" ]' -f a.nix --strict # another time, the same content
  cp -p b.nix stamp
  echo 20 > b.nix
  touch -r stamp b.nix
  expect_miss '[ 20 "text" ]' "b.nix' has changed" -f a.nix --strict
  printf other > c
  expect_miss '[ 20 "other" ]' "c' has changed" -f a.nix --strict
  rm c
  ask -f a.nix --strict
  expect_status 1
}

test_link_retargeted() {
  cli_setup
  mkdir one two
  echo 1 > one/x.nix
  echo 2 > two/x.nix
  ln -s one link
  ln -s one/x.nix x.nix
  echo '[ (import ./link/x.nix) (import ./x.nix) ]' > a.nix
  age
  expect_miss '[ 1 1 ]' 'no earlier' -f a.nix --strict
  expect_hit '[ 1 1 ]' -f a.nix --strict
  ln -sfn two link
  expect_miss '[ 2 1 ]' 'has changed' -f a.nix --strict
  ln -sfn two/x.nix x.nix
  expect_miss '[ 2 2 ]' 'has changed' -f a.nix --strict
}

test_directory_gains_a_file() {
  cli_setup
  mkdir dir src src/sub
  echo 'builtins.attrNames (builtins.readDir ./dir)' > a.nix
  echo 'builtins.pathExists ./absent' > b.nix
  echo '"${./src}"' > c.nix
  echo x > src/sub/x
  touch dir/x
  age
  expect_miss '[ "x" ]' 'no earlier' -f a.nix --strict
  expect_hit '[ "x" ]' -f a.nix --strict
  expect_miss false 'no earlier' -f b.nix
  expect_hit false -f b.nix
  touch unrelated
  expect_hit false -f b.nix
  touch dir/y absent
  expect_miss '[ "x" "y" ]' 'entries of directory' -f a.nix --strict
  expect_miss true 'exists now' -f b.nix
  ask -f c.nix
  first=$out
  expect_hit "$first" -f c.nix
  touch src/sub/y
  ask -f c.nix
  case $verdict in *'miss: entries of directory'*'src/sub'*) ;; *) show_run; fail "a file in a copied tree was overlooked" ;; esac
  [ "$out" != "$first" ] || fail "the same store path for another tree"
  age
  ask -f c.nix
  second=$out
  chmod +x src/sub/x
  ask -f c.nix
  [ "$out" != "$second" ] || fail "the same store path for an executable file"
}

test_filtered_tree() {
  cli_setup
  mkdir src src/sub
  echo 1 > src/keep
  echo 'builtins.path { path = ./src; name = "s"; filter = p: t: baseNameOf p != "drop"; }' > a.nix
  age
  ask -f a.nix
  first=$out
  expect_hit "$first" -f a.nix
  echo 2 > src/drop
  ask -f a.nix
  case $verdict in *': miss: '*) ;; *) show_run; fail "the filter was not asked about a new file" ;; esac
  expect_out "$first"
  age
  ask -f a.nix
  echo 3 > src/drop # its content was never looked at
  expect_hit "$first" -f a.nix
  echo 4 > src/keep
  ask -f a.nix
  [ "$out" != "$first" ] || fail "the same store path for another tree"
}

test_environment_and_search_path() {
  cli_setup
  mkdir one two
  echo 1 > one/x.nix
  echo 2 > two/x.nix
  echo '[ (builtins.getEnv "SOME_VARIABLE") (import <x.nix>) ]' > a.nix
  age
  export NIX_PATH=$PWD/one
  expect_miss '[ "" 1 ]' 'no earlier' -f a.nix --strict
  expect_hit '[ "" 1 ]' -f a.nix --strict
  NIX_PATH=$PWD/two
  expect_miss '[ "" 2 ]' 'no earlier' -f a.nix --strict
  NIX_PATH=$PWD/one
  expect_hit '[ "" 1 ]' -f a.nix --strict
  expect_miss '[ "" 2 ]' 'no earlier' -f a.nix --strict -I two
  export SOME_VARIABLE=v
  expect_miss '[ "v" 1 ]' "variable 'SOME_VARIABLE' has changed" -f a.nix --strict
  export SOME_VARIABLE=
  expect_miss '[ "" 1 ]' "variable 'SOME_VARIABLE' has changed" -f a.nix --strict
}

test_output_and_failures_are_repeated() {
  cli_setup
  echo 'builtins.trace "hello" (builtins.trace "again" 1)' > a.nix
  echo 'let f = x: throw "no ${x}"; in { a = f "luck"; }' > b.nix
  age
  ask -f a.nix
  expect_hit 1 -f a.nix
  run firn eval -f a.nix
  expect_equal "$err" 'trace: hello
trace: again'
  run firn eval -f b.nix -A a --show-trace
  expect_status 1
  first=$err
  ask -f b.nix -A a --show-trace
  expect_status 1
  expect_err_has ': hit: '
  expect_equal "$(printf '%s\n' "$err" | tail -n +2)" "$first"
  ask -f b.nix -A a
  expect_err_has ': miss: no earlier' # without --show-trace it is another text
}

test_impure_things_are_not_remembered() {
  cli_setup
  echo 'builtins.currentTime > 5' > time.nix
  echo 'builtins.readFile "/proc/self/stat" != ""' > proc.nix
  echo 'builtins.fetchurl "file://${toString ./proc.nix}"' > fetch.nix
  age
  expect_unrecorded 'time' -f time.nix
  expect_unrecorded '/proc/self/stat' -f proc.nix
  expect_unrecorded 'was fetched' -f fetch.nix
}

test_records_of_others_and_damage() {
  cli_setup
  echo 1 > a.nix
  age
  ask -f a.nix
  for file in .cache/firn/traces/*.trace "${XDG_CACHE_HOME:-/none}"/firn/traces/*.trace; do
    [ -f "$file" ] || continue
    size=$(stat -c %s "$file")
    for at in 0 10 30 60 $((size - 1)); do
      expect_hit 1 -f a.nix
      byte=$(od -An -tu1 -j "$at" -N 1 "$file" 2> /dev/null) || byte=0 # the record may have become shorter
      printf "\\$(printf %03o $((byte ^ 255)))" | dd of="$file" bs=1 seek="$at" conv=notrunc status=none
      ask -f a.nix
      case $verdict in *': miss: '*) ;; *) show_run; fail "damage at byte $at was believed" ;; esac
      expect_out 1
    done
    truncate -s $((size / 2)) "$file"
    expect_miss 1 '' -f a.nix
    return
  done
  fail "no record was written"
}

test_builds() {
  cli_setup
  echo "let $sh_nix in { a = sh \"thing\" \"echo \${./src} > \\\$out\"; }" > a.nix
  echo text > src
  age
  run firn build --no-link -f a.nix -A a
  expect_status 0
  first=$out
  run firn build --no-link -f a.nix -A a --explain-cache
  expect_status 0
  expect_err_has ': hit: '
  expect_out "$first"
  # The output is gone, the derivation is not.
  run firn store delete "$first"
  run firn build --no-link -f a.nix -A a --explain-cache
  expect_status 0
  expect_out "$first"
  # Now the derivation, too.
  run firn store gc
  expect_status 0
  run firn build --no-link -f a.nix -A a --explain-cache
  expect_status 0
  expect_err_has ': miss: a derivation is not in the store any more'
  expect_out "$first"
}

test_store_path_vanishes() {
  cli_setup
  echo "let $sh_nix in builtins.readFile (sh \"text\" \"echo -n built > \\\$out\")" > a.nix
  age
  run firn eval -f a.nix
  expect_status 0
  expect_out '"built"'
  age
  ask -f a.nix
  expect_hit '"built"' -f a.nix
  run firn store gc
  expect_miss '"built"' 'is not valid any more' -f a.nix
}

# What is to be written is written each time.
test_read_write_mode() {
  cli_setup
  echo "let $sh_nix in (sh \"x\" \"true\").drvPath" > a.nix
  age
  for i in 1 2 3; do
    run nix-instantiate --eval --read-write-mode --explain-cache a.nix
    expect_status 0
    expect_err_has 'not used: --read-write-mode'
  done
}

write_jobs() {
  cat > jobs.nix <<'EOF'
let drv = name: text: derivation { inherit name text; system = "x86_64-linux"; builder = "/bin/sh"; };
in {
  a = drv "a" (import ./a.nix);
  b = drv "b" (import ./b.nix);
  c = drv "c" (import ./common.nix + import ./c.nix);
  d = drv "d" (import ./common.nix);
  e = drv "e" (throw "no");
  s = { recurseForDerivations = true; x = drv "x" (import ./x.nix); y = drv "y" (import ./a.nix); };
  z = 3;
}
EOF
  for name in a b c common x; do echo "\"$name\"" > $name.nix; done
}

jobs() { # GOOD: how many of the 8 jobs are still good after a change; '' for a complete answer
  run firn eval-jobs -f jobs.nix --explain-cache
  expect_status 0
  if [ -n "$1" ]; then expect_err_has "still good: $1 of 8 jobs"; else expect_err_has ': hit: '; fi
  with=$out
  run firn eval-jobs -f jobs.nix --no-eval-cache
  expect_equal "$with" "$out"
}

# A changed file costs, from its second change on, only the jobs that read it.
test_jobs_by_themselves() {
  cli_setup
  write_jobs
  age
  run firn eval-jobs -f jobs.nix --explain-cache
  expect_err_has 'no earlier'
  jobs ''
  echo '"b2"' > b.nix
  jobs 1
  jobs ''
  echo '"b3"' > b.nix
  jobs 7
  echo '"x2"' > x.nix
  jobs 5
  echo '"x3"' > x.nix
  jobs 7
  rm c.nix
  jobs 1
  echo '"c2"' > c.nix
  jobs 7
  for i in 1 2 3; do echo "\"common$i\"" > common.nix; run firn eval-jobs -f jobs.nix; done
  echo '"common4"' > common.nix
  jobs 6
  sed -i 's/z = 3/z = drv "z" (import .\/x.nix)/' jobs.nix
  jobs 0
  age
  jobs ''
  touch a.nix b.nix
  echo '"c3"' > c.nix
  run firn eval-jobs -f jobs.nix
  with=$out
  run firn eval-jobs -f jobs.nix --no-eval-cache
  expect_equal "$with" "$out"
  run firn eval-jobs -f jobs.nix --explain-cache --check-cache-status
  expect_out_has '"cacheStatus":"notBuilt"'
  expect_equal "$err" ''
}

# What is shared is evaluated by whoever comes first; the others depend on it all the same.
test_jobs_share_values() {
  cli_setup
  write_jobs
  cat > jobs.nix <<'EOF'
let
  drv = name: text: derivation { inherit name text; system = "x86_64-linux"; builder = "/bin/sh"; };
  shared = import ./common.nix;
in {
  a = drv "a" (import ./a.nix);
  b = drv "b" shared;
  c = drv "c" (shared + import ./c.nix);
  d = drv "d" (import ./b.nix);
  e = drv "e" shared;
  f = drv "f" (import ./x.nix);
  g = drv "g" "g";
  h = drv "h" (import ./x.nix + import ./a.nix);
}
EOF
  age
  run firn eval-jobs -f jobs.nix
  for i in 1 2 3 4 5 6; do
    for name in common x c a common; do
      echo "\"$name$i\"" > $name.nix
      run firn eval-jobs -f jobs.nix
      with=$out
      run firn eval-jobs -f jobs.nix --no-eval-cache
      expect_equal "$with" "$out"
    done
  done
  for i in 1 2 3; do echo "\"again$i\"" > common.nix; run firn eval-jobs -f jobs.nix; done
  echo '"again4"' > common.nix
  jobs 5
}

test_instantiate() {
  cli_setup
  echo "let $sh_nix in { a = sh \"thing\" (import ./b.nix); }" > a.nix
  echo '"true"' > b.nix
  age
  for command in 'firn instantiate -f' 'nix-instantiate'; do
    run $command a.nix -A a
    expect_status 0
    first=$out
    run $command a.nix -A a --explain-cache
    expect_err_has ': hit: '
    expect_out "$first"
    [ -e "$HOME/store/nix/store/${first##*/}" ] || [ -e "$HOME/store/store/${first##*/}" ] || fail "no $first on disk"
    run firn store gc
    run $command a.nix -A a --explain-cache
    expect_err_has ': miss: a derivation is not in the store any more'
    expect_out "$first"
    run $command a.nix -A a --add-root root
    expect_status 0
    [ -L root ] || fail 'no root was made from a kept answer'
    rm root
    run firn store gc
  done
  echo '"false"' > b.nix
  run nix-instantiate a.nix -A a --explain-cache
  expect_err_has "b.nix' has changed"
  [ "$out" != "$first" ] || fail 'an old answer'
}

# Two attributes of one file have records of their own.
test_attributes_by_themselves() {
  cli_setup
  echo '{ a = import ./b.nix; c = import ./d.nix; }' > a.nix
  echo 1 > b.nix
  echo 2 > d.nix
  age
  expect_miss 1 'no earlier' -f a.nix -A a
  expect_miss 2 'no earlier' -f a.nix -A c
  echo 3 > d.nix
  expect_hit 1 -f a.nix -A a
  expect_miss 3 "d.nix' has changed" -f a.nix -A c
  expect_hit 3 -f a.nix -A c
}

# So have those that one invocation asks for together, and what is known of some is not evaluated again.
test_attributes_together() {
  cli_setup
  echo '{ a = import ./b.nix; c = import ./d.nix; e = import ./f.nix; t = builtins.trace "said" 7; x = throw "no"; }' > a.nix
  echo 1 > b.nix
  echo 2 > d.nix
  echo 5 > f.nix
  age
  expect_miss '1
2' 'no earlier' -f a.nix -A a -A c
  expect_hit '1
2' -f a.nix -A a -A c
  expect_hit 2 -f a.nix -A c
  expect_hit '2
1
2' -f a.nix -A c -A a -A c
  expect_miss '1
5
2' '2 of 3 attributes' -f a.nix -A a -A e -A c
  expect_hit 5 -f a.nix -A e
  echo 3 > d.nix
  expect_hit 1 -f a.nix -A a
  expect_miss '1
3' '1 of 2 attributes' -f a.nix -A a -A c
  expect_hit '1
3' -f a.nix -A a -A c
  # Who would repeat a message is not known: then they have one answer.
  for i in 1 2; do
    ask -f a.nix -A t -A e
    expect_out '7
5'
    expect_err_has 'trace: said'
  done
  expect_hit '7
5' -f a.nix -A t -A e
  ask -f a.nix -A e -A x -A a
  expect_status 1
  expect_out 5
  ask -f a.nix -A e -A x -A a
  expect_status 1
  expect_out 5
  expect_err_has "error: no"
}

test_built_together() {
  cli_setup
  echo "let $sh_nix; d = n: sh n \"echo \${import (./. + \"/\${n}.nix\")} > \\\$out\"; in { a = d \"a\"; b = d \"b\"; c = d \"c\"; again = d \"a\"; }" | sed 's/in ;/in/; s/;;/;/' > x.nix
  for name in a b c; do echo "\"$name\"" > $name.nix; done
  age
  for command in 'firn build --no-link -f x.nix' 'nix-instantiate x.nix'; do
    run $command -A a -A b --explain-cache
    expect_status 0
    expect_err_has 'no earlier'
    both=$out
    run $command -A a -A b --explain-cache
    expect_err_has ': hit: '
    expect_out "$both"
    run $command -A b --explain-cache
    expect_err_has ': hit: '
    expect_out "$(printf '%s\n' "$both" | tail -n 1)"
    run $command -A c -A b -A a --explain-cache
    expect_err_has '2 of 3 attributes'
    three=$out
    run $command -A c -A b -A a --no-eval-cache
    expect_out "$three"
    run $command -A again -A a
    expect_status 0
    with=$out
    run $command -A again -A a --no-eval-cache
    expect_out "$with"
  done
  echo '"changed"' > c.nix
  run firn build --no-link -f x.nix -A c -A b --explain-cache
  expect_status 0
  with=$out
  run firn build --no-link -f x.nix -A c -A b --no-eval-cache
  expect_out "$with"
}

# What another question differs in from those that are known.
test_explained() {
  cli_setup
  mkdir one two
  echo 1 > one/x.nix
  echo 1 > two/x.nix
  echo 'import <x.nix>' > a.nix
  age
  export NIX_PATH=$PWD/one
  expect_miss 1 'is recorded' -f a.nix
  case $verdict in *differs*) show_run; fail "differs from what?" ;; esac
  NIX_PATH=$PWD/two
  expect_miss 1 'differs in the search path (NIX_PATH, -I)' -f a.nix
  NIX_PATH=$PWD/one
  expect_miss 1 'differs in the settings' -f a.nix --option pure-eval false
  expect_miss 1 'differs in the options' -f a.nix --argstr a b
  expect_miss 1 'differs in the form of the output' -f a.nix --json
  expect_miss 1 'the system' -f a.nix --system x86_64-other
  touch -r a.nix stamp
  cp "$FIRN_TEST_BUILD_DIR/firn" firn-other
  run ./firn-other eval -f a.nix --explain-cache
  expect_err_has 'differs in firn itself'
}

test_clock_set_back() {
  cli_setup
  # A file from the future proves nothing by its time.
  echo 1 > a.nix
  touch -d '+1 hour' a.nix
  expect_miss 1 'no earlier' -f a.nix
  cp -p a.nix stamp
  printf '2\n' 1<> a.nix
  touch -r stamp a.nix
  expect_miss 2 'has changed' -f a.nix
}

test_several_at_once() {
  cli_setup
  echo '[ (import ./b.nix) ]' > a.nix
  echo 1 > b.nix
  for round in 1 2 3 4 5; do
    echo "$round" > b.nix
    for i in 1 2 3 4; do
      firn eval -f a.nix --strict > "out.$i" &
    done
    wait
    for i in 1 2 3 4; do expect_equal "$(cat "out.$i")" "[ $round ]"; done
  done
}

run_tests_at_once
