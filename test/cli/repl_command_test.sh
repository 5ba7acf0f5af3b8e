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
import os, pty, sys, time, signal
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
    seen = b""
    os.write(fd, text)
wait(b"nix-repl> ")
send(b"builtins.foldl\t' (a: b: a + b) 0 [ 1 2 ]\r")
wait(b"\r\n3")
send(b"let f = x: f (x + 1); in f 0\r")
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

run_tests
