// eval_error_test.c: the text of errors: which frames are shown, how often, and what is suggested.
#include "eval/eval_error.h"

#include "eval_fixture.h"
#include "harness.h"

static void check_text(Vm *vm, bool show_trace, const char *expected) {
  EvalErrorFormat format = {.show_trace = show_trace};
  Buf text = BUF_INIT;
  eval_error_format(vm, eval_error_pending(vm), &format, &text);
  CHECK_STR(buf_span(&text), expected);
  buf_done(&text);
}

TEST(an_error_without_frames) {
  EvalFixture f;
  eval_fixture_init(&f);
  Vm *vm = eval_fixture_vm(&f);
  CHECK(eval_error(vm, EVAL_ERROR_EVAL, 0, "bad %d", 1) == VALUE_ERROR);
  check_text(vm, true, "error: bad 1");
  CHECK(eval_error(vm, EVAL_ERROR_EVAL, 0, "two\nlines  \n") == VALUE_ERROR); // replaces the first
  check_text(vm, true, "error: two\n       lines");
  eval_fixture_done(&f);
}

TEST(places_show_three_lines) {
  EvalFixture f;
  eval_fixture_init(&f);
  Vm *vm = eval_fixture_vm(&f);
  const PosSource *s = pos_add_source(vm->positions, SPAN("/x.nix"), SPAN("/x.nix"), SPAN("one\n  two\nthree\n"));
  eval_error(vm, EVAL_ERROR_EVAL, pos_of(s, 6), "bad");
  check_text(vm, true,
             "error: bad\n       at /x.nix:2:3:\n            1| one\n            2|   two\n             |   ^\n        "
             "    3| three");
  eval_fixture_done(&f);
}

TEST(frames_are_cut_off_without_show_trace) {
  EvalFixture f;
  eval_fixture_init(&f);
  Vm *vm = eval_fixture_vm(&f);
  eval_error(vm, EVAL_ERROR_EVAL, 0, "bad");
  eval_error_trace_always(vm, 0, SPAN("said by the program"));
  for (int i = 1; i <= 5; i++) eval_error_trace(vm, 0, "frame %d", i);
  eval_error_trace_call(vm, 0, "a call");
  check_text(
      vm, false,
      "error:\n       … frame 5\n\n       … frame 4\n\n       … frame 3\n\n       … frame 2\n\n       … said by the "
      "program\n\n"
      "       (stack trace truncated; use '--show-trace' to show the full, detailed trace)\n\n       error: bad");
  check_text(vm, true,
             "error:\n       … a call\n\n       … frame 5\n\n       … frame 4\n\n       … frame 3\n\n       … frame "
             "2\n\n       … frame 1\n\n"
             "       … said by the program\n\n       error: bad");
  eval_fixture_done(&f);
}

TEST(repeated_frames_are_counted) {
  EvalFixture f;
  eval_fixture_init(&f);
  Vm *vm = eval_fixture_vm(&f);
  eval_error(vm, EVAL_ERROR_EVAL, 0, "bad");
  for (int i = 0; i < 7; i++) eval_error_trace(vm, 0, "again");
  check_text(vm, true, "error:\n       … again\n\n       (6 duplicate frames omitted)\n\n       error: bad");
  eval_fixture_done(&f);
}

TEST(deep_traces_keep_both_ends) {
  EvalFixture f;
  eval_fixture_init(&f);
  Vm *vm = eval_fixture_vm(&f);
  eval_error(vm, EVAL_ERROR_EVAL, 0, "bad");
  int total = EVAL_ERROR_MAX_TRACES + 500;
  for (int i = 0; i < total; i++) eval_error_trace(vm, 0, "frame %d", i);
  EvalErrorFormat format = {.show_trace = true};
  Buf text = BUF_INIT, first = BUF_INIT;
  eval_error_format(vm, eval_error_pending(vm), &format, &text);
  buf_printf(&first, "error:\n       … frame %d\n", total - 1);
  CHECK(span_has_prefix(buf_span(&text), buf_span(&first)));
  CHECK_CONTAINS(buf_span(&text), "(500 frames omitted)");
  CHECK_CONTAINS(buf_span(&text), "… frame 0\n");
  CHECK(span_find(buf_span(&text), SPAN("… frame 1200\n")) == SIZE_MAX);
  buf_done(&text);
  buf_done(&first);
  eval_fixture_done(&f);
}

static void check_suggestions(const char *name, const char *const *candidates, size_t count, const char *expected) {
  EvalFixture f;
  eval_fixture_init(&f);
  Vm *vm = eval_fixture_vm(&f);
  Span spans[16];
  for (size_t i = 0; i < count; i++) spans[i] = span_cstr(candidates[i]);
  eval_error(vm, EVAL_ERROR_MISSING, 0, "missing");
  eval_error_suggest(vm, span_cstr(name), spans, count);
  CHECK_STR(buf_span(&vm->error->suggestions), expected);
  eval_fixture_done(&f);
}

TEST(suggestions_are_near_and_few) {
  check_suggestions("foo", (const char *const[]){"bar", "fooo", "fo"}, 3, "Did you mean one of fo or fooo?");
  check_suggestions("foo", (const char *const[]){"quux"}, 1, "");
  check_suggestions("abcd", (const char *const[]){"abce"}, 1, "Did you mean abce?");
  check_suggestions("a", (const char *const[]){"b", "c", "d", "e", "f", "g"}, 6,
                    "Did you mean one of b, c, d, e or f?");
}

TEST_MAIN()
