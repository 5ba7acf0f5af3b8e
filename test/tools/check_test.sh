# tools/check counts single tests, and takes nothing for a success that is none.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
check=$FIRN_TEST_SOURCE_DIR/../tools/check

# Puts a `meson` first in PATH that leaves the records of standard input as its log.
fake_meson() {
  mkdir -p bin build/meson-logs
  cat > log.json
  printf '#!/bin/sh\ncp "%s/log.json" "%s/build/meson-logs/testlog.json"\n' "$PWD" "$PWD" > bin/meson
  chmod +x bin/meson
  PATH=$PWD/bin:$PATH
  unset CI
}

record() { # NAME RESULT STDOUT (with \n)
  printf '{"name":"%s","result":"%s","returncode":0,"duration":0.5,"stdout":"%s","stderr":"said"}\n' "$1" "$2" "${3//$'\n'/\\n}"
}

closing_line() {
  tail -n 1 <<< "$out"
}

test_all_passed() {
  fake_meson <<< "$(record a OK $'1..2\nok 1 - x\nok 2 - y')"
  run "$check" build
  expect_status 0
  expect_equal "$(closing_line)" '2 passed, 0 failed'
}

test_failures_are_shown_with_their_diagnostics() {
  fake_meson <<< "$(record a OK $'1..1\nok 1 - x')
$(record b FAIL $'1..2\n# because\nnot ok 1 - y\nok 2 - z')"
  run "$check" build
  expect_status 1
  expect_out_has 'FAILED build b: y'
  expect_out_has '# because'
  expect_equal "$(closing_line)" '2 passed, 1 failed'
}

test_a_crash_is_a_failure() {
  fake_meson <<< "$(record a ERROR $'1..2\nok 1 - x')"
  run "$check" build
  expect_status 1
  expect_equal "$(closing_line)" '1 passed, 1 failed'
}

test_skips_fail_in_ci_only() {
  fake_meson <<< "$(record a OK $'1..2\nok 1 - x\nok 2 - y # SKIP no such thing')"
  run "$check" build
  expect_status 0
  expect_equal "$(closing_line)" '1 passed, 0 failed, 1 skipped'
  run env CI=true "$check" build
  expect_status 1
}

test_nothing_run_is_a_failure() {
  fake_meson < /dev/null
  run "$check" build
  expect_status 1
  expect_equal "$(closing_line)" '0 passed, 0 failed'
}

test_earlier_failures_count() {
  fake_meson <<< "$(record a OK $'1..1\nok 1 - x')"
  run "$check" --failed-before 1 build
  expect_status 1
  expect_equal "$(closing_line)" '1 passed, 1 failed'
}

run_tests
