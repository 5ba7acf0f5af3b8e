# Content-addressed and impure derivations. The paths are those that C++ Nix 2.26.3 builds from the same expression.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

ca_setup() {
  cli_setup
  export NIX_CONFIG="extra-experimental-features = ca-derivations"
  cat > ca.nix <<'END'
let
  sh = s: extra: derivation ({ system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" ("PATH=/bin:/usr/bin; " + s) ]; } // extra);
  ca = { __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; };
  self = {
  a = sh "echo hello > $out" (ca // { name = "a"; });
  b = sh "mkdir $out; echo $out > $out/self; ln -s $out/self $out/l; cat ${self.a} > $out/a; echo ${self.a} > $out/ref" (ca // { name = "b"; });
  c = sh "mkdir $out $dev; echo $out > $dev/o; echo $dev > $dev/s; echo ${self.b} > $out/b" (ca // { name = "c"; outputs = [ "out" "dev" ]; });
  d = sh "mkdir $out; echo ${self.c.dev} > $out/x; echo $out > $out/y" { name = "d"; };
  e = sh "cat ${self.d}/x > $out" { name = "e"; };
  f = sh "echo foo-${self.a} >&2; echo foo > $out" { name = "f"; outputHash = "sha256-tbudgBSg+bHWHiHnlteNzN8TUvI80ygS9IULh4rklEw="; outputHashMode = "flat"; outputHashAlgo = "sha256"; };
  g = sh "echo hello > $out" (ca // { name = "a"; x = 2; });
  h = sh "cat ${self.g} > $out; echo more >> $out" (ca // { name = "h"; });
  h2 = sh "cat ${self.a} > $out; echo more >> $out" (ca // { name = "h"; });
  fl = sh "echo flat > $out" { name = "fl"; __contentAddressed = true; outputHashMode = "flat"; outputHashAlgo = "sha256"; };
  s1 = sh "mkdir $out; echo $out > $out/x" { name = "s1"; __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha1"; };
  s1b = sh "echo xx > $out" { name = "s1"; __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha1"; };
  random = sh "cat /proc/sys/kernel/random/uuid > $out" (ca // { name = "random"; });
  impure = sh "cat /proc/sys/kernel/random/uuid > $out" { name = "impure"; __impure = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; };
  user = sh "cat ${self.impure} > $out" { name = "user"; __impure = true; };
  pure = sh "cat ${self.impure} > $out" { name = "pure"; };
  broken = sh "echo so it goes; exit 3" (ca // { name = "broken"; });
  after = sh "cat ${self.broken} > $out" { name = "after"; };
  read = builtins.readFile "${self.b}/a" + builtins.readFile self.a;
  };
in self
END
}

expect_build() { # ATTRIBUTE PATH
  run nix-build --no-out-link ca.nix -A "$1"
  expect_status 0
  expect_equal "$out" "/nix/store/$2"
}

test_paths_are_those_of_nix() {
  ca_setup
  expect_build a wsapfasykqjyaw5h4glxcsgprzxp7bjd-a
  expect_build b 0910w4p92gc8iqkx4h7jjvrjpiv7kwap-b
  expect_build c cn0vzc2bw7z5lm9m9nrxkqlvq18sm7q5-c
  expect_build c.dev g3hs2aw2gmgqq0miyz91l993h17rhr4g-c-dev
  expect_build e 7n74l0ddx4abics56rfl81gsf2yyhwph-e
  expect_build d 5c3p41s0w424mhy8bvkyql55ghbnkk6v-d
  expect_build f qjrni7iihn04hach30i7i3c8p055lna4-f
  expect_build fl gfgcx6ps16bb7hns5qjhi0ryq7ng77sy-fl
  expect_build s1b 5wrgy4p90h77i6nyp4ngvs3690clqkpg-s1
  run nix-build --no-out-link ca.nix -A s1
  expect_status 1
  expect_err_has "fixed output derivation 's1' is not allowed to refer to other store paths"
  run nix-store --verify --check-contents
  expect_status 0
  run nix-store -q --references /nix/store/g3hs2aw2gmgqq0miyz91l993h17rhr4g-c-dev
  expect_out_has /nix/store/cn0vzc2bw7z5lm9m9nrxkqlvq18sm7q5-c
  expect_out_has /nix/store/g3hs2aw2gmgqq0miyz91l993h17rhr4g-c-dev
}

test_equal_inputs_are_built_once() {
  ca_setup
  expect_build h niw53q3jr8jzzs65sbyk4lhzmxbm9kxd-h
  expect_err_has "building '"
  expect_build a wsapfasykqjyaw5h4glxcsgprzxp7bjd-a
  # Another derivation, but with the inputs that it comes to it is the one that was built.
  run nix-build --no-out-link ca.nix -A h2
  expect_equal "$out" /nix/store/niw53q3jr8jzzs65sbyk4lhzmxbm9kxd-h
  case $err in *"building '"*) fail "it was built again: $err" ;; esac
  # What is known needs no plan and no build.
  run nix-build --no-out-link ca.nix -A h -A h2 -A a
  expect_equal "$err" ""
  run nix-build --dry-run ca.nix -A h
  expect_equal "$err" ""
}

test_collected_outputs_are_built_again() {
  ca_setup
  expect_build b 0910w4p92gc8iqkx4h7jjvrjpiv7kwap-b
  run nix-store --gc
  expect_status 0
  [ ! -e "$HOME/store/store/0910w4p92gc8iqkx4h7jjvrjpiv7kwap-b" ] || fail "it is still there"
  expect_build b 0910w4p92gc8iqkx4h7jjvrjpiv7kwap-b
}

test_check_and_failures() {
  ca_setup
  expect_build b 0910w4p92gc8iqkx4h7jjvrjpiv7kwap-b
  run nix-build --no-out-link ca.nix -A b --check
  expect_status 0
  run nix-build --no-out-link ca.nix -A random
  expect_status 0
  run nix-build --no-out-link ca.nix -A random --check
  expect_status 104
  expect_err_has "may not be deterministic: output 'out' is now '/nix/store/"
  run nix-build --no-out-link ca.nix -A after
  expect_status 100
  expect_err_has "so it goes"
  expect_err_has "1 dependencies of derivation"
}

test_reading_during_evaluation() {
  ca_setup
  run nix-instantiate --eval ca.nix -A read
  expect_status 0
  expect_equal "$out" '"hello\nhello\n"'
}

test_impure_derivations() {
  ca_setup
  run nix-build --no-out-link ca.nix -A impure
  expect_status 1
  expect_err_has "experimental Nix feature 'impure-derivations' is disabled"
  export NIX_CONFIG="extra-experimental-features = ca-derivations impure-derivations"
  run nix-build --no-out-link ca.nix -A user
  expect_status 0
  first=$out
  run nix-build --no-out-link ca.nix -A user
  [ "$out" != "$first" ] || fail "an impure derivation was not built again"
  run nix-build --no-out-link ca.nix -A pure
  expect_status 1
  expect_err_has "pure derivation '/nix/store/"
  expect_err_has "depends on impure derivation '/nix/store/"
}

test_the_feature_is_off_by_default() {
  ca_setup
  drv=$(nix-instantiate ca.nix -A a)
  export NIX_CONFIG=
  run nix-store --realise "$drv"
  expect_status 1
  expect_err_has "experimental Nix feature 'ca-derivations' is disabled"
}
# A build by C++ Nix, in its own store and in a cache: `once` differs from build to build, so that having its path means not having built it.
foreign_setup() {
  cd "$HOME"
  ca_setup
  export XDG_CACHE_HOME="$HOME/cache-dir" NIX_CONFIG="extra-experimental-features = ca-derivations nix-command"
  cat > foreign.nix <<'END'
let inherit (import ./ca.nix) a random; in { once = random; inherit a;
  user = derivation { name = "user"; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "echo ${random} ${a} > $out" ]; }; }
END
  nix-store --generate-binary-cache-key test-1 secret public
  once=$(cpp_nix nix-build --no-out-link foreign.nix -A once --option secret-key-files "$HOME/secret" 2> cpp.log) || fail "C++ Nix cannot build: $(cat cpp.log)"
  user=$(cpp_nix nix-build --no-out-link foreign.nix -A user --option secret-key-files "$HOME/secret" 2> cpp.log) || fail "C++ Nix cannot build: $(cat cpp.log)"
  cpp_nix nix copy -f foreign.nix once user a --to "file://$HOME/cache?secret-key=$HOME/secret" > cpp.log 2>&1 || fail "C++ Nix cannot copy: $(cat cpp.log)"
}

fetch() { # ATTRIBUTE OPTION...
  run nix-build --no-out-link foreign.nix --option substituters "file://$HOME/cache" -A "$@"
}

expect_nothing_built() {
  case $err in *"building '"*) fail "something was built: $err" ;; esac
}

test_realisations_are_fetched() {
  foreign_setup
  fetch once --option trusted-public-keys "$(cat public)"
  expect_status 0
  expect_equal "$out" "$once"
  expect_nothing_built
  # It is known from now on.
  run nix-build --no-out-link foreign.nix -A once
  expect_equal "$out" "$once"
  expect_nothing_built
  fetch user --option trusted-public-keys "$(cat public)"
  expect_equal "$out" "$user"
  expect_nothing_built
}

test_realisations_must_be_signed() {
  foreign_setup
  fetch a
  expect_status 0
  expect_err_has "ignoring the realisation of 'sha256:"
  expect_err_has "building '"
  sed -i 's/"outPath":"[^"]*-a"/"outPath":"00000000000000000000000000000000-a"/' "$HOME"/cache/realisations/*
  rm -rf store
  fetch a --option trusted-public-keys "$(cat public)"
  expect_status 0
  expect_err_has "ignoring the realisation of 'sha256:"
  echo '{"id":1' | tee "$HOME"/cache/realisations/* > /dev/null
  rm -rf store
  fetch a --option trusted-public-keys "$(cat public)"
  expect_status 0
  expect_err_has "reading a realisation"
}

# What refers to something else than there is here would not fit to it.
test_realisations_must_fit() {
  foreign_setup
  run nix-build --no-out-link foreign.nix -A once
  expect_status 0
  [ "$out" != "$once" ] || fail "the same path twice"
  fetch user --option trusted-public-keys "$(cat public)"
  expect_status 0
  [ "$out" != "$user" ] || fail "it does not belong to what was built here"
  expect_err_has "has another realisation of a dependency of"
}

test_realisations_of_a_lower_store() {
  foreign_setup
  run nix-build --no-out-link foreign.nix --option store "$HOME/cpp" -A once
  expect_status 0
  expect_equal "$out" "$once"
  expect_nothing_built
}

# What firn writes into a cache is what it, and C++ Nix, find there instead of building.
test_realisations_are_written() {
  cd "$HOME"
  ca_setup
  export XDG_CACHE_HOME="$HOME/cache-dir" NIX_CONFIG="extra-experimental-features = ca-derivations nix-command"
  nix-store --generate-binary-cache-key test-1 secret public
  random=$(nix-build --no-out-link ca.nix -A random --option secret-key-files "$HOME/secret")
  d=$(nix-build --no-out-link ca.nix -A d --option secret-key-files "$HOME/secret")
  run nix copy -f ca.nix random d --to "file://$HOME/cache" --option secret-key-files "$HOME/secret"
  expect_status 0
  run ls cache/realisations
  expect_equal "$(printf '%s\n' "$out" | wc -l)" 5
  run cat cache/realisations/*
  expect_out_has '"dependentRealisations":{"sha256:'
  expect_out_has '"signatures":["test-1:'
  rm -rf store
  for attr in random d; do
    run nix-build --no-out-link ca.nix --option substituters "file://$HOME/cache" --option trusted-public-keys "$(cat public)" -A $attr
    expect_status 0
    expect_equal "$out" "$([ $attr = d ] && echo "$d" || echo "$random")"
    expect_nothing_built
  done
  [ -x /usr/bin/nix-build ] || skip "C++ Nix is not installed"
  NIX_REMOTE="local?root=$HOME/cpp" /usr/bin/nix-build --no-out-link ca.nix -A random --option build-users-group '' \
    --option substituters "file://$HOME/cache" --option trusted-public-keys "$(cat public)" > theirs 2> cpp.log || fail "C++ Nix: $(cat cpp.log)"
  expect_equal "$(cat theirs)" "$random"
  if grep -q "building '" cpp.log; then fail "C++ Nix has built: $(cat cpp.log)"; fi
}

test_realisation_info() {
  ca_setup
  export NIX_CONFIG="extra-experimental-features = ca-derivations nix-command"
  b=$(nix-build --no-out-link ca.nix -A b)
  a=$(nix-build --no-out-link ca.nix -A a)
  run nix realisation info -f ca.nix b
  expect_status 0
  expect_out_has "!out $b"
  run nix realisation info --json -f ca.nix b
  expect_out_has '[{"dependentRealisations":{"sha256:'
  expect_out_has "$(basename "$a")\"},\"id\":\"sha256:"
  run nix realisation info --json "$a"
  expect_out_has "[{\"opaquePath\":\"$a\"}]"
}

# From store to store a realisation needs a trusted signature, as paths do.
test_realisations_between_stores() {
  cd "$HOME"
  ca_setup
  export NIX_CONFIG="extra-experimental-features = ca-derivations nix-command"
  nix-store --generate-binary-cache-key test-1 secret public
  random=$(nix-build --no-out-link ca.nix -A random)
  run nix copy -f ca.nix random --to "firn:$HOME/other"
  expect_status 1
  expect_err_has "cannot register realisation 'sha256:"
  run nix copy -f ca.nix random --to "firn:$HOME/other" --no-check-sigs
  expect_status 0
  run nix-build --no-out-link ca.nix -A random --option store "firn:$HOME/other"
  expect_status 0
  expect_equal "$out" "$random"
  expect_nothing_built
}

run_tests
