// task_test.c: evaluation never waits for a build while other evaluation remains: how many of the builds that an expression reads
// are open at once when evaluation first has nothing else to do, that results and errors are those of sequential evaluation, and that
// recursion through parked tasks is found. Every case runs with a collection at each safepoint, too.
#include "harness.h"
#include "memory_io.h"

#include "eval/print.h"
#include "eval/vm.h"

static const MemoryFile files[] = {
    {.path = "/b/1", .text = "1", .built = true},
    {.path = "/b/2", .text = "2", .built = true},
    {.path = "/b/3", .text = "3", .built = true},
    {.path = "/b/4", .text = "4", .built = true},
    {.path = "/b/5", .text = "5", .built = true},
    {.path = "/b/bad", .built = true},
    {.path = "/b/bad2", .built = true},
    {.path = "/b/s", .text = "\"s\"", .built = true},
    {.path = "/b/path", .text = "/b/1", .built = true},
};

typedef struct Outcome {
  Buf text; // value or error message
  bool failed;
  size_t open, blocks;
} Outcome;

static Outcome evaluate(const char *expr, bool stress) {
  MemoryIo io;
  memory_io_init(&io, files, ARRAY_LEN(files));
  VmSettings settings = {.current_system = "x86_64-linux", .store_dir = "/nix/store", .heap = {.stress = stress}};
  Vm *vm = vm_new(&io.io, &settings, NULL, 0);
  HeapRoot root;
  heap_add_root(&vm->heap, &root, VALUE_NULL);
  HeapRoot *args[] = {&root};
  Outcome o = {BUF_INIT, false, 0, 0};
  if (vm_eval_text(vm, span_cstr(expr), SPAN("/"), SPAN("«string»"), &root) &&
      vm_run_native(vm, &native_deep_force, args, 1, &root)) {
    print_plain(vm, root.value, &o.text);
  } else {
    o.failed = true;
    buf_put_span(&o.text, buf_span(&eval_error_pending(vm)->message));
  }
  o.open = io.largest_pending_count;
  o.blocks = io.block_count;
  heap_remove_root(&vm->heap, &root);
  vm_free(vm);
  return o;
}

// `open`: builds that must be under way at once.
static void check(const char *expr, const char *want, size_t open) {
  for (int stress = 0; stress < 2; stress++) {
    Outcome o = evaluate(expr, stress);
    test_note("%s => %s (%zu open)", expr, buf_cstr(&o.text), o.open);
    CHECK_STR(buf_span(&o.text), want);
    CHECK_EQ_INT(o.open, open);
    buf_done(&o.text);
  }
}

TEST(one) {
  check("import /b/1", "1", 1);
}
TEST(list_items) {
  check("[ (import /b/1) (import /b/2) (import /b/3) (import /b/4) ]", "[ 1 2 3 4 ]", 4);
}
TEST(attributes) {
  check("{ a = import /b/1; b = { c = import /b/2; }; d = [ (import /b/3) ]; }",
        "{ a = 1; b = { c = 2; }; d = [ 3 ]; }", 3);
}
TEST(operands) {
  check("import /b/1 + import /b/2", "3", 2);
}
TEST(operand_chain) {
  check("import /b/1 + import /b/2 + import /b/3 * import /b/4", "15", 4);
}
TEST(operands_in_functions) {
  check("let f = a: b: import a + import b; in f /b/1 /b/2 + f /b/3 /b/4", "10", 4);
}
TEST(variables) {
  check("let a = import /b/1; b = import /b/2; in a + b", "3", 2);
}
TEST(comparison) {
  check("[ (import /b/1 < import /b/2) (import /b/3 == import /b/4) ]", "[ true false ]", 4);
}
TEST(interpolation) {
  check("\"${import /b/s}-${import /b/s}-${toString (import /b/1)}\"", "\"s-s-1\"", 2);
}
TEST(concatenation) {
  check("[ (import /b/1) ] ++ [ (import /b/2) ]", "[ 1 2 ]", 2);
}
TEST(arguments_of_builtins) {
  check("builtins.add (import /b/1) (import /b/2)", "3", 2);
}
TEST(mapped) {
  check("map (p: import p + 1) [ /b/1 /b/2 /b/3 ]", "[ 2 3 4 ]", 3);
}
TEST(dependent_reads_follow_each_other) {
  check("import (import /b/path)", "1", 1);
}
TEST(chain_next_to_others) {
  check("[ (import (import /b/path)) (import /b/2) ]", "[ 1 2 ]", 2);
}
TEST(shared_thunk) {
  check("let x = import /b/1; in [ (x + 1) (x + import /b/2) x ]", "[ 2 3 1 ]", 2);
}
TEST(branch_is_not_taken_ahead) {
  check("if import /b/1 == 1 then 10 else import /b/bad", "10", 1);
}
TEST(and_is_not_taken_ahead) {
  check("import /b/1 == 2 && import /b/bad", "false", 1);
}
TEST(first_error_in_program_order) {
  check("[ (import /b/bad) (import /b/bad2) ]", "builder for '/b/bad' failed", 2);
}
TEST(error_before_a_wait) {
  check("[ (import /b/1) (throw \"x\") (import /b/2) ]", "x", 2);
}
TEST(error_in_operand) {
  check("import /b/1 + (throw \"y\")", "y", 1);
}
TEST(try_eval) {
  check("[ (builtins.tryEval (import /b/1 + throw \"y\")).success (import /b/2) ]", "[ false 2 ]", 2);
}
TEST(recursion) {
  check("let x = import /b/1 + x; in x", "infinite recursion encountered", 1);
}
TEST(recursion_through_tasks) {
  check("let a = import /b/1 + b; b = import /b/2 + a; in [ a b ]", "infinite recursion encountered", 2);
}
TEST(set_recursion_through_tasks) {
  check("let s = { a = import /b/1 + s.b; b = import /b/2 + s.a; }; in s", "infinite recursion encountered", 2);
}
TEST(deep_recursion_while_parked) {
  check("let f = n: if n == 0 then import /b/1 else f (n - 1); in [ (f 1000) (f 1001) (import /b/2) ]", "[ 1 1 2 ]", 2);
}

// Output of trace comes in program order, and not from parts whose value is never needed.
static void collect_message(void *ctx, VmMessage kind, Span text) {
  (void)kind;
  buf_put_span(ctx, text);
  buf_put_char(ctx, '\n');
}

TEST(trace_in_program_order) {
  MemoryIo io;
  memory_io_init(&io, files, ARRAY_LEN(files));
  Buf messages = BUF_INIT;
  VmSettings settings = {.current_system = "x86_64-linux",
                         .store_dir = "/nix/store",
                         .message = collect_message,
                         .message_ctx = &messages};
  Vm *vm = vm_new(&io.io, &settings, NULL, 0);
  HeapRoot root;
  heap_add_root(&vm->heap, &root, VALUE_NULL);
  HeapRoot *args[] = {&root};
  const char *expr = "let t = builtins.trace; in [ (t \"a\" (import /b/1)) (t \"b\" 2) (import /b/2 + t \"c\" 1) ]";
  CHECK(vm_eval_text(vm, span_cstr(expr), SPAN("/"), SPAN("«string»"), &root));
  CHECK(vm_run_native(vm, &native_deep_force, args, 1, &root));
  CHECK_STR(buf_span(&messages), "trace: a\ntrace: b\ntrace: c\n");
  CHECK_EQ_INT(io.largest_pending_count, 2);
  heap_remove_root(&vm->heap, &root);
  vm_free(vm);
  buf_done(&messages);
}

TEST_MAIN()
