# The REPL, fed by a pipe and by a terminal.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

repl() { # ARG...: with the lines of standard input
  status=0
  out=$(firn repl "$@" 2> "$HOME/err") || status=$?
  err=$(cat "$HOME/err")
  last_run="firn repl $*"
}

test_expressions_and_variables() {
  cli_setup
  repl <<'END'
1 + 1
x = 5
x * 2
map = 3
map
let y = 1;
  in y
x == 5
:p { a = { b = [ 1 ]; }; }
:p "text"
:t x
END
  expect_status 0
  expect_out '2
10
3
1
true
{
  a = {
    b = [ 1 ];
  };
}
text
an integer'
}

test_files_and_scope() {
  cli_setup
  echo '{ one ? 1 }: { inherit one; two = one + 1; }' > f.nix
  repl f.nix --arg one 10 <<'END'
two
:a { three = 3; }
three + one
:ll
:r
two
END
  expect_status 0
  expect_out_has 'Added 2 variables.'
  expect_out_has '13'
  expect_out_has 'one three two'
}

test_errors_do_not_end_it() {
  cli_setup
  repl <<'END'
throw "first"
{ a = 1; }.b
:nope
1 +
2 )
42
END
  expect_status 1
  expect_out_has 42
  expect_err_has first
  expect_err_has "attribute 'b' missing"
  expect_err_has "unknown command ':nope'"
}

test_builds() {
  cli_setup
  repl <<END
d = let $sh_nix in sh "d" "echo said; echo text > \$out"
:b d
builtins.readFile d
:log d
:bl d
END
  expect_status 0
  expect_out_has 'This derivation produced the following outputs:'
  expect_out_has '"text\n"'
  expect_out_has said
  [ -L repl-result-out ] || fail "no link was made"
}

test_documentation() {
  cli_setup
  repl <<'END'
:doc builtins.map
:?
END
  expect_out_has 'Synopsis: builtins.map'
  expect_out_has ':trace-enable'
}

test_a_terminal() {
  cli_setup
  command -v python3 > /dev/null || skip "python3 is not installed"
  run python3 - <<'END'
import os, pty, select, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    os.execvp("firn", ["firn", "repl"])
seen = b""
def wait(text, limit=10):
    global seen
    end = time.time() + limit
    while text not in seen:
        if time.time() > end: sys.exit("did not see %r in %r" % (text, seen))
        try: seen += os.read(fd, 4096)
        except OSError: break
def send(text):
    global seen
    while select.select([fd], [], [], 0.1)[0]: os.read(fd, 4096) # until it waits for input again
    seen = b""
    os.write(fd, text)
wait(b"nix-repl> ")
send(b"builtins.foldl\t' (a: b: a + b) 0 [ 1 2 ]\r")
wait(b"\r\n3")
send(b"builtins.all (x: builtins.all (y: true) (builtins.genList (y: y) 10000)) (builtins.genList (x: x) 100000)\r")
time.sleep(0.5)
os.write(fd, b"\x03")
wait(b"interrupted")
send(b"6 * 7\r")
wait(b"\r\n42")
send(b":q\r")
time.sleep(0.3)
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
END
  expect_status 0
}

# A conversation in a terminal: talk ARG...; what is said is standard input (talk.py).
talk() {
  command -v python3 > /dev/null || skip 'python3 is not installed'
  python3 "$FIRN_TEST_SOURCE_DIR/cli/talk.py" "$@" 2> "$HOME/talk-err" || {
    sed 's/^/# /' "$HOME/talk-err"
    fail "the conversation with '$*' went wrong"
  }
}

test_editing() {
  cli_setup
  export XDG_DATA_HOME=$HOME/data
  mkdir folder && echo 42 > folder/number.nix
  talk firn repl << 'END'
< nix-repl>
> set = { first = 1; second = { inner = 2; }; }
< nix-repl>
- set.sec\t
< set.second
> .inner
< 2
- set.second.\t
< inner
> \x15
- import ./folder/num\t
< number.nix
>  + 1
< 43
> let
>   a = 1;
>   b = 2;
> in a + b
< 3
> [ 1
>   2 ]
< 2
> throw "an error"
< error: an error
> builtins.all (x: builtins.all (y: true) (builtins.genList (y: y) 10000)) (builtins.genList (x: x) 100000)
sleep 0.5
- \x03
< interrupted
> 6 * 7
< 42
- 1 + \x03
< nix-repl>
> "still here"
< "still here"
< nix-repl>
- \x04
END
  # What was typed is there the next time.
  grep -qF 'still' "$XDG_DATA_HOME/nix/repl-history" || fail 'no history was written'
  talk firn repl << 'END'
< nix-repl>
- \x1b[A
< "still here"
- \r
< "still here"
< nix-repl>
> :q
END
}

test_arguments() {
  cli_setup
  echo '{ one ? 1 }: { inherit one; }' > f.nix
  echo '{ three = 3; }' > g.nix
  repl f.nix g.nix --argstr one x << 'END'
one
three
END
  expect_status 0
  expect_out 'Loading '"'f.nix'"'...
Added 1 variables.
Loading '"'g.nix'"'...
Added 1 variables.
"x"
3'
  for arguments in '-f g.nix' '--file g.nix' '-f g.nix three'; do
    status=0
    # shellcheck disable=SC2086
    out=$(echo 1 | nix repl $arguments 2>&1) || status=$?
    expect_status 0
  done
  status=0
  out=$(echo 'a + 1' | nix repl --expr '{ a = 1; }') || status=$?
  expect_status 0
  expect_out_has 2
  out=$(printf 'nope\n:t 1\n' | nix repl 2> /dev/null) || status=$?
  expect_status 0
  expect_out 'an integer'
}

test_documentation_of_functions() {
  cli_setup
  cat > doc.nix << 'END'
{
  /** Adds *one* to `x`. */
  addOne = x: x + 1;
  /** Two
      arguments. */
  two = a: b: a + b;
  plain = x: x;
  called = { __functor = self: /** inner */ x: x; };
  /** A number. */
  num = 5;
  bare = 6;
}
END
  repl << 'END'
d = import ./doc.nix
:doc d.addOne
:doc d.two
:doc d.two 1
:doc d.plain
:doc d.called
:doc d.num
:doc d.bare
:doc x: x
:doc 1
END
  expect_out "Function addOne
… defined at $PWD/doc.nix:3:12

Adds one to x.
Function two
… defined at $PWD/doc.nix:6:9

Two arguments.
Function two
… defined at $PWD/doc.nix:6:12

Two arguments.
Function plain
… defined at $PWD/doc.nix:7:11
Function __functor
… defined at $PWD/doc.nix:8:45

inner
Attribute num

… defined at $PWD/doc.nix:10:3

A number.
Attribute bare

… defined at $PWD/doc.nix:11:3

No documentation found.
Function defined at «string»:1:1"
  expect_err_has 'value does not have documentation'
}

test_edit() {
  cli_setup
  echo '{ f = x: x; d = derivation { name = "x"; system = "x"; builder = "x"; } // { meta.position = "/some/file.nix:7"; }; }' > e.nix
  printf '#! /bin/sh\necho "editing $*"\n' > vim-like
  chmod +x vim-like
  export EDITOR=$PWD/vim-like
  repl << END
:l e.nix
:e "$PWD/e.nix"
:e f
:l e.nix
:e d
:e 1
:e (x: x)
END
  expect_out_has "editing $PWD/e.nix"
  expect_out_has "editing +1 $PWD/e.nix"
  expect_out_has 'editing +7 /some/file.nix'
  expect_err_has "package '1' has no source location information"
  expect_err_has "'«string»:1:2' cannot be shown in an editor"
  # Files are read again behind the editor.
  printf '#! /bin/sh\necho "{ changed = true; }" > "%s"\n' "$PWD/e.nix" > vim-like
  repl << END
:l e.nix
:e "$PWD/e.nix"
changed
END
  expect_out_has true
}

test_shells_and_profiles() {
  cli_setup
  printf 'sandbox-paths = /bin/sh=%s\n' "$(command -v busybox)" > "$HOME/nix.conf"
  export NIX_BUILD_SHELL=/bin/bash TMPDIR=$HOME
  mkdir tools nixpkgs
  cp "$(command -v busybox)" tools/busybox
  cat > x.nix << 'END'
let
  busybox = "${builtins.path { path = ./tools; name = "tools"; }}/busybox";
  make = name: script: derivation { inherit name; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" script ]; };
in {
  tool = make "tool-1.0" "${busybox} mkdir -p $out/bin; { echo '#! /bin/sh'; echo 'echo the tool'; } > $out/bin/tool; ${busybox} chmod +x $out/bin/tool";
  package = name: attrs: derivation (attrs // { inherit name; system = builtins.currentSystem; builder = "/bin/bash"; stdenv =
    make "stdenv" "${busybox} mkdir $out; echo 'for i in $buildInputs; do PATH=$i/bin:$PATH; done' > $out/setup"; });
}
END
  echo '{ }: { runCommand = name: attrs: text: (import ../x.nix).package name attrs; }' > nixpkgs/default.nix
  export NIX_PATH=nixpkgs=$PWD/nixpkgs
  talk firn repl x.nix << 'END'
< nix-repl>
> :sh package "package" { VARIABLE = "of the build"; buildInputs = [ tool ]; }
sleep 1
> echo "[$VARIABLE]"; tool; exit 3
< [of the build]
< the tool
< nix-repl>
> :u tool
sleep 1
> tool; exit
< the tool
< nix-repl>
> :i tool
< installing 'tool-1.0.drv'
< nix-repl>
> :b tool
< This derivation produced the following outputs:
< out -> /nix/store/
> :log tool
< nix-repl>
> 6 * 7
< 42
> :q
END
  [ -x "$HOME/.nix-profile/bin/tool" ] || [ -L "$HOME/.nix-profile/bin/tool" ] || [ -L "$HOME/.nix-profile" ] || fail 'nothing was installed'
}

run_tests
