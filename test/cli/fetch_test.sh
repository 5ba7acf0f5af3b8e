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
  # No other program is needed.
  if command -v zstd > /dev/null; then tar -c --zstd -f t.zstd -C tree top-1.0; fi
  (cd tree && python3 -c 'import shutil; shutil.make_archive("../t", "zip", ".", "top-1.0")')
  tar -cf t.tar -C tree top-1.0
  path=$(firn eval --raw -E "fetchTarball \"file://$PWD/t.xz\"")
  for form in gzip xz bzip2 zstd zip tar; do
    [ -e "t.$form" ] || continue
    run env PATH=/nowhere "$(command -v firn)" eval --raw -E "fetchTarball \"file://$PWD/t.$form\""
    expect_status 0
    expect_out "$path"
  done
  head -c 100 t.xz > cut.xz
  echo no archive > text
  for form in cut.xz text; do
    run firn eval -E "fetchTarball \"file://$PWD/$form\""
    expect_status 1
    expect_err_has "unpacking 'file://$PWD/$form': "
  done
  python3 - << 'END'
import io, tarfile
with tarfile.open("evil.tar", "w") as archive:
    info = tarfile.TarInfo("top/../../escaped")
    info.size = 1
    archive.addfile(info, io.BytesIO(b"x"))
END
  run firn eval -E "fetchTarball \"file://$PWD/evil.tar\""
  expect_status 1
  expect_err_has '..'
  [ ! -e escaped ] && [ ! -e ../escaped ] || fail 'it has left its folder'
  hash=$(nix-store -q --hash "$path")
  # With its hash, nothing is read again.
  mv t.xz gone
  run firn eval --raw -E "fetchTarball { url = \"file://$PWD/t.xz\"; sha256 = \"${hash#sha256:}\"; }"
  expect_out "$path"
}

# A repository with two commits; sets $first and $second.
make_repo() {
  export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
  git init -q -b main repo
  echo a > repo/file
  printf 'ignored export-ignore\nsub export-ignore\n' > repo/.gitattributes
  echo z > repo/ignored
  mkdir repo/sub && echo s > repo/sub/s
  ln -s file repo/link
  chmod +x repo/file
  git -C repo add -A
  git -C repo commit -qm first
  git -C repo tag v1
  first=$(git -C repo rev-parse HEAD)
  echo b >> repo/file
  git -C repo commit -qam second
  git -C repo branch other HEAD~1
  second=$(git -C repo rev-parse HEAD)
}

# ARGUMENTS MESSAGE: of fetchGit
git_fails() {
  run firn eval --show-trace -E "builtins.fetchGit $1"
  expect_status 1
  expect_err_has "$2"
}

test_git() {
  cli_setup
  make_repo
  same_as_cpp_nix "(builtins.fetchGit $PWD/repo).outPath"
  run firn eval --raw -E "(builtins.fetchGit $PWD/repo).rev"
  expect_out "$second"
  run firn eval -E "let g = builtins.fetchGit { url = $PWD/repo; rev = \"$first\"; }; in [ g.revCount (builtins.readFile (g + \"/file\")) ]" --strict
  expect_out '[ 1 "a\n" ]'
  for ref in other v1 refs/tags/v1; do
    run firn eval --raw -E "(builtins.fetchGit { url = \"file://$PWD/repo\"; ref = \"$ref\"; }).shortRev"
    expect_out "$(printf %.7s "$first")"
  done
  run firn eval --strict -E "builtins.attrNames (builtins.readDir (builtins.fetchGit $PWD/repo))"
  expect_out '[ ".gitattributes" "file" "link" ]'
  run firn eval --strict -E "builtins.attrNames (builtins.readDir (builtins.fetchGit { url = $PWD/repo; exportIgnore = false; }))"
  expect_out '[ ".gitattributes" "file" "ignored" "link" "sub" ]'
  run firn eval --strict -E "builtins.attrNames (builtins.readDir (builtins.fetchGit { url = $PWD/repo; ref = \"main\"; }))"
  expect_out '[ ".gitattributes" "file" "link" ]'
  run firn eval --strict -E "builtins.attrNames (builtins.fetchGit { url = $PWD/repo; ref = \"main\"; })"
  expect_out '[ "lastModified" "lastModifiedDate" "narHash" "outPath" "rev" "revCount" "shortRev" "submodules" ]'
  # What was said of the result is checked.
  seconds=$(git -C repo log -1 --format=%ct)
  run firn eval -E "(builtins.fetchGit { url = $PWD/repo; revCount = 2; lastModified = $seconds; }).revCount"
  expect_out 2
  url=git+file://$PWD/repo
  git_fails "{ url = $PWD/repo; revCount = 3; }" "'revCount' attribute mismatch in input '$url?exportIgnore=1&ref=refs/heads/main&rev=$second', expected 3"
  git_fails "{ url = $PWD/repo; lastModified = 3; }" "'lastModified' attribute mismatch in input '$url?exportIgnore=1&ref=refs/heads/main&rev=$second', expected 3, got $seconds"
  run firn eval -E "builtins.fetchGit { url = $PWD/repo; narHash = \"sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"; }"
  expect_status 102
  expect_err_has "NAR hash mismatch in input '$url?exportIgnore=1', expected 'sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=' but got 'sha256-"
  git_fails "{ url = $PWD/repo; narHash = \"xyz\"; }" "hash 'xyz' is not SRI"
  git_fails "{ url = $PWD/repo; rev = \"xyz\"; }" "hash 'xyz' has wrong length for hash algorithm 'sha1'"
  missing=0123456789012345678901234567890123456789
  git_fails "{ url = $PWD/repo; rev = \"$missing\"; }" "getting Git object '$missing': object not found - no match for id ($missing)"
  git_fails "{ url = $PWD/repo; rev = \"$missing\"; }" "while fetching the input '$url?exportIgnore=1&rev=$missing'"
  git_fails "{ url = $PWD/repo; ref = \"nope\"; }" "resolving Git reference 'nope': revspec 'nope' not found"
  git_fails "{ url = $PWD/repo; ref = \"a..b\"; }" "invalid Git branch/tag name 'a..b'"
  git_fails "{ url = $PWD/repo; nope = 1; }" "input attribute 'nope' not supported by scheme 'git'"
  git_fails "{ url = $PWD/repo; type = \"git\"; }" "unexpected attribute 'type'"
  git_fails "{ url = $PWD/repo; shallow = 1; }" "input attribute 'shallow' is not a Boolean"
  git_fails "{ url = $PWD/repo; ref = 1; }" "input attribute 'ref' is not a string {\"exportIgnore\":true,\"ref\":1,\"type\":\"git\",\"url\":\"file://$PWD/repo\"}"
  git_fails "{ url = $PWD/repo; lastModified = -1; }" 'negative value given for fetchTree attr lastModified: -1'
  git_fails "{ url = $PWD/repo; verifyCommit = true; }" "experimental Nix feature 'verified-fetches' is disabled"
  git_fails "{ url = $PWD/repo; submodules = true; exportIgnore = true; }" 'exportIgnore and submodules are not supported together yet'
  git_fails '{ }' "input attribute 'url' is missing"
  git_fails '"./repo"' "file:// URL 'file://./repo' has unexpected authority '.'"
  git_fails '"http://a b"' "'http://a b' is not a valid URL"
  git_fails "$PWD/missing" "resolving Git reference 'master': revspec 'master' not found"
  run firn eval -E "builtins.fetchGit $PWD/repo" --pure-eval
  expect_err_has "in pure evaluation mode, 'fetchGit' will not fetch unlocked input '$url?exportIgnore=1'"
  run firn eval -E 'builtins.fetchGit "user@host:x"' --restrict-eval
  expect_err_has "access to URI 'git+ssh://user@host/x?exportIgnore=1' is forbidden in restricted mode"
  run firn eval -E "(builtins.fetchGit $PWD/repo).revCount" --restrict-eval --option allowed-uris git+file:///
  expect_out 2
}

test_git_trees_that_are_dirty_or_empty() {
  cli_setup
  make_repo
  echo c >> repo/file
  echo u > repo/untracked
  run firn eval --strict -E "let g = builtins.fetchGit $PWD/repo; in [ g.revCount g.shortRev g.dirtyShortRev (builtins.readFile (g + \"/file\")) (builtins.attrNames (builtins.readDir g)) ]"
  expect_out "[ 0 \"0000000\" \"$(printf %.7s "$second")-dirty\" \"a\\nb\\nc\\n\" [ \".gitattributes\" \"file\" \"link\" ] ]"
  expect_err_has "warning: Git tree '$PWD/repo' is dirty"
  run firn eval -E "(builtins.fetchGit $PWD/repo).dirtyRev" --option warn-dirty false
  expect_out "\"$second-dirty\""
  expect_equal '' "$err"
  run firn eval -E "builtins.fetchGit $PWD/repo" --option allow-dirty false
  expect_status 1
  expect_err_has "Git tree '$PWD/repo' is dirty"
  # With a name or a commit, changes do not count; nor do deleted files.
  run firn eval -E "(builtins.fetchGit { url = $PWD/repo; ref = \"main\"; }).revCount"
  expect_out 2
  rm repo/file
  run firn eval --strict -E "builtins.attrNames (builtins.readDir (builtins.fetchGit $PWD/repo))"
  expect_out '[ ".gitattributes" "link" ]'
  git init -q -b main empty
  run firn eval --strict -E "let g = builtins.fetchGit $PWD/empty; in [ g.rev g.revCount g.lastModified (builtins.readDir g) ]"
  expect_out '[ "0000000000000000000000000000000000000000" 0 0 { } ]'
}

test_git_repositories_that_are_fetched() {
  cli_setup
  make_repo
  git clone -q --bare repo bare.git
  git clone -q --depth 1 "file://$PWD/repo" flat
  here=$(firn eval --raw -E "(builtins.fetchGit { url = $PWD/repo; ref = \"main\"; }).outPath")
  run firn eval --strict -E "let g = builtins.fetchGit $PWD/bare.git; in [ (toString g) g.rev g.revCount ]"
  expect_out "[ \"$here\" \"$second\" 2 ]"
  run firn eval -E "(builtins.fetchGit { url = $PWD/bare.git; ref = \"other\"; }).rev"
  expect_out "\"$first\""
  run firn eval -E "(builtins.fetchGit { url = $PWD/bare.git; ref = \"refs/tags/v1\"; allRefs = true; }).rev"
  expect_out "\"$first\""
  run firn eval -E "let g = builtins.fetchGit { url = $PWD/bare.git; rev = \"$first\"; shallow = true; }; in [ g.rev g.revCount ]" --strict
  expect_out "[ \"$first\" 0 ]"
  missing=0123456789012345678901234567890123456789
  git_fails "{ url = $PWD/bare.git; rev = \"$missing\"; }" "Cannot find Git revision '$missing' in ref 'refs/heads/main' of repository 'file://$PWD/bare.git'! Please make sure that the rev exists on the ref you've specified or add allRefs = true; to fetchGit."
  git_fails "{ url = $PWD/flat; ref = \"main\"; }" "'$PWD/flat' is a shallow Git repository, but shallow repositories are only allowed when \`shallow = true;\` is specified"
  run firn eval -E "(builtins.fetchGit { url = $PWD/flat; ref = \"main\"; shallow = true; }).rev"
  expect_out "\"$second\""
  # A branch is asked for again when tarball-ttl has passed; the last state is used when nobody answers.
  echo c >> repo/file
  git -C repo commit -qam third
  git -C repo push -q ../bare.git main
  run firn eval -E "(builtins.fetchGit $PWD/bare.git).revCount"
  expect_out 2
  run firn eval -E "(builtins.fetchGit $PWD/bare.git).revCount" --option tarball-ttl 0
  expect_out 3
  run firn eval -E "(builtins.fetchGit $PWD/bare.git).revCount" --refresh
  expect_out 3
  mv bare.git gone
  run firn eval -E "(builtins.fetchGit $PWD/bare.git).revCount" --refresh
  expect_out 3
  expect_err_has 'continuing with the most recent version'
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
  # The working tree as it is, with that of the submodule or without.
  run firn eval --raw -E "(builtins.fetchGit { url = $PWD/outer; submodules = true; }).outPath"
  expect_out "$(firn eval --raw -E "($tree).outPath")"
  run firn eval --strict -E "builtins.attrNames (builtins.readDir (builtins.fetchGit $PWD/outer))"
  expect_out '[ ".gitmodules" "file" ]'
  echo changed > outer/sub/file
  run firn eval --strict -E "let g = builtins.fetchGit { url = $PWD/outer; submodules = true; }; in [ g.revCount (builtins.readFile (g + \"/sub/file\")) ]"
  expect_out '[ 0 "changed\n" ]'
  run firn eval --strict -E "(builtins.fetchGit $PWD/outer).revCount"
  expect_out 1
}

test_mercurial() {
  cli_setup
  run firn eval -E 'builtins.fetchMercurial { }'
  expect_err_has "'url' argument required"
  run firn eval -E 'builtins.fetchMercurial { url = "x"; ref = "y"; }'
  expect_err_has "unsupported argument 'ref' to 'fetchMercurial'"
  run firn eval -E 'builtins.fetchMercurial { url = /x; rev = "a b"; }'
  expect_err_has "invalid Mercurial branch/tag name 'a b'"
  run firn eval --pure-eval -E 'builtins.fetchMercurial "http://x"'
  expect_err_has "in pure evaluation mode, 'fetchMercurial' requires a Mercurial revision"
  mkdir repo
  run env PATH=/nowhere "$(command -v firn)" eval -E "builtins.fetchMercurial $PWD/repo"
  expect_status 1
  expect_err_has "the program 'hg' (Mercurial) is needed to fetch '$PWD/repo'"
  command -v hg > /dev/null || skip 'Mercurial is not installed'
  export HGUSER=a
  hg init repo
  mkdir repo/d && echo a > repo/f && echo b > repo/d/g && chmod +x repo/f && ln -s f repo/l
  hg -R repo add -q && hg -R repo commit -m one && hg -R repo tag v1
  first=$(hg -R repo log -r v1 -T '{node}')
  echo c >> repo/f && hg -R repo commit -m two
  hg -R repo branch -q br && echo q > repo/q && hg -R repo add -q && hg -R repo commit -m three && hg -R repo update -q default
  run firn eval --strict -E "let g = builtins.fetchMercurial $PWD/repo; in [ g.branch g.revCount (builtins.readFile (g + \"/f\")) (builtins.attrNames (builtins.readDir g)) (builtins.attrNames g) ]"
  expect_out '[ "default" 2 "a\nc\n" [ ".hgtags" "d" "f" "l" ] [ "branch" "outPath" "rev" "revCount" "shortRev" ] ]'
  for rev in v1 "$first"; do
    run firn eval --strict -E "let g = builtins.fetchMercurial { url = \"file://$PWD/repo\"; rev = \"$rev\"; }; in [ g.rev g.shortRev (builtins.readFile (g + \"/f\")) ]"
    expect_out "[ \"$first\" \"$(printf %.12s "$first")\" \"a\\n\" ]"
  done
  run firn eval --raw -E "(builtins.fetchMercurial { url = $PWD/repo; rev = \"br\"; name = \"other\"; }).branch"
  expect_out br
  run firn eval --show-trace -E "builtins.fetchMercurial { url = $PWD/repo; rev = \"nope\"; }"
  expect_status 1
  expect_err_has "unknown revision 'nope'"
  expect_err_has "while fetching the input 'hg+file://$PWD/repo?ref=nope'"
  echo z >> repo/f && rm repo/d/g && hg -R repo rm repo/d/g && echo u > repo/u
  run firn eval --strict -E "let g = builtins.fetchMercurial $PWD/repo; in [ g.branch g.shortRev (g ? revCount) (builtins.readFile (g + \"/f\")) (builtins.attrNames (builtins.readDir g)) ]"
  expect_out '[ "default" "000000000000" false "a\nc\nz\n" [ ".hgtags" "f" "l" ] ]'
  expect_err_has "warning: Mercurial tree '$PWD/repo' is unclean"
  run firn eval -E "builtins.fetchMercurial $PWD/repo" --option allow-dirty false
  expect_err_has "Mercurial tree '$PWD/repo' is unclean"
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
  run firn eval -E "builtins.fetchurl \"$url/cut/t.tar.gz\"" --option download-attempts 1
  expect_status 1
  expect_err_has "unable to download '$url/cut/t.tar.gz'"
  # The same question is fetched once, and not again for a while.
  rm -rf "$XDG_CACHE_HOME/firn/fetches" "$HOME/.cache/firn/fetches"
  : > www/requests
  run firn eval -E "builtins.length (map builtins.readFile [ (builtins.fetchurl \"$url/file\") (builtins.fetchurl \"$url/file\") ])" --strict
  expect_out 2
  run firn eval -E "(fetchTarball \"$url/t.tar.gz\") == (fetchTarball \"$url/t.tar.gz\")"
  expect_out true
  expect_equal "$(printf '/t.tar.gz')" "$(cat www/requests)"
}

# COUNT of requests since the last time
expect_requests() {
  expect_equal "$1" "$(grep -c / www/requests || :)"
  : > www/requests
}

test_what_was_fetched_is_kept_for_a_while() {
  cli_setup
  start_server
  for kind in etag dated; do
    rm -rf "$XDG_CACHE_HOME/firn/fetches" "$HOME/.cache/firn/fetches"
    : > www/requests
    echo one > www/file
    touch -d '2001-01-01' www/file
    read="builtins.readFile (builtins.fetchurl \"$url/$kind/file\")"
    run firn eval -E "$read"
    expect_out '"one\n"'
    expect_requests 1
    run firn eval -E "$read"
    expect_out '"one\n"'
    expect_requests 0
    # Asked again, it has not changed; then it has.
    run firn eval -E "$read" --option tarball-ttl 0
    expect_out '"one\n"'
    grep -q unchanged www/requests || fail 'the server was not told what is here'
    expect_requests 1
    echo two > www/file
    run firn eval -E "$read"
    expect_out '"one\n"'
    expect_requests 0
    run firn eval -E "$read" --refresh
    expect_out '"two\n"'
    expect_requests 1
  done
  mkdir -p tree/top && echo 1 > tree/top/default.nix
  tar -czf www/t.tar.gz -C tree top
  tree="import (fetchTarball \"$url/etag/t.tar.gz\")"
  run firn eval -E "$tree"
  expect_out 1
  echo 2 > tree/top/default.nix
  tar -czf www/t.tar.gz -C tree top
  run firn eval -E "$tree"
  expect_out 1
  expect_requests 1
  run firn eval -E "$tree" --refresh
  expect_out 2
  run firn eval -E "$tree" --refresh
  expect_out 2
  expect_requests 2
  # When nobody answers, what is here is used: a file with a warning; a tarball only while it is young.
  kill "$server"
  wait "$server" 2> /dev/null || :
  trap - EXIT
  run firn eval -E "$read" --option tarball-ttl 0 --option download-attempts 1
  expect_out '"two\n"'
  expect_err_has 'using cached version'
  run firn eval -E "$tree" --option tarball-ttl 0 --option download-attempts 1
  expect_status 1
  run firn eval -E "$tree" --offline
  expect_out 2
}

# As in C++ Nix: "https://github.com/" stands for the archives it redirects to.
test_what_a_program_names_must_be_allowed() {
  cli_setup
  start_server
  echo content > www/file
  run firn eval -E "builtins.readFile (builtins.fetchurl \"$url/moved/file\")" --restrict-eval --option allowed-uris "$url/moved/"
  expect_out '"content\n"'
  run firn eval -E "builtins.fetchurl \"$url/file\"" --restrict-eval --option allowed-uris "$url/moved/"
  expect_err_has "access to URI '$url/file' is forbidden in restricted mode"
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
print("# ended with %d after an interrupt" % process.returncode, "interrupted" in err)
left = subprocess.run(["pgrep", "-f", url + "/hang"], capture_output=True, text=True).stdout.split()
print("# left:", [pid for pid in left if pid != str(os.getpid())])
sys.exit(0 if process.returncode != 0 and len(left) <= 1 else 1)
END
  [ $? = 0 ] || fail 'the fetch went on'
}

run_tests
