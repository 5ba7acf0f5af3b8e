#include "base/log.h"

#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "harness.h"

static void collect(void *ctx, LogLevel level, Span message) {
  buf_printf(ctx, "%d:%.*s\n", (int)level, SPAN_ARG(message));
}

TEST(the_level_filters) {
  Buf seen = BUF_INIT;
  log_set_sink(collect, &seen);
  CHECK_EQ_INT(log_level(), LOG_NOTICE);
  log_warn("a %s", "warning");
  log_msg(LOG_INFO, "hidden");
  log_set_level(LOG_INFO);
  log_msg(LOG_INFO, "shown");
  CHECK_STR(buf_span(&seen), "1:a warning\n3:shown\n");
  log_set_sink(NULL, NULL);
  buf_done(&seen);
}

TEST(standard_error_is_the_default) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  CHECK(dup2(ends[1], STDERR_FILENO) >= 0);
  log_warn("look out");
  log_msg(LOG_NOTICE, "note");
  log_msg(LOG_ERROR, "bad");
  close(ends[1]);
  close(STDERR_FILENO);
  Buf seen = BUF_INIT;
  Err err = ERR_INIT;
  CHECK_OK(fs_read_fd(ends[0], 0, &seen, &err), &err);
  CHECK_STR(buf_span(&seen), "warning: look out\nnote\nerror: bad\n");
  buf_done(&seen);
  close(ends[0]);
}

TEST_MAIN()
