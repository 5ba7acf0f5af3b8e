// harness.h: the test harness. A test program is a list of TEST bodies and TEST_MAIN(); it prints TAP.
//
//   #include "harness.h"
//   #include "base/map.h"
//
//   TEST(get_after_set) {
//     CHECK_EQ_INT(map_count(&m), 1);
//   }
//   TEST_MAIN()
//
// Each test runs in a process of its own: a failed check ends that test only (CHECKs may therefore stand in helpers of
// any type), a crash is a failure of that test, and LeakSanitizer looks at each. What a failed test leaves in its temporary
// directory is removed all the same.
//
// Arguments of a test program choose tests by name. FIRN_TEST_NO_FORK=1 runs in one process, for debuggers; FIRN_TEST_SEED sets
// the seed of the random tests; FIRN_TEST_KEEP=1 keeps temporary directories.
#pragma once

#include "base/err.h"
#include "base/span.h"

typedef void (*TestBody)(void);
void test_register(const char *name, TestBody body);
int test_main(int argc, char **argv);

#define TEST(name)                                                      \
  static void test_body_##name(void);                                   \
  __attribute__((constructor)) static void test_register_##name(void) { \
    test_register(#name, test_body_##name);                             \
  }                                                                     \
  static void test_body_##name(void)

#define TEST_MAIN()                 \
  int main(int argc, char **argv) { \
    return test_main(argc, argv);   \
  }

// Ends the test as failed. The text may have several lines.
NORETURN void test_fail(const char *file, int line, const char *fmt, ...) PRINTF_LIKE(3, 4);
// Ends the test as not run here, for a reason that lies in the machine. In CI a skip is a failure.
NORETURN void test_skip(const char *fmt, ...) PRINTF_LIKE(1, 2);
// A diagnostic line in the test's output.
void test_note(const char *fmt, ...) PRINTF_LIKE(1, 2);

void test_check_int(const char *file, int line, const char *what, int64_t got, int64_t want);
void test_check_span(const char *file, int line, const char *what, Span got, Span want);
void test_check_contains(const char *file, int line, const char *what, Span got, Span part);
void test_check_ok(const char *file, int line, const char *what, bool ok, Err *err);
void test_check_err(const char *file, int line, const char *what, bool ok, Err *err, ErrKind kind, const char *part);

#define CHECK(cond)                                          \
  do {                                                       \
    if (!(cond)) test_fail(__FILE__, __LINE__, "%s", #cond); \
  } while (0)
#define CHECK_EQ_INT(got, want) test_check_int(__FILE__, __LINE__, #got, (int64_t)(got), (int64_t)(want))
// A Span against a C string.
#define CHECK_STR(got, want) test_check_span(__FILE__, __LINE__, #got, (got), span_cstr(want))
#define CHECK_SPAN(got, want) test_check_span(__FILE__, __LINE__, #got, (got), (want))
#define CHECK_CONTAINS(got, part) test_check_contains(__FILE__, __LINE__, #got, (got), span_cstr(part))
// CHECK_OK(fs_open(path, O_RDONLY, 0, &fd, &err), &err): fails with the error's message.
#define CHECK_OK(call, err) test_check_ok(__FILE__, __LINE__, #call, (call), (err))
// The call must fail with that kind, and its message contain `part`. Afterwards *err is unset again.
#define CHECK_ERR(call, err, kind, part) test_check_err(__FILE__, __LINE__, #call, (call), (err), (kind), (part))

// Random tests: `uint64_t rng = test_seed();` notes the seed (new in every run unless FIRN_TEST_SEED is set).
uint64_t test_seed(void);
uint64_t test_random(uint64_t *rng);
// Uniform enough in [0, limit); limit > 0.
uint64_t test_random_below(uint64_t *rng, uint64_t limit);
void test_random_bytes(uint64_t *rng, void *data, size_t len);

// Results of these are borrowed and live as long as the test.
const char *test_temp_dir(void);                    // this test's own, empty, removed afterwards
const char *test_temp_path(const char *relative);   // a path in it
const char *test_source_path(const char *relative); // a path in the tree's test/ folder
const char *test_build_path(const char *relative);  // a path in the build folder, as "firn" or "bin/nix-build"
