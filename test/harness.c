// harness.c: see harness.h.
#include "harness.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/process.h"

typedef struct TestCase {
  const char *name;
  TestBody body;
} TestCase;

// What the process of a test tells the one that counts, in shared memory.
typedef struct TestReport {
  bool skipped;
  char skip_reason[512];
  char temp_dir[512];
} TestReport;

enum { EXIT_SKIPPED = 77 };

static TestCase *cases;
static size_t case_count, case_cap;
static TestReport *report;
static Arena strings; // results of the path functions

void test_register(const char *name, TestBody body) {
  MEM_RESERVE(cases, case_cap, case_count + 1);
  cases[case_count++] = (TestCase){name, body};
}

// TAP diagnostics are lines that start with '#'.
static void print_commented(Span text) {
  while (text.len) {
    Span line;
    span_split(&text, '\n', &line);
    printf("# %.*s\n", SPAN_ARG(line));
  }
  fflush(stdout);
}

void test_note(const char *fmt, ...) {
  Buf text = BUF_INIT;
  va_list args;
  va_start(args, fmt);
  buf_vprintf(&text, fmt, args);
  va_end(args);
  print_commented(buf_span(&text));
  buf_done(&text);
}

void test_fail(const char *file, int line, const char *fmt, ...) {
  Buf text = BUF_INIT;
  buf_printf(&text, "%s:%d: failed: ", file, line);
  va_list args;
  va_start(args, fmt);
  buf_vprintf(&text, fmt, args);
  va_end(args);
  print_commented(buf_span(&text));
  // Not exit(): what the test still holds is no leak.
  _exit(EXIT_FAILURE);
}

void test_skip(const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  vsnprintf(report->skip_reason, sizeof report->skip_reason, fmt, args);
  va_end(args);
  report->skipped = true;
  fflush(stdout);
  _exit(EXIT_SKIPPED);
}

void test_check_int(const char *file, int line, const char *what, int64_t got, int64_t want) {
  if (got != want) test_fail(file, line, "%s\n  got  %lld\n  want %lld", what, (long long)got, (long long)want);
}

// Printable bytes as they are, others as \xNN; the middle of long texts is left out.
static void put_quoted(Buf *ret, Span s) {
  enum { HEAD = 600, TAIL = 200 };
  buf_put_char(ret, '"');
  for (size_t i = 0; i < s.len; i++) {
    unsigned char c = (unsigned char)s.data[i];
    if (i == HEAD && s.len > HEAD + TAIL) {
      buf_printf(ret, "\" ... %zu bytes ... \"", s.len - HEAD - TAIL);
      i = s.len - TAIL;
    }
    if (c == '\n') buf_put_cstr(ret, "\\n");
    else if (c == '"' || c == '\\') buf_printf(ret, "\\%c", c);
    else if (c < 0x20 || c >= 0x7f) buf_printf(ret, "\\x%02x", c);
    else buf_put_char(ret, (char)c);
  }
  buf_put_char(ret, '"');
}

static NORETURN void fail_spans(const char *file, int line, const char *what, Span got, const char *relation,
                                Span want) {
  Buf text = BUF_INIT;
  buf_printf(&text, "%s\n  got  ", what);
  put_quoted(&text, got);
  buf_printf(&text, " (%zu bytes)\n  %s ", got.len, relation);
  put_quoted(&text, want);
  buf_printf(&text, " (%zu bytes)", want.len);
  test_fail(file, line, "%s", buf_cstr(&text));
}

void test_check_span(const char *file, int line, const char *what, Span got, Span want) {
  if (!span_eq(got, want)) fail_spans(file, line, what, got, "want", want);
}

void test_check_contains(const char *file, int line, const char *what, Span got, Span part) {
  if (span_find(got, part) == SIZE_MAX) fail_spans(file, line, what, got, "lacks", part);
}

void test_check_ok(const char *file, int line, const char *what, bool ok, Err *err) {
  if (!ok) test_fail(file, line, "%s\n  error: %s", what, err_message(err));
  if (err_is_set(err)) test_fail(file, line, "%s\n  returned true and set the error: %s", what, err_message(err));
}

void test_check_err(const char *file, int line, const char *what, bool ok, Err *err, ErrKind kind, const char *part) {
  if (ok) test_fail(file, line, "%s\n  succeeded, but should fail with: %s", what, part);
  if (!err_is_set(err)) test_fail(file, line, "%s\n  returned false without an error", what);
  if (span_find(span_cstr(err_message(err)), span_cstr(part)) == SIZE_MAX)
    fail_spans(file, line, what, span_cstr(err_message(err)), "lacks", span_cstr(part));
  if (err->kind != kind)
    test_fail(file, line, "%s\n  error kind %d instead of %d: %s", what, (int)err->kind, (int)kind, err_message(err));
  err_done(err);
}

uint64_t test_seed(void) {
  uint64_t seed;
  const char *given = getenv("FIRN_TEST_SEED");
  if (given) {
    if (!span_parse_u64(span_cstr(given), &seed))
      test_fail(__FILE__, __LINE__, "FIRN_TEST_SEED is not a number: %s", given);
  } else if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed) {
    test_fail(__FILE__, __LINE__, "getrandom: %s", strerror(errno));
  }
  test_note("FIRN_TEST_SEED=%llu", (unsigned long long)seed);
  return seed;
}

// splitmix64 (Steele, Lea, Flood 2014): any seed is a good one.
uint64_t test_random(uint64_t *rng) {
  uint64_t z = *rng += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

uint64_t test_random_below(uint64_t *rng, uint64_t limit) {
  return test_random(rng) % limit;
}

void test_random_bytes(uint64_t *rng, void *data, size_t len) {
  unsigned char *bytes = data;
  for (size_t i = 0; i < len; i++) bytes[i] = (unsigned char)test_random(rng);
}

const char *test_temp_dir(void) {
  if (*report->temp_dir) return report->temp_dir;
  const char *parent = getenv("TMPDIR");
  Buf path = BUF_INIT;
  Err err = ERR_INIT;
  CHECK_OK(fs_make_temp_dir(parent ? parent : "/tmp", "firn-test", &path, &err), &err);
  if (path.len >= sizeof report->temp_dir) test_fail(__FILE__, __LINE__, "TMPDIR is too long: %s", buf_cstr(&path));
  memcpy(report->temp_dir, buf_cstr(&path), path.len + 1);
  buf_done(&path);
  return report->temp_dir;
}

const char *test_temp_path(const char *relative) {
  return arena_printf(&strings, "%s/%s", test_temp_dir(), relative);
}

const char *test_source_path(const char *relative) {
  return arena_printf(&strings, "%s/%s", TEST_SOURCE_DIR, relative);
}

const char *test_build_path(const char *relative) {
  return arena_printf(&strings, "%s/%s", TEST_BUILD_DIR, relative);
}

// Runs the body in a child; false when it failed.
static bool run_forked(const TestCase *test) {
  fflush(stdout);
  pid_t pid = fork();
  if (pid < 0) {
    test_note("fork: %s", strerror(errno));
    return false;
  }
  if (pid == 0) {
    test->body();
    arena_done(&strings);
    fflush(stdout);
    exit(EXIT_SUCCESS); // runs LeakSanitizer
  }
  int status;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS) return true;
  if (report->skipped) return true;
  Buf how = BUF_INIT;
  process_format_status(status, &how);
  test_note("the test's process %s", buf_cstr(&how));
  buf_done(&how);
  return false;
}

static void remove_temp_dir(void) {
  if (!*report->temp_dir) return;
  Err err = ERR_INIT;
  if (getenv("FIRN_TEST_KEEP")) test_note("kept %s", report->temp_dir);
  else if (!fs_remove_tree(report->temp_dir, &err)) test_note("%s", err_message(&err));
  err_done(&err);
  *report->temp_dir = 0;
}

static bool run_case(const TestCase *test, size_t number) {
  *report = (TestReport){0};
  bool ok = true;
  if (getenv("FIRN_TEST_NO_FORK")) test->body();
  else ok = run_forked(test);
  remove_temp_dir();
  printf("%sok %zu - %s", ok ? "" : "not ", number, test->name);
  if (report->skipped) printf(" # SKIP %s", report->skip_reason);
  printf("\n");
  fflush(stdout);
  return ok;
}

static bool is_chosen(const TestCase *test, int argc, char **argv) {
  if (argc < 2) return true;
  for (int i = 1; i < argc; i++)
    if (strcmp(argv[i], test->name) == 0) return true;
  return false;
}

int test_main(int argc, char **argv) {
  report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (report == MAP_FAILED) {
    perror("mmap");
    return EXIT_FAILURE;
  }
  size_t chosen_count = 0, number = 0;
  for (size_t i = 0; i < case_count; i++) chosen_count += is_chosen(&cases[i], argc, argv);
  if (chosen_count == 0) {
    fprintf(stderr, "no such test\n");
    return EXIT_FAILURE;
  }
  printf("1..%zu\n", chosen_count);
  bool ok = true;
  for (size_t i = 0; i < case_count; i++)
    if (is_chosen(&cases[i], argc, argv)) ok &= run_case(&cases[i], ++number);
  mem_free(cases);
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
