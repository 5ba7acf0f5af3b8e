// heap_test.c: programs give the same result whatever the size of the nursery and the threshold of the old space are, that is,
// wherever collections fall. A bug in a root, a write barrier or a frame that resumes shows as a difference or a crash.
#include "harness.h"
#include "memory_io.h"

#include "eval/print.h"
#include "eval/vm.h"

static const char *const programs[] = {
    // Operands of many kinds wait on the stack while calls above them allocate.
    "let g = n: builtins.length (builtins.genList (x: [ x n ]) (n + 20));"
    "    f = n: if n == 0 then [ ] else [ (g n) ] ++ f (n - 1) ++ [ (g n + g (n - 1)) ];"
    "in builtins.foldl' (a: b: a + b) 0 (f 200)",
    "let f = n: \"${toString n}-${if n == 0 then \"\" else f (n - 1)}-${toString (n + 1)}\"; in builtins.hashString "
    "\"sha256\" (f 300)",
    "let t = d: if d == 0 then { v = 1; } else { l = t (d - 1); r = t (d - 1) // { x = d; }; v = d; };"
    "    sum = s: s.v + (if s ? l then sum s.l + sum s.r else 0); in sum (t 11)",
    // A result takes the place of operands that an earlier collection has seen, and the next call collects again.
    "let h = n: \"s\" + toString (builtins.length (builtins.genList (x: [ x ]) n));"
    "    f = n: if n == 0 then \"\" else h n + f (n - 1) + h (n + 1) + h n; in builtins.hashString \"sha256\" (f 100)",
    // Natives that call back, resume and write their slots.
    "let l = builtins.genList (x: (x * 7919) - (x * 7919 / 1009) * 1009) 2000;"
    "in builtins.foldl' (a: b: a * 31 - a * 31 / 65537 * 65537 + b) 7 (builtins.sort (a: b: a < b) l)",
    "builtins.length (builtins.filter (x: builtins.length (builtins.genList (y: y) x) > 100) (builtins.genList (x: x) "
    "400))",
    "builtins.concatStringsSep \",\" (builtins.concatMap (x: [ (toString x) (toString [ x (x + 1) ]) ]) "
    "(builtins.genList (x: x) 300))",
    "builtins.attrNames (builtins.mapAttrs (n: v: v) (builtins.listToAttrs"
    "  (builtins.genList (x: { name = \"n${toString (x * 37)}\"; value = [ x ]; }) 400)))",
    "builtins.length (builtins.genericClosure { startSet = [ { key = 1; } ];"
    "  operator = x: if x.key > 1000 then [ ] else [ { key = x.key * 2; } { key = x.key * 3; } ]; })",
    "builtins.toJSON (builtins.groupBy (x: toString (x - x / 7 * 7)) (builtins.genList (x: x) 300))",
    // Old objects that get new values: thunks forced late, slots of sets, let bindings, buffers.
    "let xs = builtins.genList (x: { a = x + 1; b = xs; }) 500; in builtins.foldl' (s: x: s + x.a + builtins.length "
    "x.b) 0 xs",
    "let go = acc: n: if n == 0 then acc else go (acc ++ [ n ]) (n - 1); in builtins.length (go [ ] 2000)",
    "let go = acc: n: if n == 0 then acc else go (acc + toString n) (n - 1); in builtins.hashString \"md5\" (go \"\" "
    "2000)",
    "let base = builtins.listToAttrs (builtins.genList (x: { name = \"k${toString x}\"; value = x; }) 200);"
    "    go = s: n: if n == 0 then s else go (s // { \"k${toString (n * 3)}\" = n; }) (n - 1);"
    "in builtins.foldl' (a: b: a + b) 0 (builtins.attrValues (go base 300))",
    "let f = { a ? 1, b ? [ a ], ... }@x: builtins.length b + (x.c or 0); in"
    "  builtins.foldl' (s: n: s + f (if n > 500 then { c = n; } else { a = n; b = [ n n ]; })) 0 (builtins.genList (x: "
    "x) 1000)",
    "let s = { a = [ s.b ]; b = { c = s; }; }; in (builtins.tryEval (builtins.deepSeq s (builtins.head s.a).c.b.c.a == "
    "s.a)).value",
    "builtins.length (builtins.filter (x: !(builtins.tryEval (if x - x / 2 * 2 == 0 then throw \"e${toString x}\" else "
    "x)).success)"
    "  (builtins.genList (x: x) 500))",
};

static void evaluate(const char *program, const HeapConfig *config, Buf *ret) {
  MemoryIo io;
  memory_io_init(&io, NULL, 0);
  VmSettings settings = {.current_system = "x86_64-linux", .store_dir = "/nix/store", .heap = *config};
  Vm *vm = vm_new(&io.io, &settings, NULL, 0);
  HeapRoot root;
  heap_add_root(&vm->heap, &root, VALUE_NULL);
  HeapRoot *args[] = {&root};
  if (vm_eval_text(vm, span_cstr(program), SPAN("/"), SPAN("«string»"), &root) &&
      vm_run_native(vm, &native_deep_force, args, 1, &root))
    print_plain(vm, root.value, ret);
  else buf_printf(ret, "error: %s", buf_cstr(&eval_error_pending(vm)->message));
  heap_remove_root(&vm->heap, &root);
  vm_free(vm);
}

TEST(any_heap_gives_the_same_result) {
  static const HeapConfig configs[] = {
      {.nursery_bytes = 1 << 10, .threshold_bytes = 1 << 16},
      {.nursery_bytes = 3000, .threshold_bytes = 1 << 20},
      {.nursery_bytes = 10000, .threshold_bytes = 1 << 30},
      {.nursery_bytes = 77777, .threshold_bytes = 1 << 17},
      {.nursery_bytes = 1 << 18, .threshold_bytes = 1 << 30},
      {.nursery_bytes = 3000, .threshold_bytes = 1 << 20, .helper = true},
      {.nursery_bytes = 1 << 16, .threshold_bytes = 1 << 17, .helper = true},
  };
  for (size_t p = 0; p < ARRAY_LEN(programs); p++) {
    Buf want = BUF_INIT;
    evaluate(programs[p], &(HeapConfig){.nursery_bytes = (size_t)1 << 30}, &want);
    CHECK(!span_has_prefix(buf_span(&want), SPAN("error:")));
    for (size_t c = 0; c < ARRAY_LEN(configs); c++) {
      Buf got = BUF_INIT;
      evaluate(programs[p], &configs[c], &got);
      if (!span_eq(buf_span(&got), buf_span(&want))) test_note("program %zu, heap %zu", p, c);
      CHECK_SPAN(buf_span(&got), buf_span(&want));
      buf_done(&got);
    }
    buf_done(&want);
  }
}

TEST_MAIN()
