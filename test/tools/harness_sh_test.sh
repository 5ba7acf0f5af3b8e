# The harness of the shell tests itself: a failing command, expectation or skip comes out as TAP says.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"

write_script() {
  { echo '. "$FIRN_TEST_SOURCE_DIR/harness.sh"'; cat; echo run_tests; } > script.sh
}

test_results() {
  write_script <<'END'
test_b_passes() { run true; expect_status 0; }
test_a_stops_at_the_first_bad_command() { false; true; }
test_expectation() { run echo hello; expect_out 'good bye'; }
test_skipped() { skip 'no moon tonight'; }
END
  run bash script.sh
  expect_status 1
  expect_out_has '1..4'
  expect_out_has 'ok 1 - b_passes'
  expect_out_has 'not ok 2 - a_stops_at_the_first_bad_command'
  expect_out_has 'not ok 3 - expectation'
  expect_out_has '# standard output: hello'
  expect_out_has 'ok 4 - skipped # SKIP no moon tonight'
}

test_isolation() {
  write_script <<'END'
test_one() { touch here; x=1; [ "$HOME" = "$PWD/home" ]; }
test_two() { [ ! -e here ]; [ -z "${x:-}" ]; }
END
  run bash script.sh
  expect_status 0
}

test_as_user_is_nobody_special() {
  run as_user bash -c 'id -u; touch here; grep CapEff /proc/self/status; command -v firn; [ "$HOME" = "$PWD/home" ] && touch "$HOME/x"'
  expect_status 0
  expect_out_has 'CapEff:	0000000000000000'
  [ "${out%%
*}" != 0 ] || fail 'still root'
  expect_out_has /firn
}

test_leaves_nothing() {
  write_script <<'END'
test_read_only() { mkdir -p d/e; chmod 555 d; pwd; }
END
  TMPDIR=$PWD run bash script.sh
  expect_status 0
  [ -z "$(ls -d firn-test-* 2>/dev/null)" ] || fail "left: $(ls)"
}

run_tests
