// eval_profile_test.c: samples are taken while code runs, sums agree, and frames are named after what they are about.
#include "eval_fixture.h"
#include "harness.h"

#include "eval/eval_profile_report.h"

static const char busy[] =
    "let slow = n: builtins.foldl' (a: b: a + b) 0 (builtins.genList (x: x * x) n);\n"
    "  again = k: if k == 0 then 0 else slow 20000 + again (k - 1);\n"
    "in builtins.addErrorContext \"while evaluating the option `services.busy.enable':\" (again 40)";

// Profiles an expression in `fixture`; false when the machine gave no sample.
static bool take(EvalFixture *fixture, const char *expr, EvalProfileResult *ret) {
  Err err = ERR_INIT;
  Vm *vm = eval_fixture_vm(fixture);
  HeapRoot root;
  CHECK(eval_profile_start(vm, 10000, &err));
  heap_add_root(&vm->heap, &root, VALUE_NULL);
  bool ok = vm_eval_text(vm, span_cstr(expr), SPAN("/"), SPAN("«string»"), &root);
  if (!ok) eval_error_clear(vm);
  heap_remove_root(&vm->heap, &root);
  eval_profile_finish(vm, ret);
  CHECK(vm->profile == NULL);
  return ret->taken > 0;
}

static const EvalProfileFrame *find(const EvalProfileResult *result, EvalProfileKind kind, const char *name) {
  for (uint32_t i = 0; i < result->frame_count; i++)
    if (result->frames[i].kind == kind && span_eq_cstr(result->frames[i].name, name)) return &result->frames[i];
  return NULL;
}

TEST(functions_builtins_and_options_are_named) {
  EvalFixture fixture;
  EvalProfileResult result;
  eval_fixture_init(&fixture);
  CHECK(take(&fixture, busy, &result));
  const EvalProfileFrame *again = find(&result, EVAL_PROFILE_FUNCTION, "again");
  CHECK(again != NULL);
  CHECK_STR(again->file, "«string»");
  CHECK_EQ_INT(again->line, 2);
  CHECK(find(&result, EVAL_PROFILE_BUILTIN, "foldl'") != NULL);
  CHECK(find(&result, EVAL_PROFILE_OPTION, "services.busy.enable") != NULL);
  CHECK(find(&result, EVAL_PROFILE_BUILTIN, "addErrorContext") == NULL);
  eval_profile_result_done(&result);
  eval_fixture_done(&fixture);
}

TEST(sums_agree) {
  EvalFixture fixture;
  EvalProfileResult result;
  eval_fixture_init(&fixture);
  uint64_t before = eval_profile_clock();
  CHECK(take(&fixture, busy, &result));
  uint64_t spent = eval_profile_clock() - before, by_node = 0, by_sample = 0;
  for (uint32_t i = 0; i < result.node_count; i++) {
    CHECK(i == 0 || result.nodes[i].parent < i);
    by_node += result.nodes[i].self_ns;
  }
  for (size_t i = 0; i < result.sample_count; i++) {
    CHECK(i == 0 || result.samples[i].node != result.samples[i - 1].node);
    by_sample += result.samples[i].ns;
  }
  CHECK_EQ_INT(by_node, result.total_ns);
  CHECK_EQ_INT(by_sample, result.total_ns);
  CHECK(result.total_ns <= spent);
  CHECK(result.collect_ns <= result.total_ns);
  eval_profile_result_done(&result);
  eval_fixture_done(&fixture);
}

// The option's text is a thunk, the collector moves everything at each safepoint, and the evaluation fails.
TEST(survives_collections_and_errors) {
  EvalFixture fixture;
  EvalProfileResult result;
  eval_fixture_init(&fixture);
  fixture.settings.heap.stress = true;
  take(&fixture,
       "let deep = n: if n == 0 then 0 else 1 + deep (n - 1); name = [ \"a\" \"b\" ];\n"
       "in builtins.addErrorContext \"while evaluating the option `${builtins.concatStringsSep \".\" name}':\"\n"
       "  (deep 3000 + throw \"end\")",
       &result);
  if (result.taken) CHECK(find(&result, EVAL_PROFILE_OPTION, "a.b") != NULL);
  eval_profile_result_done(&result);
  eval_fixture_done(&fixture);
}

TEST(deep_stacks_are_cut) {
  EvalFixture fixture;
  EvalProfileResult result;
  eval_fixture_init(&fixture);
  take(&fixture, "let deep = n: if n == 0 then 0 else 1 + deep (n - 1); in deep 1000000", &result);
  if (result.taken > 10) CHECK(find(&result, EVAL_PROFILE_INNER, "deeper frames") != NULL);
  eval_profile_result_done(&result);
  eval_fixture_done(&fixture);
}

static void put_int(Span line, uint64_t *sum) {
  uint64_t us;
  size_t space = span_rfind_char(line, ' ');
  CHECK(space != SIZE_MAX);
  CHECK(span_parse_u64(span_from(line, space + 1), &us));
  *sum += us;
}

TEST(folded_stacks) {
  EvalFixture fixture;
  EvalProfileResult result;
  Buf text = BUF_INIT;
  uint64_t sum = 0;
  eval_fixture_init(&fixture);
  CHECK(take(&fixture, busy, &result));
  eval_profile_report_folded(&result, &text);
  Span rest = buf_span(&text), line;
  bool found = false;
  while (span_split(&rest, '\n', &line)) {
    put_int(line, &sum);
    found |= span_find(line, SPAN("option services.busy.enable;again «string»:2:11;")) != SIZE_MAX;
  }
  CHECK(found);
  uint64_t total_us = result.total_ns / 1000;
  CHECK(sum >= total_us - total_us / 20 && sum <= total_us + total_us / 20); // rounded
  buf_clear(&text);
  eval_profile_report_summary(&result, 5, &text);
  CHECK(span_find(buf_span(&text), SPAN("services.busy.enable")) != SIZE_MAX);
  buf_done(&text);
  eval_profile_result_done(&result);
  eval_fixture_done(&fixture);
}

TEST(an_empty_profile_is_written) {
  EvalFixture fixture;
  EvalProfileResult result;
  Buf text = BUF_INIT;
  Err err = ERR_INIT;
  eval_fixture_init(&fixture);
  Vm *vm = eval_fixture_vm(&fixture);
  CHECK(eval_profile_start(vm, 1, &err));
  eval_profile_finish(vm, &result);
  eval_profile_report_folded(&result, &text);
  CHECK_EQ_INT(text.len, 0);
  eval_profile_report_speedscope(&result, SPAN("x"), &text);
  CHECK(span_has_prefix(buf_span(&text), SPAN("{\"$schema\":\"https://www.speedscope.app/")));
  buf_done(&text);
  eval_profile_result_done(&result);
  eval_fixture_done(&fixture);
}

TEST_MAIN()
