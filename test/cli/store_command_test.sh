# firn store, nix-store, nix-hash.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

make_tree() {
  mkdir -p tree/sub
  echo one > tree/a
  echo two > tree/sub/b
  chmod +x tree/sub/b
  ln -s sub/b tree/link
}

test_add_ls_cat() {
  cli_setup
  make_tree
  run firn store add tree
  expect_status 0
  path=$out
  run cpp_nix nix-store --add tree
  expect_out "$path"
  run firn store ls "$path"
  expect_out './a
./link
./sub'
  run firn store ls -lR "$path"
  expect_out_has './link -> sub/b'
  expect_out_has './sub/b'
  run firn store cat "$path/sub/b"
  expect_out two
  run firn store cat "$path/sub"
  expect_status 1
  expect_err_has 'is not a regular file'
  run firn store cat "$path/nope"
  expect_status 1
  expect_err_has 'does not exist'
  run firn store ls --json -R "$path"
  expect_out_has '"b":{"executable":true,"size":4,"type":"regular"}'
  run firn store path-info --json "$path"
  expect_out_has '"narHash":"sha256-'
  run firn store check --contents
  expect_status 0
  expect_out_has '0 problems'
}

test_fixed_paths() {
  cli_setup
  make_tree
  for algo in sha256 sha1 md5 sha512; do
    run nix-store --add-fixed $algo tree/a
    expect_status 0
    ours=$out
    run cpp_nix nix-store --add-fixed $algo tree/a
    expect_equal "$ours" "$out"
    run nix-store --add-fixed --recursive $algo tree
    ours=$out
    run cpp_nix nix-store --add-fixed --recursive $algo tree
    expect_equal "$ours" "$out"
  done
  run nix-store --print-fixed-path sha256 "$(nix-hash --flat --type sha256 tree/a)" a
  ours=$out
  run nix-store --add-fixed sha256 tree/a
  expect_equal "$ours" "$out"
}

test_queries() {
  cli_setup
  cat > x.nix <<END
let $sh_nix a = sh "a" "echo text > \$out"; b = sh "b" "echo said; echo \${a} > \$out"; in { inherit a b; }
END
  run nix-build --no-out-link x.nix -A b
  expect_status 0
  b=$out
  a=$(nix-build --no-out-link x.nix -A a 2> /dev/null)
  run nix-store -q --references "$b"
  expect_out "$a"
  run nix-store -qR "$b"
  expect_out "$a
$b"
  run nix-store -q --referrers "$a"
  expect_out "$b"
  run nix-store -q --deriver "$b"
  drv=$out
  run nix-store -q --outputs "$drv"
  expect_out "$b"
  run nix-store -q --binding name "$b"
  expect_out b
  run nix-store -q --tree "$b"
  expect_out "$b
└───$a"
  run nix-store -q --graph "$b"
  expect_out_has 'digraph G {'
  run nix-store -q --hash "$b"
  expect_out_has sha256:
  run nix-store --verify-path "$b"
  expect_status 0
  run nix-store -r "$drv"
  expect_out "$b"
  run nix-store -l "$b"
  expect_out said
  run nix-store -l "$(firn store add x.nix)"
  expect_status 1
  expect_err_has 'is not available'
  run nix-store --print-env "$drv"
  expect_out_has "export name; name='b'"
  run nix-store -qR "$HOME"
  expect_status 1
  expect_err_has 'is not in the Nix store'
}

test_stale_locks_keep_nothing() {
  cli_setup
  echo text > file
  path=$(nix-store --add file)
  tree="$HOME/store/store/${path##*/}"
  touch "$tree.lock"
  exec 9> "$tree.lock"
  flock 9
  run nix-store --gc
  expect_status 0
  [ -e "$tree" ] || fail "a tree went whose lock is held"
  exec 9>&-
  run nix-store --gc
  expect_status 0
  [ ! -e "$tree" ] || fail "a lock that nobody holds keeps a tree"
}

test_derivers() {
  cli_setup
  cat > x.nix <<END
{ extra ? "" }: let a = derivation { name = "fixed-1"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo > \$out" extra ];
  outputHashMode = "recursive"; outputHashAlgo = "sha256"; outputHash = "1rjslx1lsk3mzb7ljssg3l2l4jl4fgihhdl2mhmdjqn1bcsxgfhc"; }; in { inherit a; }
END
  echo > y
  hash=$(nix-hash --type sha256 --base32 y)
  sed -i "s/1rjslx1lsk3mzb7ljssg3l2l4jl4fgihhdl2mhmdjqn1bcsxgfhc/$hash/" x.nix
  path=$(nix-build --no-out-link x.nix -A a 2> /dev/null)
  first=$(nix-instantiate x.nix -A a 2> /dev/null)
  second=$(nix-instantiate x.nix -A a --argstr extra e 2> /dev/null)
  run nix-store -q --valid-derivers "$path"
  expect_out "$(printf '%s\n' "$first" "$second" | LC_ALL=C sort)"
  run nix-store --delete "$first"
  run nix-store -q --valid-derivers "$path"
  expect_out "$second"
}

test_places() {
  cli_setup
  unset NIX_REMOTE
  echo text > file
  run nix-store --store "local?root=$HOME/r&real=$HOME/trees" --add file
  expect_status 0
  expect_equal "$(cat "$HOME/trees/${out##*/}")" text
  [ ! -e "$HOME/r/nix/store" ] || fail "there is a second directory of trees"
  run firn --store "local?root=$HOME/r&real=$HOME/trees" store check
  run nix eval --impure --raw --store 'dummy://?store=/foo' --expr builtins.storeDir
  expect_out /foo
  NIX_REMOTE="local?store=/foo&root=$HOME/s" run nix-instantiate -E '(derivation { name = "x"; system = "y"; builder = "z"; })'
  expect_out_has /foo/
}

test_new_commands() {
  cli_setup
  cat > x.nix <<END
let $sh_nix a = sh "a" "echo text > \$out"; b = sh "b" "echo \${a} > \$out"; c = sh "c" "echo \${b} > \$out"; in { inherit a b c; }
END
  run nix build --no-link --print-out-paths -f x.nix c a
  expect_status 0
  c=${out%%
*} a=${out##*
}
  run nix why-depends "$c" "$a"
  expect_status 0
  expect_equal "$(printf '%s\n' "$out" | sed 's|/nix/store/[a-z0-9]*-||')" 'c
└───b
    └───a'
  run nix why-depends "$a" "$c"
  expect_err_has 'does not depend on'
  run nix derivation show -r "$c"
  expect_status 0
  printf '%s' "$out" | python3 -c '
import json, sys
drvs = json.load(sys.stdin)
assert sorted(d["name"] for d in drvs.values()) == ["a", "b", "c"], drvs
assert all(d["system"] and d["outputs"]["out"]["path"].startswith("/nix/store/") for d in drvs.values())
' || fail "$out"
  nix key generate-secret --key-name test-1 > secret
  run bash -c 'nix key convert-secret-to-public < secret'
  expect_out_has test-1:
}

test_dump_and_restore() {
  cli_setup
  make_tree
  nix-store --dump tree > ours.nar
  cpp_nix nix-store --dump tree > theirs.nar
  cmp ours.nar theirs.nar || fail "the archives differ"
  nix-store --restore copy < ours.nar
  diff -r --no-dereference tree copy || fail "the restored tree differs"
  head -c 100 ours.nar > cut.nar
  run bash -c 'nix-store --restore broken < cut.nar'
  expect_status 1
}

test_export_and_import() {
  cli_setup
  make_tree
  path=$(firn store add tree)
  nix-store --export "$path" > exported
  NIX_REMOTE="firn:$HOME/other" run bash -c 'nix-store --import < exported'
  expect_status 0
  expect_out "$path"
  NIX_REMOTE="firn:$HOME/other" run firn store cat "$path/a"
  expect_out one
}

test_garbage() {
  cli_setup
  cat > x.nix <<END
let $sh_nix in { a = sh "kept" "echo kept > \$out"; b = sh "dead" "echo dead > \$out"; }
END
  run nix-build x.nix -A a
  kept=$out
  run nix-build --no-out-link x.nix -A b
  dead=$out
  run nix-store --gc --print-dead
  expect_out_has "$dead"
  run nix-store --gc
  expect_status 0
  run nix-store --check-validity "$kept"
  expect_status 0
  run nix-store --check-validity "$dead"
  expect_status 1
  run nix-store --delete "$kept"
  expect_status 1
  run firn store check
  expect_status 0
}

test_hashes() {
  cli_setup
  make_tree
  for type in md5 sha1 sha256 sha512; do
    for form in '' --base32; do # all that the Nix of Debian 12 has
      run nix-hash --type $type ${form:+$form} tree
      ours=$out
      run env -u NIX_REMOTE /usr/bin/nix-hash --type $type ${form:+$form} tree
      expect_equal "$ours" "$out"
      run nix-hash --flat --type $type ${form:+$form} tree/a
      ours=$out
      run env -u NIX_REMOTE /usr/bin/nix-hash --flat --type $type ${form:+$form} tree/a
      expect_equal "$ours" "$out"
    done
  done
  run nix-hash --type sha256 --truncate --base32 --flat tree/a
  ours=$out
  run env -u NIX_REMOTE /usr/bin/nix-hash --type sha256 --truncate --base32 --flat tree/a
  expect_equal "$ours" "$out"
  run nix-hash --type sha256 --to-base16 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=
  expect_out e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
  run nix hash file tree/a
  expect_out_has sha256-
}

# A firn that is killed at any moment loses nothing that it had reported, and the store stays clean.
test_kill() {
  cli_setup
  cat > x.nix <<END
{ n }: let $sh_nix in builtins.genList (i: import (sh "k\${toString n}-\${toString i}" "echo \${toString i} > \$out")) 4 ++ [ "\${./tree}" ]
END
  make_tree
  for i in $(seq 50); do
    echo "$i" > tree/changing
    setsid firn eval -f x.nix --strict --arg n "$((i / 3))" -j 4 > /dev/null 2>&1 &
    pid=$!
    sleep "0.0$((RANDOM % 90 + 10))"
    kill -9 "$pid" 2> /dev/null || true
    wait "$pid" 2> /dev/null || true
  done
  run firn store check --contents
  expect_status 0
  expect_out_has '0 problems'
  run firn eval -f x.nix --strict --arg n 5
  expect_status 0
  expect_out_has '[ 0 1 2 3 "/nix/store/'
}

test_unpack() {
  cli_setup
  make_tree
  run firn store add --name source tree
  want=$out
  for filter in --gzip --xz --zstd --bzip2; do
    tar $filter -cf t.tar tree
    run firn store add --unpack t.tar
    expect_out "$want"
  done
  run sh -c 'firn store add --unpack - < t.tar'
  expect_out "$want"
  head -c 100 t.tar > cut.tar
  run firn store add --unpack cut.tar
  expect_status 1
  expect_err_has 'unpacking an archive'
}

test_du() {
  cli_setup
  cat > x.nix <<END
let $sh_nix in rec { a = sh "a" "echo aaaa > \$out"; b = sh "b" "echo \${a} > \$out"; c = sh "c" "echo \${a} > \$out; echo c >> \$out"; }
END
  run nix-build x.nix -A b -o b
  run nix-build x.nix -A c -o c
  firn store add x.nix > /dev/null
  run firn store du --json
  expect_status 0
  # b and c refer to a, and differ; the derivations are kept by nothing that is a root.
  expect_out_has '"sharedBytes":5'
  expect_out_has '"ownBytes":46'
  expect_out_has '"ownBytes":48'
  run firn store du
  expect_out_has '/b -> /nix/store/'
}

test_collect_garbage() {
  cli_setup
  profile=$HOME/store/var/nix/profiles/test
  mkdir -p "$(dirname "$profile")"
  for i in 1 2 3; do
    echo $i > f
    ln -s "$HOME/store/store/$(basename "$(nix-store --add f)")" "$profile-$i-link"
  done
  ln -s test-3-link "$profile"
  touch -h -d '40 days ago' "$profile-1-link"
  touch -h -d '30 days ago' "$profile-2-link"
  run nix-collect-garbage --delete-older-than 20d --dry-run
  expect_err_has 'would remove profile version 1'
  run nix-collect-garbage --delete-older-than 20d
  expect_err_has 'removing profile version 1'
  expect_out_has '1 store paths deleted'
  [ -L "$profile-2-link" ] || fail 'the generation of that time is gone'
  run firn store gc -d
  expect_err_has 'removing profile version 2'
  expect_out_has '1 store paths deleted'
  run nix-collect-garbage --delete-older-than 3
  expect_status 1
  expect_err_has "expected something like '14d'"
}

test_copy_and_signatures() {
  cli_setup
  cat > x.nix <<END
let $sh_nix in rec { a = sh "a" "echo aaaa > \$out"; b = sh "b" "echo \${a} > \$out"; }
END
  run nix-build x.nix -A b --no-out-link
  b=$out
  nix key generate-secret --key-name k > k
  key=$(nix key convert-secret-to-public < k)
  run nix copy --to "file://$HOME/cache?compression=zstd&secret-key=$PWD/k" "$b"
  expect_status 0
  run nix copy --from "file://$HOME/cache" --store "firn:$HOME/other" "$b"
  expect_status 1
  expect_err_has 'lacks a signature by a trusted key'
  run nix copy --from "file://$HOME/cache" --store "firn:$HOME/other" --option trusted-public-keys "$key" "$b"
  expect_status 0
  run nix store verify --store "firn:$HOME/other" -r "$b"
  expect_status 2
  run nix store verify --store "firn:$HOME/other" --option trusted-public-keys "$key" -r "$b"
  expect_status 0
  run nix copy --to "firn:$HOME/third" "$b"
  expect_status 1
  expect_err_has 'lacks a signature by a trusted key'
  run nix copy --no-check-sigs --to "firn:$HOME/third" "$b"
  expect_status 0
  run nix-store --store "firn:$HOME/third" -qR "$b"
  expect_equal "$(printf '%s\n' "$out" | wc -l)" 2
  nix store sign -k k -r --store "firn:$HOME/third" "$b"
  run nix path-info --store "firn:$HOME/third" --sigs "$b"
  expect_out_has 'k:'
  echo damaged > other
  chmod u+w "$HOME/third/store/$(basename "$b")"
  cat other > "$HOME/third/store/$(basename "$b")"
  run nix store verify --store "firn:$HOME/third" --no-trust "$b"
  expect_status 1
  run nix store diff-closures "$b" "$b"
  expect_out ''
}

test_nars() {
  cli_setup
  make_tree
  nix nar dump-path tree > t.nar
  run nix nar ls t.nar /
  expect_out './a
./link
./sub'
  run nix nar ls -lR t.nar /sub
  expect_out '-r-xr-xr-x                    4 ./b'
  run nix nar ls --json -R t.nar /sub
  expect_out '{"entries":{"b":{"executable":true,"narOffset":784,"size":4,"type":"regular"}},"type":"directory"}'
  run nix nar cat t.nar /sub/b
  expect_out two
  run nix nar cat t.nar /sub
  expect_status 1
  expect_err_has 'is not a regular file'
}

test_damaged_stores() {
  cli_setup
  echo x > f
  path=$(firn store add f)
  rm -f store/var/firn/db.sqlite-*
  cp "$HOME/store/var/firn/db.sqlite" good
  head -c 8192 /dev/urandom > "$HOME/store/var/firn/db.sqlite"
  run firn store add f
  expect_status 1
  expect_err_has 'file is not a database'
  cp good "$HOME/store/var/firn/db.sqlite"
  for pack in "$HOME"/store/var/firn/packs/*.pack; do truncate -s 100 "$pack"; done
  run firn store cat "$path"
  expect_status 1
  expect_err_has 'is cut off'
  run firn store check
  expect_status 1
  expect_out_has '1 problems'
  # What can be added again is whole again.
  rm "$HOME"/store/var/firn/packs/*.pack
  run firn store check --repair
  expect_status 1
}

test_stores_that_cannot_be_written() {
  cli_setup
  [ "$(id -u)" = 0 ] || skip 'mounting needs root'
  mkdir ro
  mount -t tmpfs -o size=3m tmpfs ro || skip 'no tmpfs can be mounted here'
  trap 'umount -l ro' EXIT
  echo x > f
  export NIX_REMOTE=firn:$PWD/ro/s
  path=$(firn store add f)
  mount -o remount,ro ro
  echo y > g
  run firn store add g
  expect_status 1
  expect_err_has 'is read-only'
  run nix-store -q --references "$path"
  expect_status 0
  run firn store cat "$path"
  expect_out x
}

test_what_is_alive_stays() {
  cli_setup
  cat > x.nix <<END
let $sh_nix a = sh "a" "echo text > \$out"; b = sh "b" "echo \${a} > \$out"; in { inherit a b; }
END
  b=$(nix-build x.nix -A b 2> /dev/null)
  a=$(nix-store -q --references "$b")
  run nix-store --delete "$a"
  expect_status 1
  expect_err_has "Cannot delete path '$a' since it is still alive"
  expect_out '0 store paths deleted, 0.00 MiB freed'
  run nix store delete "$a"
  expect_status 1
  run firn store why-alive "$a"
  expect_status 0
  expect_out "$PWD/result
└───$b
    └───$a"
  run firn store why-alive --json "$a"
  expect_out "{\"$a\":{\"chain\":[\"$b\",\"$a\"],\"root\":\"$PWD/result\"}}"
  run nix-store -q --roots "$a"
  expect_out "$PWD/result -> $b"
  rm result
  run firn store why-alive "$a"
  expect_status 1
  expect_out_has 'nothing keeps'
  run nix-store --gc --max-freed 1M
  expect_status 0
  run nix-store --gc --max-freed 1x
  expect_status 1
  expect_err_has "invalid unit specifier 'X'"
}

# Found by store_export_fuzz.
test_a_hash_part_belongs_to_one_name() {
  cli_setup
  echo one > one
  p=$(nix-store --add one)
  nix-store --export "$p" | sed 's/-one/-two/' > e
  run sh -c 'nix-store --import < e'
  expect_status 1
  expect_err_has "has the hash part of the valid path"
  expect_out ''
}

test_operands_of_path_commands() {
  cli_setup
  cat > x.nix <<END
let $sh_nix in { a = sh "a" "echo text > \$out"; c = derivation { name = "c"; system = builtins.currentSystem; builder = "/bin/sh"; outputs = [ "out" "dev" ]; args = [ "-c" "echo o > \$out; echo d > \$dev" ]; }; }
END
  a=$(nix-build --no-out-link x.nix -A a 2> /dev/null)
  dev=$(nix-build --no-out-link x.nix -A c.dev 2> /dev/null)
  c_drv=$(nix-store -qd "$dev")
  run nix path-info -f x.nix a c^dev
  expect_equal "$(printf '%s\n' "$a" "$dev" | sort)" "$(sort <<< "$out")"
  run nix path-info "$c_drv^dev"
  expect_out "$dev"
  run nix path-info --derivation "$dev"
  expect_out "$c_drv"
  run sh -c "echo $a | nix path-info --stdin"
  expect_out "$a"
  run sh -c "echo $a | nix copy --no-check-sigs --stdin --to '$PWD/elsewhere' --out-link link"
  expect_status 0
  expect_equal "$(cat link)" text
  run nix path-info --all "$a"
  expect_status 1
  run nix store path-from-hash-part "$(basename "$a" | cut -c1-32)"
  expect_out "$a"
  run nix store diff-closures -f x.nix a c
  expect_status 1
  expect_err_has "argument 'c' should evaluate to one store path"
  run nix derivation show "$c_drv"
  sed -e 1d -e '$d' -e 's|^  "[^"]*": {|{|' <<< "$out" > c.json
  run sh -c 'nix derivation add < c.json'
  expect_out "$c_drv"
  sed 's/echo o/echo p/' c.json > d.json
  run sh -c 'nix derivation add < d.json'
  expect_status 1
  expect_err_has 'has incorrect output'
}

test_binary_caches_as_stores() {
  cli_setup
  mkdir -p tree/sub
  head -c 300000 /dev/zero > tree/sub/big
  echo one > tree/a
  p=$(nix-store --add tree)
  url="file://$HOME/cache"
  run nix copy --to "$url?write-nar-listing=1&index-debug-info=true&parallel-compression=true" "$p"
  expect_status 0
  run nix path-info --store "$url" -s "$p"
  expect_status 0
  run nix store ls --store "$url" -R "$p"
  expect_out './a
./sub
./sub/big'
  run nix store cat --store "$url" "$p/a"
  expect_out one
  run nix store verify --store "$url" "$p"
  expect_status 0
  run nix path-info --store "$url" --all
  expect_out "$p"
  run nix copy --from "$url" --to "file://$HOME/second?compression=zstd" "$p"
  expect_status 0
  expect_equal "$(nix store dump-path "$p" | sha256sum)" "$(nix store dump-path --store "file://$HOME/second" "$p" | sha256sum)"
  # What is no longer what its description says is found.
  nar=$(ls "$HOME"/cache/nar/*)
  chmod u+w "$nar"
  nix-store --dump tree/a | xz > "$nar"
  run nix store verify --store "$url" "$p"
  expect_status 1
  run nix copy --from "$url" --to "firn:$HOME/other" "$p"
  expect_status 102
}

test_special_files() {
  cli_setup
  mkdir -p "$HOME/special/sub"
  cd "$HOME"
  mkfifo special/sub/pipe
  python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('special/sock')"
  for command in "nix-store --add" "nix-store --dump" nix-hash "nix store add" "nix nar pack" "nix hash path"; do
    for file in sock sub/pipe; do
      run $command "special/$file"
      expect_status 1
      expect_err_has "error: file '$HOME/special/$file' has an unsupported type"
      expect_out ''
    done
    run $command special
    expect_status 1
    expect_err_has "has an unsupported type"
    run $command nope
    expect_status 1
    expect_err_has "path '$HOME/nope' does not exist"
  done
  run nix-store --verify --check-contents
  expect_status 0
}

test_register_validity() {
  cli_setup
  cd "$HOME"
  echo one > a
  echo two > b
  a=$(nix-store --add a)
  b=$(nix-store --add b)
  hash=$(nix-store -q --hash "$a")
  on_disk=$HOME/store/store/$(basename "$a")
  chmod u+w "$on_disk"
  rm "$on_disk"
  echo changed > "$on_disk"
  # What is valid stays as it was known.
  printf '%s\n' "$a" '' 1 "$b" | nix-store --register-validity
  expect_equal "$(nix-store -q --hash "$a") $(nix-store -q --references "$a")" "$hash "
  printf '%s\n' "$a" '' 1 "$b" | nix-store --register-validity --reregister
  [ "$(nix-store -q --hash "$a")" != "$hash" ] || fail "the hash is the old one"
  expect_equal "$(nix-store -q --references "$a")" "$b"
  expect_equal "$(nix-store -q --referrers "$b")" "$a"
  expect_equal "$(nix-store --dump "$on_disk" | sha256sum | cut -c1-64)" "$(nix-hash --to-base16 --type sha256 "$(nix-store -q --hash "$a" | cut -d: -f2)")"
  printf '%s\n' "$a" '' 0 | nix-store --register-validity --reregister
  expect_equal "$(nix-store -q --references "$a")" ""
  nix-store --gc --max-freed 0
  run nix-store --verify --check-contents
  expect_status 0
  run nix-store --check-validity "$a"
  expect_status 0
  printf '%s\n' "$a" '' 1 /nix/store/00000000000000000000000000000000-nope > entry
  run sh -c "nix-store --register-validity --reregister < entry"
  expect_status 1
  expect_err_has "which is not valid"
}

run_tests
