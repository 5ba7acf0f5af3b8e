// lang_test.c: the golden cases of test/lang: what expressions evaluate to and which errors they give. Each file runs three times: as it
// is, with a collection at every safepoint, and with files that have to be waited for.
#include "base/fs.h"
#include "base/mem.h"
#include "eval_fixture.h"
#include "harness.h"

#define LANG_STRESS_STRIDE 7

typedef enum LangMode { LANG_PLAIN, LANG_STRESS, LANG_SLOW } LangMode;

// "\n" in a case is a line feed.
static void unescape(Span text, Buf *ret) {
  for (size_t i = 0; i < text.len; i++) {
    if (text.data[i] == '\\' && i + 1 < text.len && text.data[i + 1] == 'n' && (i == 0 || text.data[i - 1] != '\\')) {
      buf_put_char(ret, '\n');
      i++;
    } else {
      buf_put_char(ret, text.data[i]);
    }
  }
}

static void run_case(const char *file, int line, Span expression, Span expected, LangMode mode) {
  EvalFixture f;
  eval_fixture_init(&f);
  f.settings.heap.stress = mode == LANG_STRESS;
  // Endless recursion ends sooner where every call collects.
  if (mode == LANG_STRESS) f.settings.max_call_depth = 20000;
  f.slow = mode == LANG_SLOW;
  eval_fixture_add(&f, "/data/a", "hello");
  eval_fixture_add(&f, "/data/d/default.nix", "{ x = 1; }");
  eval_fixture_add(&f, "/data/d/sub/b", "b");
  char *text = span_dup(expression);
  Buf got = BUF_INIT, want = BUF_INIT;
  eval_fixture_eval(&f, text, true, &got);
  bool failed = f.vm->error != NULL;
  Span shown = failed ? buf_span(&f.vm->error->message) : buf_span(&got);
  Buf result = BUF_INIT;
  buf_printf(&result, "%c %.*s", failed ? '!' : '=', SPAN_ARG(shown));
  // Values are printed with "\n" as it is; messages may have line feeds.
  if (failed) unescape(expected, &want);
  else buf_put_span(&want, expected);
  test_check_span(file, line, text, buf_span(&result), buf_span(&want));
  buf_done(&result);
  buf_done(&want);
  buf_done(&got);
  mem_free(text);
  eval_fixture_done(&f);
}

static void run_cases(const char *name, LangMode mode) {
  Buf path = BUF_INIT, text = BUF_INIT;
  buf_printf(&path, "%s/%s.cases", test_source_path("lang"), name);
  Err err = ERR_INIT;
  CHECK_OK(fs_read_file(buf_cstr(&path), 0, &text, &err), &err);
  Span rest = buf_span(&text), line, expression = {NULL, 0};
  int number = 0;
  unsigned index = 0;
  while (rest.len) {
    span_split(&rest, '\n', &line);
    number++;
    if (!line.len || (line.data[0] == '#' && !expression.len)) continue;
    if (!expression.len) {
      expression = line;
      continue;
    }
    // Collecting at every safepoint is slow; different cases look at different places.
    if (mode != LANG_STRESS || index++ % LANG_STRESS_STRIDE == 0)
      run_case(buf_cstr(&path), number, expression, line, mode);
    expression.len = 0;
  }
  CHECK(number > 10);
  buf_done(&path);
  buf_done(&text);
}

#define LANG_TEST(name)            \
  TEST(name) {                     \
    run_cases(#name, LANG_PLAIN);  \
  }                                \
  TEST(name##_stress) {            \
    run_cases(#name, LANG_STRESS); \
  }                                \
  TEST(name##_slow) {              \
    run_cases(#name, LANG_SLOW);   \
  }

LANG_TEST(attrs)
LANG_TEST(context)
LANG_TEST(convert)
LANG_TEST(functions)
LANG_TEST(lists)
LANG_TEST(misc)
LANG_TEST(numbers)
LANG_TEST(operators)
LANG_TEST(paths)
LANG_TEST(regex)
LANG_TEST(strings)

TEST_MAIN()
