# What firn writes C++ Nix reads, and the reverse: binary caches, signatures, export streams, listings, logs. Needs a C++ Nix.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

setup() {
  cli_setup
  cat > x.nix <<END
let $sh_nix a = sh "a" "echo text > \$out"; b = sh "b" "echo said; echo \${a} > \$out"; in { inherit a b; }
END
  a=$(nix-build --no-out-link x.nix -A a 2> /dev/null)
  b=$(nix-build --no-out-link x.nix -A b 2> /dev/null)
  mkdir -p tree/sub
  head -c 200000 /dev/zero > tree/sub/big
  echo one > tree/a
  chmod +x tree/a
  ln -s sub/big tree/link
  tree=$(nix-store --add tree)
  nix-store --generate-binary-cache-key test-1 sk pk
}

cpp() { # ARG...: C++ Nix's `nix`
  cpp_nix nix --extra-experimental-features nix-command "$@"
}

forget_cpp() {
  [ -e "$HOME/cpp" ] || return 0
  chmod -R u+w "$HOME/cpp"
  rm -rf "$HOME/cpp"
}

test_our_caches_are_read() {
  setup
  for compression in none xz zstd bzip2; do
    cache="file://$HOME/cache-$compression"
    run nix copy --to "$cache?compression=$compression&secret-key=$PWD/sk&write-nar-listing=true" "$b" "$tree"
    expect_status 0
    forget_cpp
    run cpp copy --from "$cache" "$b" "$tree" --option trusted-public-keys ''
    expect_status 1
    run cpp copy --from "$cache" "$b" "$tree" --option trusted-public-keys "$(cat pk)"
    expect_status 0
    run cpp_nix nix-store -q --hash "$b" "$tree" "$a"
    theirs=$out
    run nix-store -q --hash "$b" "$tree" "$a"
    expect_out "$theirs"
    run cpp_nix nix-store --verify-path "$b" "$tree" "$a"
    expect_status 0
    run cpp_nix nix-store -qR "$b"
    expect_out "$a
$b"
  done
}

test_their_caches_are_read() {
  setup
  for compression in none xz zstd bzip2; do
    cache="file://$HOME/cache-$compression"
    run cpp_nix nix-build --no-out-link x.nix -A b
    expect_status 0
    run cpp copy --to "$cache?compression=$compression&secret-key=$PWD/sk&write-nar-listing=true" "$b"
    expect_status 0
    run nix copy --from "$cache" --to "firn:$HOME/to-$compression" "$b" --trusted-public-keys ''
    expect_status 1
    expect_err_has 'lacks a signature by a trusted key'
    run nix copy --from "$cache" --to "firn:$HOME/to-$compression" "$b" --trusted-public-keys "$(cat pk)"
    expect_status 0
    run nix store verify -r -n 1 --store "firn:$HOME/to-$compression" "$b" --trusted-public-keys "$(cat pk)"
    expect_status 0
    run nix store verify -r --store "$cache" "$b" --trusted-public-keys "$(cat pk)"
    expect_status 0
  done
}

test_caches_are_the_same() {
  setup
  run cpp_nix nix-store --add tree
  expect_out "$tree"
  run cpp copy --to "file://$HOME/theirs?compression=none&secret-key=$PWD/sk&write-nar-listing=true" "$tree"
  run nix copy --to "file://$HOME/ours?compression=none&secret-key=$PWD/sk&write-nar-listing=true" "$tree"
  expect_status 0
  hash=$(basename "$tree" | cut -c1-32)
  run diff "$HOME/theirs/nix-cache-info" "$HOME/ours/nix-cache-info"
  expect_out ''
  run diff "$HOME/theirs/$hash.narinfo" "$HOME/ours/$hash.narinfo"
  expect_out ''
  # Nix 2.8 writes the members in another order than 2.26 does, which we follow.
  run diff <(python3 -m json.tool --sort-keys "$HOME/theirs/$hash.ls") <(python3 -m json.tool --sort-keys "$HOME/ours/$hash.ls")
  expect_out ''
  run diff -r "$HOME/theirs/nar" "$HOME/ours/nar"
  expect_status 0
}

test_export_and_import() {
  setup
  nix-store --export $(nix-store -qR "$b") "$tree" > ours
  run sh -c "NIX_REMOTE='local?root=$HOME/cpp' /usr/bin/nix-store --import --option build-users-group '' < ours"
  expect_status 0
  run cpp_nix nix-store --verify-path "$a" "$b" "$tree"
  expect_status 0
  cpp_nix nix-store --export "$a" "$b" "$tree" > theirs
  run cmp ours theirs
  expect_status 0
  run sh -c "nix-store --store 'firn:$HOME/second' --import < theirs"
  expect_status 0
  run nix-store --store "firn:$HOME/second" --verify-path "$a" "$b" "$tree"
  expect_status 0
  run nix-store --store "firn:$HOME/second" -q --references "$b"
  expect_out "$a"
}

test_signatures_of_stores() {
  setup
  run nix store sign -r -k sk "$b"
  expect_status 0
  run nix copy --to "file://$HOME/cache" "$b"
  run cpp copy --from "file://$HOME/cache" "$b" --option trusted-public-keys "$(cat pk)"
  expect_status 0
  run cpp store verify -r -n 1 "$b" --option trusted-public-keys "$(cat pk)"
  expect_status 0
}

test_logs() {
  setup
  b_drv=$(nix-store -qd "$b")
  run nix store copy-log --to "file://$HOME/cache" "$b_drv"
  expect_status 0
  run cat "$HOME/cache/log/$(basename "$b_drv")"
  expect_out said
  run cpp_nix nix-build --no-out-link x.nix -A b
  run cpp store copy-log --to "file://$HOME/theirs" "$b_drv"
  run nix log --store "file://$HOME/theirs" "$b_drv"
  expect_out said
}


# C++ Nix speaks to "localhost" without ssh.
test_serve() {
  setup
  ours="ssh://localhost?remote-program=$(command -v nix-store)&remote-store=firn:$HOME/served"
  run cpp_nix nix-build --no-out-link x.nix -A b
  expect_status 0
  run cpp copy --no-check-sigs --to "$ours" "$b"
  expect_status 0
  run nix-store --store "firn:$HOME/served" --verify-path "$a" "$b"
  expect_status 0
  run nix-store --store "firn:$HOME/served" -q --references "$b"
  expect_out "$a"
  # And back.
  NIX_REMOTE="firn:$HOME/served" run nix-store --add tree
  expect_out "$tree"
  run cpp copy --no-check-sigs --from "$ours" "$tree"
  expect_status 0
  run cpp_nix nix-store --verify-path "$tree"
  expect_status 0
  run cpp path-info --store "$ours" -rs "$b"
  expect_out_has "$a"
  # A build over there.
  cat > y.nix <<END
derivation { name = "y"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo built > \$out" ]; }
END
  y_drv=$(nix-instantiate y.nix)
  cat > client.py <<'END'
import struct, sys
def u64(n): return struct.pack("<Q", n)
def text(s): return u64(len(s)) + s.encode() + b"\0" * (-len(s) % 8)
sys.stdout.buffer.write(u64(0x390c9deb) + u64(0x207) + u64(6) + u64(1) + text(sys.argv[1]) + u64(0) * 2 + u64(1 << 20) + u64(0) * 3)
END
  run sh -c "python3 client.py $y_drv | nix-store --serve --write | od -A n -t d8 -v"
  expect_out '           1414721227                  519
                    0'
  run nix store cat "$(nix-store -q "$y_drv")"
  expect_out built
  # Nothing is written without --write.
  run sh -c "printf '\\353\\235\\014\\071\\0\\0\\0\\0\\007\\002\\0\\0\\0\\0\\0\\0\\004\\0\\0\\0\\0\\0\\0\\0' | nix-store --serve"
  expect_status 1
  expect_err_has 'importing paths is not allowed'
  run sh -c "echo nonsense | nix-store --serve"
  expect_status 1
}

run_tests
