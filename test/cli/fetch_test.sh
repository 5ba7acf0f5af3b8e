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

run_tests
