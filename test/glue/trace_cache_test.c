// trace_cache_test.c: the folder of answers keeps to its limit, and what was used last stays. (What makes an answer good is in cli/trace_cache_test.sh.)
#include "glue/trace_cache.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "harness.h"

#define ANSWER_BYTES ((size_t)20000)

static Span dir(void) {
  return span_cstr(test_temp_path("traces"));
}

static void put(unsigned number, uint64_t max_bytes) {
  char question[20];
  Buf answer = BUF_INIT, text = BUF_INIT, why = BUF_INIT;
  Observed *observed = observed_new();
  snprintf(question, sizeof question, "question %u", number);
  buf_put_repeat(&text, (char)('a' + number % 26), ANSWER_BYTES);
  trace_cache_answer_put(&answer, TRACE_CACHE_OUT, buf_span(&text));
  observed_env(observed, SPAN("FIRN_NO_SUCH_VARIABLE"), NULL);
  CHECK(
      trace_cache_put(dir(), span_cstr(question), observed, SIZE_MAX, buf_span(&answer), (int)number, max_bytes, &why));
  observed_free(observed);
  buf_done(&answer);
  buf_done(&text);
  buf_done(&why);
}

static bool has(unsigned number) {
  char question[20];
  Buf why = BUF_INIT;
  TraceCacheFound found = TRACE_CACHE_FOUND_INIT;
  ObservedCheck check = {NULL, NULL};
  snprintf(question, sizeof question, "question %u", number);
  bool hit = trace_cache_find(dir(), span_cstr(question), &check, false, &found, &why);
  if (hit) {
    TraceCacheKind kind;
    Span text;
    CHECK_EQ_INT(found.exit_code, (int)number);
    CHECK(trace_cache_answer_next(&found.answer, &kind, &text));
    CHECK_EQ_INT(kind, TRACE_CACHE_OUT);
    CHECK_EQ_INT(text.len, ANSWER_BYTES);
    CHECK_EQ_INT(text.data[0], 'a' + (char)(number % 26));
  }
  trace_cache_found_done(&found);
  buf_done(&why);
  return hit;
}

// As if everything had been used so long ago.
static void age_all(time_t seconds) {
  Err err = ERR_INIT;
  FsList files = FS_LIST_INIT;
  CHECK_OK(fs_list_dir(test_temp_path("traces"), &files, &err), &err);
  for (size_t i = 0; i < files.count; i++) {
    Buf path = BUF_INIT;
    struct stat st;
    buf_printf(&path, "%s/%s", test_temp_path("traces"), files.entries[i].name);
    CHECK(stat(buf_cstr(&path), &st) == 0);
    struct timespec times[2] = {st.st_mtim, st.st_mtim};
    times[0].tv_sec -= seconds;
    times[1].tv_sec -= seconds;
    CHECK(utimensat(AT_FDCWD, buf_cstr(&path), times, 0) == 0);
    buf_done(&path);
  }
  fs_list_done(&files);
}

TEST(the_limit_holds) {
  const uint64_t limit = 10 * (ANSWER_BYTES + 5000);
  TraceCacheInfo info;
  for (unsigned i = 0; i < 50; i++) {
    put(i, limit);
    trace_cache_info(dir(), &info);
    CHECK(info.bytes <= limit);
    CHECK(has(i));
  }
  CHECK(info.file_count >= 6);
}

TEST(what_is_used_stays) {
  const uint64_t limit = 10 * (ANSWER_BYTES + 5000);
  put(0, limit);
  put(1, limit);
  for (unsigned i = 2; i < 40; i++) {
    age_all(7200);
    CHECK(has(0)); // its use is noted
    put(i, limit);
  }
  CHECK(has(0));
  CHECK(!has(1));
}

TEST(cleared) {
  Err err = ERR_INIT;
  TraceCacheInfo info;
  for (unsigned i = 0; i < 5; i++) put(i, TRACE_CACHE_MAX_BYTES);
  CHECK_OK(trace_cache_clear(dir(), &err), &err);
  trace_cache_info(dir(), &info);
  CHECK_EQ_INT(info.file_count, 0);
  CHECK_EQ_INT(info.bytes, 0);
  for (unsigned i = 0; i < 5; i++) CHECK(!has(i));
}

TEST(too_long_is_not_written) {
  Buf answer = BUF_INIT, why = BUF_INIT;
  Observed *observed = observed_new();
  TraceCacheInfo info;
  buf_put_repeat(&answer, 'x', 5000);
  CHECK(!trace_cache_put(dir(), SPAN("q"), observed, SIZE_MAX, buf_span(&answer), 0, 4000, &why));
  CHECK_STR(buf_span(&why), "the record is too long");
  trace_cache_info(dir(), &info);
  CHECK_EQ_INT(info.file_count, 0);
  observed_free(observed);
  buf_done(&answer);
  buf_done(&why);
}

TEST_MAIN()
