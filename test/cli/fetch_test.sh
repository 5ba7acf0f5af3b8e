# Fetching while evaluating: files, tarballs, Git.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

same_as_cpp_nix() { # EXPRESSION
  run firn eval --raw -E "$1"
  expect_status 0
  ours=$out
  # The installed one prints strings with quotes.
  run cpp_nix nix-instantiate --eval -E "$1" --option experimental-features 'nix-command flakes'
  expect_status 0
  expect_equal "\"$ours\"" "$out"
}

test_files() {
  cli_setup
  echo content > file
  same_as_cpp_nix "builtins.fetchurl \"file://$PWD/file\""
  same_as_cpp_nix "builtins.fetchurl { url = \"file://$PWD/file\"; name = \"other\"; }"
  run firn eval -E "builtins.readFile (builtins.fetchurl \"file://$PWD/file\")"
  expect_out '"content\n"'
  run firn eval -E "builtins.fetchurl { url = \"file://$PWD/file\"; sha256 = \"0000000000000000000000000000000000000000000000000000\"; }"
  expect_status 102
  expect_err_has 'hash mismatch in file downloaded from'
  run firn eval -E "builtins.fetchurl \"file://$PWD/missing\""
  expect_status 1
  expect_err_has "unable to download 'file://$PWD/missing': No such file or directory"
  run firn eval -E 'builtins.fetchurl { url = "file:///x"; nope = 1; }'
  expect_err_has "unsupported argument 'nope' to 'fetchurl'"
  run firn eval --pure-eval -E "builtins.fetchurl \"file://$PWD/file\""
  expect_err_has "in pure evaluation mode, 'fetchurl' requires a 'sha256' argument"
}

test_tarballs() {
  cli_setup
  mkdir -p tree/top-1.0/sub
  echo '{ a = 42; }' > tree/top-1.0/default.nix
  echo x > tree/top-1.0/sub/x
  for form in gzip xz bzip2; do
    tar -c --$form -f "t.$form" -C tree top-1.0
    same_as_cpp_nix "builtins.fetchTarball \"file://$PWD/t.$form\""
  done
  run firn eval -E "(import (fetchTarball \"file://$PWD/t.xz\")).a"
  expect_out 42
  run firn eval -E '(import <top>).a' -I "top=file://$PWD/t.gzip"
  expect_out 42
  run firn eval "file://$PWD/t.gzip" -A a
  expect_out 42
  path=$(firn eval --raw -E "fetchTarball \"file://$PWD/t.xz\"")
  hash=$(nix-store -q --hash "$path")
  # With its hash, nothing is read again.
  mv t.xz gone
  run firn eval --raw -E "fetchTarball { url = \"file://$PWD/t.xz\"; sha256 = \"${hash#sha256:}\"; }"
  expect_out "$path"
}

test_git() {
  cli_setup
  export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
  git init -q -b main repo
  echo a > repo/file
  echo 'ignored export-ignore' > repo/.gitattributes
  echo z > repo/ignored
  ln -s file repo/link
  chmod +x repo/file
  git -C repo add -A
  git -C repo commit -qm first
  same_as_cpp_nix "(builtins.fetchGit $PWD/repo).outPath"
  first=$(git -C repo rev-parse HEAD)
  run firn eval --raw -E "(builtins.fetchGit $PWD/repo).rev"
  expect_out "$first"
  echo b >> repo/file
  echo untracked > repo/untracked
  same_as_cpp_nix "(builtins.fetchGit $PWD/repo).outPath"
  run firn eval -E "(builtins.fetchGit $PWD/repo).revCount"
  expect_out 0
  expect_err_has 'is dirty'
  git -C repo commit -qam second
  run firn eval -E "let g = builtins.fetchGit { url = $PWD/repo; rev = \"$first\"; }; in [ g.revCount (builtins.readFile (g + \"/file\")) ]" --strict
  expect_out '[ 1 "a\n" ]'
  run firn eval -E "(builtins.fetchGit { url = \"file://$PWD/repo\"; ref = \"main\"; }).shortRev"
  expect_out "\"$(git -C repo rev-parse HEAD | cut -c1-7)\""
  run firn eval -E "builtins.fetchGit { url = $PWD/repo; rev = \"xyz\"; }"
  expect_status 1
  expect_err_has "hash 'xyz' is not a Git revision"
  run firn eval -E "builtins.fetchGit { url = $PWD/missing; }"
  expect_status 1
  expect_err_has "path '$PWD/missing' does not exist"
}

test_git_submodules() {
  cli_setup
  export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
  git init -q -b main inner
  echo inner > inner/file
  git -C inner add -A
  git -C inner commit -qm inner
  git init -q -b main outer
  git -C outer -c protocol.file.allow=always submodule --quiet add ../inner sub
  echo outer > outer/file
  git -C outer add -A
  git -C outer commit -qm outer
  rev=$(git -C outer rev-parse HEAD)
  tree="builtins.fetchGit { url = $PWD/outer; rev = \"$rev\"; submodules = true; }"
  run firn eval --strict -E "let g = $tree; in [ (builtins.readFile (g + \"/sub/file\")) (builtins.attrNames (builtins.readDir g)) g.submodules ]"
  expect_out '[ "inner\n" [ ".gitmodules" "file" "sub" ] true ]'
  run firn eval --strict -E "builtins.attrNames (builtins.readDir (builtins.fetchGit { url = $PWD/outer; rev = \"$rev\"; } + \"/sub\"))"
  expect_out '[ ]'
}

# A server for the files in ./www; sets $url. It ends with the test.
start_server() {
  command -v python3 > /dev/null || skip 'python3 is not installed'
  mkdir -p www
  python3 "$FIRN_TEST_SOURCE_DIR/cli/http_server.py" www port &
  server=$!
  trap 'kill "$server" 2> /dev/null' EXIT
  for _ in $(seq 100); do [ -s port ] && break; sleep 0.05; done
  url=http://127.0.0.1:$(cat port)
}

test_http() {
  cli_setup
  start_server
  echo content > www/file
  mkdir -p tree/top && echo 42 > tree/top/default.nix
  tar -czf www/t.tar.gz -C tree top
  run firn eval -E "builtins.readFile (builtins.fetchurl \"$url/file\")"
  expect_out '"content\n"'
  run firn eval -E "builtins.readFile (builtins.fetchurl \"$url/moved/file\")"
  expect_out '"content\n"'
  run firn eval -E "builtins.readFile (builtins.fetchurl \"$url/flaky/file\")"
  expect_out '"content\n"'
  run firn eval -E "import (fetchTarball \"$url/t.tar.gz\")"
  expect_out 42
  run firn eval -E 'import <top>' -I "top=$url/t.tar.gz"
  expect_out 42
  run firn eval -E "builtins.fetchurl \"$url/missing\""
  expect_status 1
  expect_err_has "unable to download '$url/missing': HTTP error 404"
  run firn eval -E "builtins.fetchurl { url = \"$url/file\"; sha256 = \"0000000000000000000000000000000000000000000000000000\"; }"
  expect_status 102
  expect_err_has 'hash mismatch in file downloaded from'
  # The same question is fetched once.
  : > www/requests
  run firn eval -E "builtins.length (map builtins.readFile [ (builtins.fetchurl \"$url/file\") (builtins.fetchurl \"$url/file\") ])" --strict
  expect_out 2
  run firn eval -E "(fetchTarball \"$url/t.tar.gz\") == (fetchTarball \"$url/t.tar.gz\")"
  expect_out true
  expect_equal "$(printf '/t.tar.gz')" "$(cat www/requests)"
}

test_others_go_on_while_something_is_fetched() {
  cli_setup
  start_server
  for i in 1 2 3 4 5 6; do echo "$i" > "www/f$i"; done
  start=$(date +%s%N)
  run firn eval --strict -E "map (i: builtins.readFile (builtins.fetchurl \"$url/slow/f\${toString i}\")) [ 1 2 3 4 5 6 ]"
  expect_status 0
  expect_out '[ "1\n" "2\n" "3\n" "4\n" "5\n" "6\n" ]'
  took=$((($(date +%s%N) - start) / 1000000))
  [ "$took" -lt 4500 ] || fail "six answers of a second each took $took ms"
}

test_interrupt_stops_a_fetch() {
  cli_setup
  start_server
  # Job control off: a background process would ignore the interrupt.
  python3 - "$url" << 'END'
import os, signal, subprocess, sys, time
url = sys.argv[1]
started = time.time()
process = subprocess.Popen(["firn", "eval", "-E", 'builtins.fetchurl "%s/hang"' % url], stderr=subprocess.PIPE)
while not os.path.exists("www/requests") and time.time() < started + 10:
    time.sleep(0.05)
process.send_signal(signal.SIGINT)
err = process.communicate(timeout=10)[1].decode()
print("ended with %d after an interrupt" % process.returncode, "interrupted" in err)
left = subprocess.run(["pgrep", "-f", url + "/hang"], capture_output=True, text=True).stdout.split()
print("left:", [pid for pid in left if pid != str(os.getpid())])
sys.exit(0 if process.returncode != 0 and len(left) <= 1 else 1)
END
  [ $? = 0 ] || fail 'the fetch went on'
}

run_tests
