// print_test.c: the textual forms of values: limits, repetition, failures, pretty printing.
#include "eval/print.h"

#include "eval/print_force.h"
#include "eval/str.h"
#include "eval_fixture.h"
#include "harness.h"

// `force`: what `nix eval` does; else what trace and errors do.
static void check_print(const char *expression, PrintOptions options, bool force, const char *expected) {
  EvalFixture f;
  eval_fixture_init(&f);
  Vm *vm = eval_fixture_vm(&f);
  HeapRoot root, failures, arg;
  heap_add_root(&vm->heap, &root, VALUE_NULL);
  heap_add_root(&vm->heap, &failures, VALUE_ABSENT);
  heap_add_root(&vm->heap, &arg, value_raw_ptr(&options));
  CHECK(vm_eval_text(vm, span_cstr(expression), SPAN("/base"), SPAN("«string»"), &root));
  HeapRoot *args[] = {&root, &arg};
  if (force) CHECK(vm_run_native(vm, &print_force_native, args, 2, &failures));
  Buf got = BUF_INIT;
  print_value(vm, root.value, &options, failures.value, &got);
  CHECK_STR(buf_span(&got), expected);
  buf_done(&got);
  heap_remove_root(&vm->heap, &root);
  heap_remove_root(&vm->heap, &failures);
  heap_remove_root(&vm->heap, &arg);
  eval_fixture_done(&f);
}

TEST(nothing_is_evaluated_for_a_trace) {
  check_print("{ a = 1; f = x: x; t = 1 + 1; l = [ 1 ]; m = map; }", print_options_trace, false,
              "{ a = 1; f = «thunk»; l = «thunk»; m = «primop map»; t = «thunk»; }");
}

TEST(errors_show_little_of_a_value) {
  check_print("{ a = 1; type = 2; }", print_options_error, false, "{ type = 2; a = 1; }");
  check_print("builtins.deepSeq (builtins.genList (x: x) 12) (builtins.genList (x: x) 0)", print_options_error, false,
              "[ ]");
  check_print("let l = builtins.genList (x: x) 12; in builtins.deepSeq l l", print_options_error, false,
              "[ 0 1 2 3 4 5 6 7 8 9 «2 items elided» ]");
  check_print("let l = builtins.genList (x: x) 11; in builtins.deepSeq l l", print_options_error, false,
              "[ 0 1 2 3 4 5 6 7 8 9 «1 item elided» ]");
  PrintOptions options = print_options_error;
  options.max_string_bytes = 3;
  check_print("\"abcdef\"", options, false, "\"abc\" «3 bytes elided»");
  check_print("\"abc\"", options, false, "\"abc\"");
  options.max_depth = 1;
  check_print("let s = { a = { b = 1; }; l = [ 1 ]; }; in builtins.deepSeq s s", options, false,
              "{ a = { ... }; l = [ ... ]; }");
}

TEST(what_fails_is_shown_in_its_place) {
  check_print("{ a = throw \"x\"; b = [ (throw \"y\") 1 ]; }", print_options_eval, true,
              "{ a = «error: x»; b = [ «error: y» 1 ]; }");
  check_print("{ a = { type = throw \"t\"; }; }", print_options_eval, true, "{ a = «error: t»; }");
}

TEST(derivations_are_shown_by_their_path) {
  check_print("{ type = \"derivation\"; }", print_options_eval, true, "«derivation»");
  check_print(
      "{ type = \"derivation\"; drvPath = \"/nix/store/d1jh9pasa7k2123456789abcdfghijkl-x.drv\"; a = throw \"no\"; }",
      print_options_eval, true, "«derivation /nix/store/d1jh9pasa7k2123456789abcdfghijkl-x.drv»");
  check_print("{ type = \"derivation\"; drvPath = \"bad\"; }", print_options_eval, true,
              "«error: path 'bad' is not in the Nix store»");
}

TEST(repeated_values_are_shown_once) {
  // Nix keeps lists of one and two items in the value, so that they are repeated only where the value itself is.
  check_print("let x = [ 1 ]; in [ x x ]", print_options_eval, true, "[ [ 1 ] «repeated» ]");
  check_print("let s = { v = [ 1 ]; }; in [ s.v s.v ]", print_options_eval, true, "[ [ 1 ] [ 1 ] ]");
  check_print("let s = { v = [ 1 2 3 ]; }; in [ s.v s.v ]", print_options_eval, true, "[ [ 1 2 3 ] «repeated» ]");
  check_print("let x = { a = x; }; in x", print_options_eval, true, "{ a = «repeated»; }");
  check_print("let l = [ 1 2 3 ]; in { a = l; b = l; c = { }; d = { }; e = [ ]; f = [ ]; }", print_options_eval, true,
              "{ a = [ 1 2 3 ]; b = «repeated»; c = { }; d = «repeated»; e = [ ]; f = [ ]; }");
}

TEST(pretty_printing_breaks_what_has_structure) {
  PrintOptions options = print_options_eval;
  options.pretty_indent = 2;
  check_print("{ a = 1; b = { c = 2; }; d = { e = { }; }; f = [ ]; g = [ 1 ]; h = [ [ 1 ] ]; }", options, true,
              "{\n  a = 1;\n  b = { c = 2; };\n  d = {\n    e = { };\n  };\n  f = [ ];\n  g = [ 1 ];\n  h = [\n    [ 1 "
              "]\n  ];\n}");
}

TEST(depth_needs_no_stack) {
  EvalFixture f;
  eval_fixture_init(&f);
  Buf got = BUF_INIT;
  eval_fixture_eval(&f, "builtins.foldl' (a: i: [ a ]) 1 (builtins.genList (i: i) 100000)", true, &got);
  CHECK_EQ_INT(got.len, 100000 * 4 + 1);
  buf_done(&got);
  eval_fixture_done(&f);
}

TEST(parts) {
  Buf out = BUF_INIT;
  print_string_literal(SPAN("a\"b\\c\n\r\t$${d}$"), &out);
  CHECK_STR(buf_span(&out), "\"a\\\"b\\\\c\\n\\r\\t$\\${d}$\"");
  buf_clear(&out);
  const char *const names[] = {"a", "a'b-1", "1a", "if", "or", "", "a b", "_"};
  for (size_t i = 0; i < ARRAY_LEN(names); i++) {
    print_attr_name(span_cstr(names[i]), &out);
    buf_put_char(&out, ' ');
  }
  CHECK_STR(buf_span(&out), "a a'b-1 \"1a\" \"if\" or \"\" \"a b\" _ ");
  buf_clear(&out);
  print_path(SPAN(EVAL_IO_NIX_DIR "/fetchurl.nix"), &out);
  CHECK_STR(buf_span(&out), "<nix/fetchurl.nix>");
  buf_done(&out);
}

TEST_MAIN()
