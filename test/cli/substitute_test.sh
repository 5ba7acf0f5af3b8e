# Fetching from binary caches instead of building.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

# A cache in ./cache, signed, with the closure of c: a <- b <- c; `u` uses c and is in no cache.
cache_setup() {
  cli_setup
  cd "$HOME"
  export XDG_CACHE_HOME="$HOME/cache-dir"
  cat > x.nix <<'END'
let sh = name: s: derivation { inherit name; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" s ]; };
in rec {
  a = sh "a" "mkdir $out; seq 1 5000 > $out/a";
  b = sh "b" "mkdir $out; echo ${a} > $out/b; echo $out > $out/self";
  c = derivation { name = "c"; system = builtins.currentSystem; builder = "/bin/sh"; outputs = [ "out" "dev" ];
    args = [ "-c" "echo ${b} > $out; echo ${a} > $dev" ]; };
  u = sh "u" "cat ${c} > $out";
  local = derivation { name = "local"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo 1 > $out" ]; allowSubstitutes = false; };
}
END
  nix-store --generate-binary-cache-key test-1 secret public
  paths=$(cpp_nix nix-build --no-out-link x.nix -A c -A c.dev -A local 2> cpp.log) || fail "C++ Nix cannot build: $(cat cpp.log)"
  cpp_nix nix --extra-experimental-features nix-command copy --to "file://$HOME/cache?compression=${1:-xz}&secret-key=$HOME/secret" \
    $paths > cpp.log 2>&1 || fail "C++ Nix cannot copy: $(cat cpp.log)"
  export NIX_CONFIG="trusted-public-keys = $(cat public)"
}

fetch() { # ARG...
  run nix-build --no-out-link x.nix --option substituters "${cache:-file://$HOME/cache}" "$@"
}

expect_nothing_built() {
  case $err in *"building '"*) fail "something was built: $err" ;; esac
}

test_fetched_instead_of_built() {
  for compression in xz zstd none; do
    rm -rf store cache cpp
    cache_setup $compression
    fetch -A c -A c.dev
    expect_status 0
    expect_equal "$out" "$(printf '%s\n' "$paths" | head -2)"
    expect_nothing_built
    expect_err_has "these 4 paths will be fetched ("
    expect_err_has "copying path '$(printf '%s\n' "$paths" | head -1)' from 'file://$HOME/cache'..."
    run nix-store --verify --check-contents
    expect_status 0
    run nix-store -q --references "$(printf '%s\n' "$paths" | head -1)"
    expect_out_has -b
    fetch -A u
    expect_status 0
    expect_err_has "building '"
  done
}

test_the_plan_and_what_is_not_allowed() {
  cache_setup
  fetch --dry-run -A u
  expect_err_has "this derivation will be built:"
  expect_err_has "these 3 paths will be fetched ("
  fetch -A local
  expect_status 0
  expect_err_has "building '"
  fetch -A b --option substitute false
  expect_err_has "building '"
}

test_realising_a_bare_path() {
  cache_setup
  path=$(printf '%s\n' "$paths" | head -1)
  run nix-store --realise "$path" --option substituters "file://$HOME/cache"
  expect_status 0
  expect_equal "$out" "$path"
  run nix-store --realise /nix/store/00000000000000000000000000000000-x --option substituters "file://$HOME/cache"
  expect_status 1
  expect_err_has "path '/nix/store/00000000000000000000000000000000-x' does not exist and cannot be created"
}

test_reading_during_evaluation_fetches() {
  cache_setup
  run nix-instantiate --eval -E 'builtins.readFile (import ./x.nix).c' --option substituters "file://$HOME/cache"
  expect_status 0
  expect_nothing_built
}

test_unsigned_paths_are_passed_over() {
  cache_setup
  export NIX_CONFIG=
  fetch -A b
  expect_status 0
  expect_err_has "ignoring substitute for '"
  expect_err_has "as it's not signed by any of the keys in 'trusted-public-keys'"
  expect_err_has "building '"
  rm -rf store
  cache="file://$HOME/cache?trusted=1"
  fetch -A b
  expect_nothing_built
  rm -rf store
  cache=
  fetch -A b --option require-sigs false
  expect_nothing_built
}

# What a cache says must not be believed: nothing of this is registered.
test_hostile_caches() {
  cache_setup none
  cp -R cache good
  for f in cache/nar/*; do truncate -s 100 "$f"; done
  fetch -A b
  expect_status 1
  expect_err_has "unexpected end"
  expect_err_has "some substitutes for the outputs of derivation"
  expect_err_has "'--fallback'"
  rm -rf cache
  cp -R good cache
  for f in cache/nar/*; do sed -i s/1999/2999/ "$f"; done
  fetch -A b
  expect_status 1
  expect_err_has "hash mismatch importing path"
  # The next cache has it as it should be.
  cache="file://$HOME/cache?priority=1 file://$HOME/good?priority=2"
  fetch -A b
  expect_status 0
  expect_nothing_built
  expect_err_has "asking the next cache"
  rm -rf store
  cache=
  fetch -A b --fallback
  expect_status 0
  expect_err_has "building '"
  run nix-store --verify --check-contents
  expect_status 0
  rm -rf cache store
  cp -R good cache
  sed -i 's/^References:.*/References: 00000000000000000000000000000000-evil/' cache/*.narinfo # the signature covers them
  fetch -A b
  expect_err_has "ignoring substitute for"
  printf 'StoreDir: /gnu/store\n' > cache/nix-cache-info
  fetch -A b
  expect_status 0 # it is there by now
  rm -rf store
  fetch -A b
  expect_status 0 # built instead
  expect_err_has "is for Nix stores with prefix '/gnu/store', not '/nix/store'"
}

serve() { # DIRECTORY: sets port and server
  python3 - "$1" > port.txt 2> server.log <<'END' &
import functools, http.server, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=sys.argv[1]))
print(server.server_address[1], flush=True)
server.serve_forever()
END
  server=$!
  for _ in $(seq 100); do
    [ -s port.txt ] && break
    sleep 0.05
  done
  port=$(cat port.txt)
}

test_over_http() {
  cache_setup
  serve "$HOME/cache"
  cache="http://127.0.0.1:$port"
  fetch -A c -A u
  expect_status 0
  expect_err_has "copying path '"
  [ "$(grep -c 'GET /.*narinfo' server.log)" = 4 ] || fail "each description is asked for once: $(cat server.log)"
  # What the server has answered is remembered, also that it has no u.
  rm -rf store
  fetch -A c -A u
  expect_status 0
  [ "$(grep -c 'GET /.*narinfo' server.log)" = 4 ] || fail "descriptions were asked for again: $(cat server.log)"
  kill $server
  wait $server 2> /dev/null || true
  rm -rf store cache-dir
  fetch -A c --option download-attempts 1
  expect_status 0
  expect_err_has "unable to download 'http://127.0.0.1:$port/nix-cache-info'"
  expect_err_has "building '"
}

hang() { # a server that never finishes: sets port and server
  python3 - > port.txt <<'END' &
import http.server, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(b"StoreDir"); self.wfile.flush()
        time.sleep(60)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_address[1], flush=True)
server.serve_forever()
END
  server=$!
  for _ in $(seq 100); do
    [ -s port.txt ] && break
    sleep 0.05
  done
  port=$(cat port.txt)
}

expect_interrupted() { # COMMAND...: ends soon after Ctrl-C, and leaves nothing that talks to the server
  "$@" > out.txt 2>&1 &
  local build=$! start code=0
  sleep 1
  start=$(date +%s%N)
  kill -INT $build
  wait $build || code=$?
  [ $(($(date +%s%N) - start)) -lt 3000000000 ] || fail "it took too long to stop"
  [ $code -ne 0 ] || fail "it did not fail: $(cat out.txt)"
  for arguments in /proc/[0-9]*/cmdline; do
    case $(tr '\0' ' ' < "$arguments" 2> /dev/null) in *curl*"127.0.0.1:$port"*) fail "a download goes on" ;; esac
  done
  kill $server
}

# A download that never ends does not outlive Ctrl-C.
test_an_interrupted_substitution() {
  cache_setup
  hang
  expect_interrupted firn build --no-out-link -f x.nix -A b --option substituters "http://127.0.0.1:$port"
}

test_an_interrupted_builtin_fetch() {
  cache_setup
  hang
  cat > fetch.nix <<END
derivation { name = "f"; builder = "builtin:fetchurl"; system = "builtin"; url = "http://127.0.0.1:$port/x"; outputHashMode = "flat";
  outputHashAlgo = "sha256"; outputHash = "0000000000000000000000000000000000000000000000000000"; }
END
  expect_interrupted firn build --no-out-link -f fetch.nix
}
test_the_default_cache() {
  cli_setup
  run nix config show substituters
  expect_out ''
  unset NIX_USER_CONF_FILES
  run nix config show substituters
  expect_out https://cache.nixos.org/
  # It could not be reached a moment ago, so nobody tries.
  mkdir -p "$XDG_CACHE_HOME/firn"
  touch "$XDG_CACHE_HOME/firn/unreachable"
  echo "let $sh_nix in sh \"x\" \"echo > \\\$out\"" > x.nix
  run nix-build --no-out-link x.nix
  expect_status 0
  case $err in *cache.nixos.org*) show_run; fail "the cache was asked" ;; esac
}

run_tests
