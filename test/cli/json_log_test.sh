# --log-format internal-json. The streams are those of C++ Nix 2.26.3, but for the moments of questions ("querying info about missing paths") and
# of a build's end at which progress is told.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

json_setup() {
  cli_setup
  cat > x.nix <<'END'
let a = derivation { name = "ja"; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "echo line1; echo '@nix {\"action\":\"setPhase\",\"phase\":\"buildPhase\"}' >&$NIX_LOG_FD; echo hello > $out" ]; n = 14; };
in {
  good = derivation { name = "jb"; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "echo ${a}; echo hello > $out" ]; n = 14; };
  bad = derivation { name = "bad"; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "printf 'h\\377i\\n'; exit 3" ]; };
}
END
}

# One line for each event: identities by their order, only what is the same each time.
summary() {
  python3 - <<'END' "$err"
import json, sys
names = {0: 0}
questions = set() # see test_questions_and_copies
name = lambda id: names.setdefault(id, len(names))
for line in sys.argv[1].splitlines():
    if not line.startswith("@nix "):
        print(line)
        continue
    event = json.loads(line[5:])
    assert list(event) == sorted(event), line
    kind = event["action"]
    if event.get("type") == 0:
        questions.add(event["id"])
    if event.get("id") in questions:
        continue
    if kind == "start":
        print("start", name(event["id"]), event["type"], event["level"], name(event["parent"]), *event.get("fields", []))
    elif kind == "stop":
        print("stop", name(event["id"]))
    elif kind == "result":
        if event["type"] != 106:
            print("result", name(event["id"]), event["type"], *event["fields"])
    else:
        print("msg", event["level"], event["msg"])
END
}

test_a_build_with_an_input() {
  json_setup
  run nix-build --no-out-link x.nix -A good --log-format internal-json
  expect_status 0
  a=$(nix-instantiate -E '(import ./x.nix).good' > /dev/null 2>&1; nix-store -q --references "$(nix-instantiate x.nix -A good 2> /dev/null)")
  b=$(nix-instantiate x.nix -A good 2> /dev/null)
  expect_equal "$(summary)" "msg 3 these 2 derivations will be built:
msg 3   $a
msg 3   $b
start 1 102 0 0
start 2 104 0 0
start 3 103 0 0
result 2 105 0 1 0 0
result 3 105 0 0 0 0
result 2 105 0 2 0 0
result 3 105 0 0 0 0
start 4 105 3 0 $a  1 1
result 2 105 0 2 1 0
result 3 105 0 0 0 0
result 4 101 line1
result 4 104 buildPhase
stop 4
result 2 105 1 2 0 0
result 3 105 0 0 0 0
start 5 105 3 0 $b  1 1
result 2 105 1 2 1 0
result 3 105 0 0 0 0
result 5 101 $(nix-store -q --outputs "$a")
stop 5
result 2 105 2 2 0 0
result 3 105 0 0 0 0
stop 3
stop 2
stop 1"
}

# json-log-path: the same lines without "@nix ", whatever is shown; appended.
test_a_file_besides() {
  json_setup
  echo before > log
  run nix-build x.nix -A good --no-out-link --log-format internal-json --option json-log-path "$PWD/log"
  printf '%s\n' "$err" | sed -n 's/^@nix //p' > want
  { echo before; cat want; } | diff - log || fail 'the file differs from what is shown'
  rm log
  run nix-build x.nix -A bad --no-out-link --option json-log-path "$PWD/log"
  expect_err_has 'builder for'
  grep -q '"action":"start".*"type":105' log || fail 'no build'
  grep -q '"level":0,"line":null,"msg":"error: builder for' log || fail 'no error'
  ! grep -q @nix log || fail 'a prefix'
  python3 -c 'import json, sys; [json.loads(line) for line in open("log")]' || fail 'not JSON'
  python3 - "$PWD/socket" > heard <<'END' &
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
connection, _ = server.accept()
while data := connection.recv(65536):
    sys.stdout.write(data.decode())
END
  while [ ! -S socket ]; do sleep 0.01; done
  run nix-build x.nix -A bad --no-out-link --option json-log-path "$PWD/socket"
  wait
  grep -q '"action":"start".*"type":105' heard || fail 'nothing came through the socket'
  run nix-build x.nix -A good --no-out-link --option json-log-path /nowhere/log
  expect_status 0
  expect_err_has "opening log file '/nowhere/log': No such file or directory"
}

test_a_failure() {
  json_setup
  run nix-build --no-out-link x.nix -A bad --log-format internal-json
  expect_status 100
  drv=$(nix-instantiate x.nix -A bad 2> /dev/null)
  lines=$(summary)
  expect_equal "$(printf '%s\n' "$lines" | tail -8)" "result 4 101 h�i
stop 4
result 2 105 0 0 0 1
result 3 105 0 0 0 0
msg 0 error: builder for '$drv' failed with exit code 3
stop 3
stop 2
stop 1"
  expect_err_has "\"raw_msg\":\"builder for '"
}
test_questions_and_copies() {
  json_setup
  run nix-build --no-out-link x.nix -A good --log-format internal-json
  expect_equal "$(printf '%s\n' "$err" | grep -c '"level":6,"parent":0,"text":"querying info about missing paths","type":0')" 2
  # Also where nothing is to be done, there is the frame.
  run nix-build --no-out-link x.nix -A good --log-format internal-json
  expect_equal "$(summary)" "start 1 102 0 0
start 2 104 0 0
start 3 103 0 0
stop 3
stop 2
stop 1"
  good=$out
  run nix copy --to "file://$PWD/cache" "$good" --log-format internal-json
  expect_status 0
  expect_equal "$(summary | sed -n '/ 103 3 /,$p' | sed 's/ [0-9]* [0-9]* 0 0$/ N N 0 0/')" "start 1 103 3 0
start 2 100 3 0 $good local file://$PWD/cache
result 1 105 0 1 1 0
result 2 105 N N 0 0
stop 2
result 1 105 N N 0 0
stop 1"
  run nix copy --to "file://$PWD/cache2" "$good"
  expect_err_has "copying 1 paths..."
  expect_err_has "copying path '$good' to 'file://$PWD/cache2'..."
}

test_messages_of_the_program() {
  json_setup
  run nix-instantiate --eval -E 'builtins.trace "t" (builtins.warn "w" 1)' --log-format internal-json
  expect_equal "$err" '@nix {"action":"msg","level":0,"msg":"trace: t"}
@nix {"action":"msg","level":1,"msg":"evaluation warning: w"}'
}

# Lines of builders say whose they are in the formats that have a status line.
test_names_before_lines() {
  json_setup
  run nix-build x.nix -A bad --no-out-link --log-format bar-with-logs
  expect_err_has 'bad> h'
  run nix build -f x.nix bad --no-link --log-format raw-with-logs
  case $err in *'bad> h'*) show_run; fail 'a name' ;; esac
}

run_tests
