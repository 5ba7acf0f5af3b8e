#include "build/build_log.h"

#include <sys/stat.h>

#include "base/fs.h"
#include "harness.h"

typedef struct Seen {
  Buf lines, phases;
} Seen;

static void on_line(void *ctx, Span line) {
  Seen *seen = ctx;
  buf_printf(&seen->lines, "[%.*s]", SPAN_ARG(line));
}
static void on_phase(void *ctx, Span phase) {
  Seen *seen = ctx;
  buf_printf(&seen->phases, "[%.*s]", SPAN_ARG(phase));
}

static void check_lines(const char *text, const char *want) {
  // The result must not depend on how the output was cut.
  for (size_t step = 1; step <= strlen(text) + 1; step++) {
    Seen seen = {BUF_INIT, BUF_INIT};
    Err err = ERR_INIT;
    BuildLog *log = build_log_new(&(BuildLogConfig){.line = on_line, .phase = on_phase, .ctx = &seen});
    for (size_t at = 0; at < strlen(text); at += step) CHECK(build_log_feed(log, span_sub(span_cstr(text), at, step)));
    CHECK_OK(build_log_close(log, &err), &err);
    CHECK_STR(buf_span(&seen.lines), want);
    build_log_free(log);
    buf_done(&seen.lines);
    buf_done(&seen.phases);
  }
}

TEST(lines_are_cut_as_on_a_terminal) {
  check_lines("a\nb\n", "[a][b]");
  check_lines("a\n\nb", "[a][][b]");
  check_lines("10%\r20%\r30%\ndone\n", "[30%][done]");
  check_lines("longer\rab\n", "[abnger]");
  check_lines("a\r\nb\r\n", "[a][b]");
}

TEST(messages_are_understood_and_not_shown) {
  check_lines("@nix {\"action\":\"setPhase\",\"phase\":\"build\"}\nx\n", "[x]");
  check_lines("@nix {\"action\":\"msg\",\"level\":3,\"msg\":\"hello\"}\n", "[hello]");
  check_lines("@nix {\"action\":\"start\",\"id\":1,\"fields\":[1,{\"a\":2}]}\nx\n", "[x]");
  check_lines("@nix {broken\n", "[@nix {broken]");
  Seen seen = {BUF_INIT, BUF_INIT};
  BuildLog *log = build_log_new(&(BuildLogConfig){.phase = on_phase, .ctx = &seen});
  CHECK(build_log_feed(log, SPAN("@nix { \"action\": \"setPhase\", \"phase\": \"unpack\\u0050hase\" }\n")));
  CHECK_STR(buf_span(&seen.phases), "[unpackPhase]");
  build_log_free(log);
  buf_done(&seen.phases);
}

TEST(tail_keeps_the_last_lines) {
  BuildLog *log = build_log_new(&(BuildLogConfig){.tail_lines = 3});
  size_t count;
  CHECK(build_log_feed(log, SPAN("1\n2\n")));
  build_log_tail(log, &count);
  CHECK_EQ_INT(count, 2);
  CHECK(build_log_feed(log, SPAN("3\n4\n@nix {\"action\":\"setPhase\",\"phase\":\"x\"}\n5\n")));
  Span *tail = build_log_tail(log, &count);
  CHECK_EQ_INT(count, 3);
  CHECK_STR(tail[0], "3");
  CHECK_STR(tail[1], "4");
  CHECK_STR(tail[2], "5");
  build_log_free(log);
}

TEST(limit_is_reported) {
  BuildLog *log = build_log_new(&(BuildLogConfig){.max_bytes = 10});
  CHECK(build_log_feed(log, SPAN("0123456789")));
  CHECK(!build_log_feed(log, SPAN("0")));
  CHECK_EQ_INT(build_log_size_bytes(log), 11);
  build_log_free(log);
}

// A short log is kept in memory, a long one is streamed; what is read back is the same.
static void check_stored(size_t size) {
  Err err = ERR_INIT;
  Buf text = BUF_INIT, got = BUF_INIT, path = BUF_INIT;
  build_log_put_path(span_cstr(test_temp_path("log")), SPAN("abcdef-name.drv"), &path);
  CHECK(span_has_suffix(buf_span(&path), SPAN("/log/drvs/ab/cdef-name.drv.zst")));
  uint64_t rng = test_seed();
  while (text.len < size) buf_printf(&text, "line %llu\r\n", (unsigned long long)test_random(&rng));
  BuildLog *log = build_log_new(&(BuildLogConfig){.path = buf_cstr(&path)});
  for (size_t at = 0; at < text.len; at += 50000) CHECK(build_log_feed(log, span_sub(buf_span(&text), at, 50000)));
  CHECK(!fs_exists(buf_cstr(&path)));
  CHECK_OK(build_log_close(log, &err), &err);
  build_log_free(log);
  CHECK_OK(build_log_read(buf_cstr(&path), &got, &err), &err);
  CHECK_OK(fs_remove_tree(buf_cstr(&path), &err), &err);
  CHECK(span_eq(buf_span(&got), buf_span(&text)));
  buf_done(&text);
  buf_done(&got);
  buf_done(&path);
}

TEST(stored_logs_are_read_back) {
  check_stored(0);
  check_stored(1000);
  check_stored(3000000);
}

TEST(unfinished_logs_leave_nothing) {
  Err err = ERR_INIT;
  Buf big = BUF_INIT;
  buf_put_repeat(&big, 'x', 1000000);
  const char *path = test_temp_path("d/log.zst");
  BuildLog *log = build_log_new(&(BuildLogConfig){.path = path});
  CHECK(build_log_feed(log, buf_span(&big)));
  build_log_free(log);
  CHECK(!fs_exists(path));
  CHECK_OK(fs_remove_tree(test_temp_path("d"), &err), &err);
  buf_done(&big);
}

TEST(storing_fails_with_the_path) {
  Err err = ERR_INIT;
  CHECK_OK(fs_write_file_atomic(test_temp_path("file"), SPAN(""), 0644, false, &err), &err);
  BuildLog *log = build_log_new(&(BuildLogConfig){.path = test_temp_path("file/x/log.zst")});
  CHECK(build_log_feed(log, SPAN("x\n")));
  CHECK_ERR(build_log_close(log, &err), &err, ERR_IO, "storing the build log '");
  build_log_free(log);
}

TEST(damaged_logs_are_errors) {
  Err err = ERR_INIT;
  Buf got = BUF_INIT;
  CHECK_OK(fs_write_file_atomic(test_temp_path("bad.zst"), SPAN("\x28\xb5\x2f\xfd\x04"), 0644, false, &err), &err);
  CHECK_ERR(build_log_read(test_temp_path("bad.zst"), &got, &err), &err, ERR_CORRUPT, "bad.zst");
  buf_done(&got);
}
TEST_MAIN()
