# Error messages with the whole trace, as C++ Nix 2.26.3 prints them.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

test_traces() {
  cli_setup
  command -v python3 > /dev/null || skip "python3 is not installed"
  run python3 "$FIRN_TEST_SOURCE_DIR/cli/traces.py" check "$FIRN_TEST_SOURCE_DIR/cli/traces.txt" nix-instantiate
  expect_status 0
}

run_tests
