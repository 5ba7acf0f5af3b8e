# Shells: nix-shell, nix develop, nix print-dev-env, nix shell, nix run.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

# A small standard environment. Builders are the host's bash, which needs the host's libraries.
shell_setup() {
  cli_setup
  printf 'sandbox-paths = /bin/bash=%s /lib /lib64? /usr/lib /bin/sh=%s\n' "$(readlink -f /bin/bash)" "$(command -v busybox)" > "$HOME/nix.conf"
  export NIX_BUILD_SHELL=/bin/bash TMPDIR=$HOME TERM=dumb
  mkdir tools
  cp "$(command -v busybox)" tools/busybox
  cat > x.nix <<'END'
let
  busybox = "${builtins.path { path = ./tools; name = "tools"; }}/busybox";
  system = builtins.currentSystem;
  program = name: derivation {
    inherit name system;
    builder = "/bin/sh";
    args = [ "-c" "${busybox} mkdir -p $out/bin; { echo '#! /bin/sh'; echo 'echo ${name} \"$@\"'; } > $out/bin/${name}; ${busybox} chmod +x $out/bin/${name}" ];
  };
  stdenv = derivation {
    name = "stdenv";
    inherit system;
    builder = "/bin/sh";
    args = [ "-c" "${busybox} mkdir $out; ${busybox} cp $setupPath $out/setup" ];
    passAsFile = [ "setup" ];
    setup = ''
      export PATH=
      for i in $buildInputs; do PATH=$PATH''${PATH:+:}$i/bin; done
      declare -a an_array=(a "b c" 'd"e')
      declare -A a_map=(["x y"]="2 3")
      runHook() { eval "''${!1:-}"; }
      greet() {
        echo "hello $1"
      }
    '';
  };
  package = attrs: derivation ({
    name = "package-1.0";
    inherit system stdenv;
    builder = "/bin/bash";
    outputs = [ "out" "dev" ];
    buildInputs = [ tool ];
    args = [ "-c" "echo never; exit 1" ];
  } // attrs);
  tool = program "tool";
in {
  inherit tool;
  other = program "other" // { meta.mainProgram = "other"; };
  app = { type = "app"; program = "${program "inner"}/bin/inner"; };
  plain = package {
    multi = "a\nb\tc'd";
    big = "content";
    passAsFile = [ "big" ];
    shellHook = "echo hook; export HOOKED=1";
    allowedReferences = [ ];
  };
  structured = package { __structuredAttrs = true; map = { a = "1"; }; list = [ 1 "two" ]; };
  function = { inNixShell ? false }: package { inside = inNixShell; };
}
END
}

test_nix_shell() {
  shell_setup
  run nix-shell x.nix -A plain --run 'echo "$multi"; tool 1; echo "$IN_NIX_SHELL $HOOKED"; cat $bigPath; greet you; echo "${a_map[x y]}"; echo $NIX_STORE; exit 7'
  expect_status 7
  expect_out_has 'hook'
  expect_out_has "a
b	c'd
tool 1
impure 1
contenthello you
2 3
/nix/store"
  [ -z "$(find "$HOME" -maxdepth 1 -name 'nix-shell*')" ] || fail "a folder was left: $(ls "$HOME")"
  run nix-shell x.nix -A structured --run 'echo "${outputs[dev]} ${list[1]}"; [ -e "$NIX_ATTRS_JSON_FILE" ] && . "$NIX_ATTRS_SH_FILE"; echo "${map[a]}"'
  expect_out_has '-package-1.0-dev two'
  expect_out_has '
1'
  run nix-shell x.nix -A function --run 'echo "inside=$inside"'
  expect_out 'inside=1'
  run firn nix-shell x.nix -A tool -A other --run true
  expect_status 1
  expect_err_has 'nix-shell requires a single derivation'
}

test_a_pure_nix_shell() {
  shell_setup
  export SECRET=s KEPT=k
  run nix-shell x.nix -A plain --pure --keep KEPT --run 'echo "[${SECRET-unset} ${KEPT-unset} $IN_NIX_SHELL]"; case $PATH in *:/usr/bin*) echo host;; esac'
  expect_out_has '[unset k pure]'
  case $out in *host*) fail "PATH has what the host has" ;; esac
  run nix-shell x.nix -A plain --run 'echo "[$SECRET]"; type -p env'
  expect_out_has '[s]'
  expect_out_has '/env'
}

test_files_and_folders() {
  shell_setup
  mkdir folder empty
  echo 'import ../x.nix' > folder/default.nix
  run nix-shell folder -A plain --run 'echo default'
  expect_out_has default
  echo '(import ../x.nix).function { inNixShell = true; }' > folder/shell.nix
  run nix-shell folder --run 'echo "shell $inside"'
  expect_out 'shell 1'
  run nix-shell empty --run true
  expect_status 1
  expect_err_has "neither 'shell.nix' nor 'default.nix' found in"
  cd empty
  run nix-shell --run true
  expect_err_has "no argument specified and no 'shell.nix' or 'default.nix' file found in the working directory"
  run nix-shell -E '(import ../x.nix).plain' --command 'echo from an expression'
  expect_out_has 'from an expression'
  cd ..
  run nix-shell "$(nix-instantiate x.nix -A plain)" --run 'echo from a derivation'
  expect_out_has 'from a derivation'
}

test_packages() {
  shell_setup
  mkdir nixpkgs
  cat > nixpkgs/default.nix <<'END'
{ ... }: let x = import ../x.nix; in x // {
  pkgs = { runCommandCC = name: attrs: text: derivation (attrs // { inherit name; system = builtins.currentSystem; builder = "/bin/bash"; inherit (x.plain) stdenv; }); };
}
END
  export NIX_PATH=nixpkgs=$PWD/nixpkgs
  run nix-shell -p tool other --run 'tool; other'
  expect_status 0
  expect_out 'tool
other'
  run nix-shell -p tool -E 1
  expect_err_has "'-p' and '-E' are mutually exclusive"
  run firn shell tool -c tool with args
  expect_out 'tool with args'
  cat > script <<'END'
#! /usr/bin/env nix-shell
#! nix-shell -i bash -p tool "other"
#! nix-shell --pure
tool "$@"
other
exit 3
END
  chmod +x script
  run nix-shell script 'a b' c
  expect_status 3
  expect_out 'tool a b c
other'
}

test_print_dev_env() {
  shell_setup
  run nix print-dev-env -f x.nix plain
  expect_status 0
  printf '%s\n' "$out" > script
  run env -i PATH="$PATH" TMPDIR="$TMPDIR" bash -c '. ./script; echo "$multi|${an_array[1]}|${a_map[x y]}|$HOOKED|$name|$IN_NIX_SHELL"; greet x; echo $out $dev'
  expect_out "hook
a
b	c'd|b c|2 3|1|package-1.0-env|impure
hello x
$PWD/outputs/out $PWD/outputs/dev"
  run nix print-dev-env -f x.nix plain --json
  python3 -c 'import json, sys
environment = json.loads(sys.argv[1])
variables = environment["variables"]
assert variables["multi"] == {"type": "exported", "value": "a\nb\tc'"'"'d"}, variables["multi"]
assert variables["an_array"] == {"type": "array", "value": ["a", "b c", "d\"e"]}
assert variables["a_map"] == {"type": "associative", "value": {"x y": "2 3"}}
assert "echo \"hello $1\"" in environment["bashFunctions"]["greet"]
assert "structuredAttrs" not in environment
' "$out" || fail "$out"
  run nix print-dev-env -f x.nix structured --profile "$PWD/profile"
  expect_status 0
  expect_out_has ".attrs.json'"
  [ -L profile ] && [ -L profile-1-link ] || fail "no profile: $(ls)"
  run nix print-dev-env -f x.nix tool
  expect_status 1
  expect_err_has "only works on derivations that use 'bash' as their builder"
}

test_develop() {
  shell_setup
  export XYZ=1
  run nix develop -f x.nix plain -c bash -c 'echo "[$multi] $XYZ $HOOKED"; tool; exit 5'
  expect_status 5
  expect_out_has "[a
b	c'd] 1 1
tool"
  run nix develop -f x.nix plain --ignore-env -c "$(command -v env)"
  case $out in *XYZ*) fail "the environment was kept" ;; esac
  expect_out_has 'NIX_GCROOT=/nix/store/'
  run nix develop -f x.nix plain --phase shellHook -c true
  expect_err_has "you cannot use both '--command' and '--phase'"
  run nix develop -f x.nix structured --redirect "$(nix-build x.nix -A tool --no-out-link)" "$PWD/mine" -c bash -c 'echo $PATH; test -s "$NIX_ATTRS_JSON_FILE"'
  expect_status 0
  expect_out_has "$PWD/mine/bin"
}

test_shell_and_run() {
  shell_setup
  run nix shell -f x.nix tool other -c other x y
  expect_status 0
  expect_out 'other x y'
  run nix shell -f x.nix tool --set-env-var A b --unset-env-var TMPDIR -c /bin/sh -c 'echo "$A ${TMPDIR-unset}"; exit 4'
  expect_status 4
  expect_out 'b unset'
  run nix shell -f x.nix tool -k X -c tool
  expect_err_has '--keep-env-var does not make sense without --ignore-env'
  run nix run -f x.nix other -- --flag 1
  expect_out 'other --flag 1'
  run nix run -f x.nix app
  expect_out inner
  run firn run -f x.nix -A tool here
  expect_out 'tool here'
  run nix run -f x.nix tool^nothing
  expect_status 1
  run nix shell -f x.nix tool -c no-such-program
  expect_status 1
  expect_err_has "unable to execute 'no-such-program'"
  run nix shell tool
  expect_err_has 'flakes are not supported'
}

test_without_privileges() {
  shell_setup
  run as_user nix shell -f x.nix tool -c /bin/sh -c 'tool; id -u'
  expect_status 0
  expect_out "tool
$(as_user id -u)"
  # The store need not have a place in the host's tree.
  export NIX_STORE_DIR=/unheard/of NIX_REMOTE=firn:$HOME/elsewhere
  run as_user nix shell -f x.nix tool -c /bin/sh -c 'tool; ls -d /unheard/of; pwd; test -e /tmp && test -e /etc/passwd'
  expect_status 0
  expect_out "tool
/unheard/of
$PWD"
}

test_the_example() {
  shell_setup
  example=$FIRN_TEST_SOURCE_DIR/../examples/packages
  run firn run -f "$example" hello
  expect_status 0
  expect_out 'hello, world'
  run firn shell -f "$example" hello shout -c sh -c 'hello | shout'
  expect_out 'HELLO, WORLD'
  firn build "$example" --no-out-link > /dev/null
  run firn explain "$example" --argstr greeting 'good morning'
  expect_out_has 'words-1.0 has changed: a cause of 3 of 3 builds'
}

test_scripts_of_nix() {
  cli_setup
  mkdir elsewhere scripts
  cat > scripts/p.nix <<END
let $sh_nix in { tool = sh "tool" "mkdir -p \$out/bin; echo text > \$out/bin/tool"; }
END
  printf '#! /usr/bin/env nix\n#! nix shell -f ``./p.nix``\n# a remark\n#! nix tool --command /bin/sh\ncase $PATH in *-tool/bin:*) echo "has it: $1 $2" ;; esac\n' > scripts/run
  cd elsewhere
  run nix ../scripts/run a 'b  c'
  expect_status 0
  expect_out 'has it: a b  c'
  printf '#! /usr/bin/env nix\n#! nix eval --expr `` "a ``` b" ``\n' > quoted
  run nix quoted
  printf '#! /usr/bin/env nix\n#! nix eval --expr "1"\n' > quoted
  run nix quoted
  expect_status 1
  expect_err_has 'unsupported unquoted character in nix shebang: ". Use double backticks to escape?'
  printf '#! /usr/bin/env nix\n#! nix eval --expr ``1\n' > quoted
  run nix quoted
  expect_err_has 'unterminated quoted string in nix shebang'
}

test_develop_endings() {
  shell_setup
  cat > y.nix <<'END'
let x = import ./x.nix; in {
  phases = x.plain.overrides or (derivation (x.plain.drvAttrs // { name = "phases"; unpackPhase = "echo unpacking"; buildPhase = "echo building"; }));
  broken = derivation (x.plain.drvAttrs // { buildInputs = [ (derivation { name = "bad"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "exit 1" ]; }) ]; });
}
END
  run nix develop -f y.nix phases --unpack --build
  expect_status 0
  expect_out_has building
  case $out in *unpacking*) fail "$out" ;; esac
  # As C++ Nix does, unlike `nix build`.
  run nix develop -f y.nix broken -c true
  expect_status 100
  run nix print-dev-env -f y.nix broken
  expect_status 100
  run nix develop -f y.nix phases more -c true
  expect_err_has "unexpected argument 'more'"
  run env NIX_PATH= nix-shell '<nixpkgs>' --run true
  expect_status 1
  case $err in *firn*) fail "$err" ;; esac
}

run_tests
