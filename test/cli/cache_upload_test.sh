# Writing binary caches: on servers, at file:/x, with keys; and paths that are made content-addressed.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

upload_setup() {
  cli_setup
  cd "$HOME"
  export NIX_CONFIG="experimental-features = nix-command"
  cat > x.nix <<END
let $sh_nix in rec { a = sh "a" "echo aaaa > \$out"; b = sh "b" "mkdir \$out; echo \${a} \$out > \$out/b"; }
END
  b=$(nix-build x.nix -A b --no-out-link)
}

serve_www() {
  mkdir -p www
  python3 "$FIRN_TEST_SOURCE_DIR/cli/http_server.py" www port &
  server=$!
  trap 'kill "$server" 2> /dev/null' EXIT
  for _ in $(seq 100); do [ -s port ] && break; sleep 0.05; done
  url=http://127.0.0.1:$(cat port)
}

test_upload() {
  upload_setup
  serve_www
  nix key generate-secret --key-name k > k
  key=$(nix key convert-secret-to-public < k)
  run nix copy --to "$url?compression=zstd&secret-key=$HOME/k&write-nar-listing=true" "$b"
  expect_status 0
  expect_err_has "to '$url'..."
  run ls www
  expect_out_has nix-cache-info
  expect_equal "$(ls www/*.narinfo | wc -l) $(ls www/*.ls | wc -l) $(ls www/nar/*.nar.zst | wc -l)" "2 2 2"
  for type in "/nix-cache-info text/x-nix-cache-info" "nar.zst application/x-nix-nar" "narinfo text/x-nix-narinfo" "ls application/json"; do
    grep -q "^PUT .*$type$" www/requests || fail "no $type: $(cat www/requests)"
  done
  # The description is the last.
  run tail -n 1 www/requests
  expect_out_has .narinfo
  run nix copy --from "$url" --store "firn:$HOME/other" --option trusted-public-keys "$key" "$b"
  expect_status 0
  expect_equal "$(nix-store --dump "store/store/$(basename "$b")" | sha256sum)" "$(nix-store --dump "other/store/$(basename "$b")" | sha256sum)"
  # What is there is not sent again.
  rm www/requests
  run nix copy --to "$url" "$b"
  expect_status 0
  ! grep -q PUT www/requests || fail "sent again: $(cat www/requests)"
  # A log, too.
  run nix store copy-log --to "$url" "$(nix-store -qd "$b")"
  [ "$status" = 0 ] || expect_err_has "is not available"
}

test_servers_that_refuse() {
  upload_setup
  serve_www
  run nix copy --to "$url/refused" "$b"
  expect_status 1
  expect_err_has "while uploading to HTTP binary cache at '$url/refused': unable to upload '$url/refused/nix-cache-info': HTTP error 403"
  run nix copy --to "$url/flaky" "$b"
  expect_status 0
  run nix path-info --store "$url" "$b"
  expect_status 0
}

test_urls_of_directories() {
  upload_setup
  run nix copy --to "file:$HOME/cache" "$b"
  expect_status 0
  expect_err_has "to 'file://$HOME/cache'..."
  run nix path-info --store "file:$HOME/cache" -r "$b"
  expect_status 0
  for level in 1 9; do
    run nix copy --to "file://$HOME/cache$level?compression=xz&compression-level=$level" "$b"
    expect_status 0
  done
  run nix copy --to "file://$HOME/cache?compression-level=99" "$b"
  expect_status 1
  expect_err_has "setting 'compression-level' has invalid value '99'"
  run nix copy --to "file://$HOME/cache?no-such=1" "$b"
  expect_status 0
  expect_err_has "unknown setting 'no-such'"
}

test_builds_are_signed() {
  upload_setup
  nix key generate-secret --key-name k-1 > k
  key=$(nix key convert-secret-to-public < k)
  b=$(nix-build x.nix -A b --no-out-link --store "firn:$HOME/signed" --option secret-key-files "$HOME/k")
  run nix path-info --store "firn:$HOME/signed" --sigs "$b"
  expect_out_has " k-1:"
  run nix store verify --store "firn:$HOME/signed" -r --sigs-needed 1 --option trusted-public-keys "$key" "$b"
  expect_status 0
  run nix-build x.nix -A b --no-out-link --store "firn:$HOME/none" --option secret-key-files "$HOME/nope"
  expect_status 1
  expect_err_has "'$HOME/nope'"
}

test_make_content_addressed() {
  upload_setup
  run nix store make-content-addressed --json -r "$b"
  expect_status 0
  made=$(printf '%s' "$out" | sed 's/.*"\([^"]*-b\)".*/\1/')
  run nix path-info --json "$made"
  expect_out_has '"ca":"fixed:r:sha256:'
  run nix store verify -r --sigs-needed 1 "$made" # which they do not need
  expect_status 0
  run nix-store -q --references "$made"
  expect_out_has "$made"
  expect_equal "$(cat "store/store/$(basename "$made")/b")" "$(nix-store -q --references "$made" | grep -v b\$) $made"
  # The same again is the same; elsewhere, too, without trust in anybody.
  run nix store make-content-addressed --json --to "firn:$HOME/other" "$made"
  expect_out_has "\"$made\":\"$made\""
  run nix store make-content-addressed --to "file://$HOME/cache" "$b"
  expect_status 0
  run nix copy --from "file://$HOME/cache" --store "firn:$HOME/third" "$made"
  expect_status 0
}

# A cache that nobody trusts: content-addressed paths need no signature, so that their contents have to be what they claim.
test_false_content_addresses() {
  upload_setup
  mkdir tree
  echo good > good
  echo evil > evil
  echo good > tree/good
  text=$(firn eval --raw -E 'builtins.toFile "text" "good"')
  for path in "$(nix-store --add good)" "$(nix-store --add-fixed sha256 good)" "$(nix-store --add-fixed --recursive sha1 tree)" \
    "$(nix store make-content-addressed --json "$b" | sed 's/.*"\([^"]*-b\)".*/\1/')"; do
    rm -rf cache other
    nix copy --to "file://$HOME/cache" "$path"
    run nix copy --from "file://$HOME/cache" --store "firn:$HOME/other" "$path"
    expect_status 0
    rm -rf other
    evil=$(nix-store --add evil)
    nix copy --to "file://$HOME/cache" "$evil"
    info=$(echo "cache/$(basename "$path" | cut -c1-32).narinfo")
    grep -vE '^(URL|FileHash|FileSize|NarHash|NarSize)' "$info" > kept
    grep -E '^(URL|FileHash|FileSize|NarHash|NarSize)' "cache/$(basename "$evil" | cut -c1-32).narinfo" | cat kept - > "$info"
    run nix copy --from "file://$HOME/cache" --store "firn:$HOME/other" "$path"
    expect_status 102
    case $err in *"ca hash mismatch importing path '$path'"* | *"is not the regular file that it claims to be"*) ;; *) fail "not found out: $err" ;; esac
    run nix-store --store "firn:$HOME/other" --check-validity "$path"
    expect_status 1
    # Nor does a content address help that does not lead to the path.
    sed -i 's/^CA: .*/CA: fixed:r:sha256:0000000000000000000000000000000000000000000000000000/' "$info"
    run nix copy --from "file://$HOME/cache" --store "firn:$HOME/other" "$path"
    expect_status 1
    expect_err_has "lacks a signature by a trusted key"
  done
  [ -n "$text" ] || fail "no text"
}

run_tests
