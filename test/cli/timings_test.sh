# --timings and --trace: reports on when what was built.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

test_reports_are_written() {
  cli_setup
  cat > x.nix <<END
let $sh_nix a = sh "first" "echo > \$out"; in sh "second" "cat \${a} > \$out"
END
  run firn build -f x.nix --no-out-link --timings page.html --trace trace.json
  expect_status 0
  grep -q '<td>second</td>' page.html || fail "the page lacks a build: $(cat page.html)"
  grep -q 'Critical path' page.html || fail "the page lacks the critical path"
  grep -q '"name":"first","cat":"critical"' trace.json || fail "the trace lacks a build: $(cat trace.json)"
}

test_a_report_that_cannot_be_written() {
  cli_setup
  cat > x.nix <<END
let $sh_nix in sh "one" "echo > \$out"
END
  run firn build -f x.nix --no-out-link --trace /does/not/exist/trace.json
  expect_err_has "cannot write '/does/not/exist/trace.json'"
}

run_tests
