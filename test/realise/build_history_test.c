// build_history_test.c: what was built before is found again, by package, newest first, within limits.
#include "harness.h"

#include "base/fs.h"
#include "realise/build_history.h"

static StorePath drv_path(const char *hash, const char *name) {
  StorePath path;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&text, "%s-%s.drv", hash, name);
  CHECK(store_path_parse_base(buf_span(&text), &path, NULL));
  return path;
}

static void add(const char *dir, const char *hash, const char *name, const char *text, uint64_t ms, int64_t when) {
  StorePath path = drv_path(hash, name);
  CHECK(build_history_add(dir, &path, span_cstr(text), ms, when, NULL));
}

TEST(builds_of_a_package) {
  const char *dir = test_temp_dir();
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  BuildHistoryRecord *records;
  CHECK(build_history_find(dir, SPAN("hello-1"), &arena, &records) == 0);
  CHECK(build_history_mean_ms(dir, SPAN("hello-1")) == 0);
  add(dir, "00000000000000000000000000000000", "hello-1", "text\nof 1\n", 100, 5);
  add(dir, "11111111111111111111111111111111", "hello-2", "", 400, 6);
  add(dir, "00000000000000000000000000000000", "hello-1", "text\nof 1\n", 300, 7);
  CHECK(build_history_find(dir, SPAN("hello-3"), &arena, &records) == 2);
  CHECK_STR(records[0].drv_base, "00000000000000000000000000000000-hello-1.drv");
  CHECK_STR(records[0].text, "text\nof 1\n");
  CHECK(records[0].ended_s == 7 && records[0].duration_count == 2 && records[0].durations_ms[0] == 300);
  CHECK_STR(records[1].text, "");
  CHECK(build_history_mean_ms(dir, SPAN("hello-1")) == 200);
  CHECK(build_history_mean_ms(dir, SPAN("hello-2")) == 400);
  CHECK(build_history_mean_ms(dir, SPAN("hello-3")) == 266); // of the package
  CHECK(build_history_mean_ms(dir, SPAN("hell-1")) == 0);
}

TEST(old_builds_are_forgotten) {
  const char *dir = test_temp_dir();
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  BuildHistoryRecord *records;
  char hash[33] = "00000000000000000000000000000000";
  for (int i = 0; i < 20; i++) {
    hash[0] = (char)('0' + i % 10);
    hash[1] = (char)('0' + i / 10);
    add(dir, hash, "x", "t", 1, i);
  }
  CHECK(build_history_find(dir, SPAN("x"), &arena, &records) == BUILD_HISTORY_RECORDS_MAX);
  CHECK(records[0].ended_s == 19 && records[7].ended_s == 12);
}

TEST(damaged_files_are_none) {
  const char *dir = test_temp_dir();
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  BuildHistoryRecord *records;
  add(dir, "00000000000000000000000000000000", "x", "text", 1, 1);
  char *path = arena_printf(&arena, "%s/history/x", dir);
  Buf text CLEANUP(buf_done) = BUF_INIT;
  CHECK(fs_read_file(path, 0, &text, NULL));
  for (size_t len = 0; len < text.len; len++) {
    CHECK(fs_write_file_atomic(path, span_sub(buf_span(&text), 0, len), 0644, false, NULL));
    CHECK(build_history_find(dir, SPAN("x"), &arena, &records) == 0);
  }
  add(dir, "00000000000000000000000000000000", "x", "text", 1, 1);
  CHECK(build_history_find(dir, SPAN("x"), &arena, &records) == 1);
}

TEST_MAIN()
