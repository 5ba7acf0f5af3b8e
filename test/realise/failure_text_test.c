#include "realise/failure_text.h"

#include "harness.h"

static void check_text(BuildResult result, ErrKind kind, const char *want) {
  BuildOptions options = {.timeout_ns = 5000000000u, .max_silent_ns = 2000000000u, .max_log_bytes = 100};
  FailureTextInput input = {SPAN("/nix/store/x.drv"), SPAN("out"), &options, &result, false};
  Err err = ERR_INIT;
  failure_text_set(&input, &err);
  CHECK_STR(span_cstr(err_message(&err)), want);
  CHECK_EQ_INT(err.kind, kind);
  err_done(&err);
}

TEST(words_of_nix) {
  Span tail[] = {SPAN("one"), SPAN("two")};
  check_text((BuildResult){.outcome = BUILD_EXITED, .exit_code = 3}, ERR_BUILD_FAILED,
             "builder for '/nix/store/x.drv' failed with exit code 3");
  check_text((BuildResult){.outcome = BUILD_EXITED, .exit_code = 1, .log_tail = tail, .log_tail_count = 2},
             ERR_BUILD_FAILED,
             "builder for '/nix/store/x.drv' failed with exit code 1;\nlast 2 log lines:\n> one\n> two\nFor full logs, "
             "run:\n  nix log /nix/store/x.drv");
  check_text((BuildResult){.outcome = BUILD_SIGNALLED, .signal = 9}, ERR_BUILD_FAILED,
             "builder for '/nix/store/x.drv' failed due to signal 9 (Killed)");
  check_text((BuildResult){.outcome = BUILD_EXITED, .exit_code = 1, .kept_dir = "/tmp/k"}, ERR_BUILD_FAILED,
             "builder for '/nix/store/x.drv' failed with exit code 1\nnote: keeping build directory '/tmp/k'");
  check_text((BuildResult){.outcome = BUILD_EXITED, .exit_code = 1, .disk_full = true}, ERR_BUILD_FAILED,
             "builder for '/nix/store/x.drv' failed with exit code 1\nnote: build failure may have been caused by lack "
             "of free disk space");
  check_text((BuildResult){.outcome = BUILD_TIMED_OUT}, ERR_BUILD_TIMEOUT,
             "building of '/nix/store/x.drv^out' from .drv file timed out after 5 seconds");
  check_text((BuildResult){.outcome = BUILD_SILENT}, ERR_BUILD_TIMEOUT,
             "building of '/nix/store/x.drv^out' from .drv file timed out after 2 seconds of silence");
  check_text(
      (BuildResult){.outcome = BUILD_LOG_TOO_BIG}, ERR_BUILD_FAILED,
      "building of '/nix/store/x.drv^out' from .drv file killed after writing more than 100 bytes of log output");
  check_text((BuildResult){.outcome = BUILD_CANCELLED}, ERR_INTERRUPTED, "interrupted by the user");
}
TEST_MAIN()
