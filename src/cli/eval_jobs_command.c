// eval_jobs_command.c: `firn eval-jobs`: a tree of attributes, one JSON line for each derivation (or error), in the fields and with the
// options of nix-eval-jobs. All attributes are tasks of one evaluator: they share what they have in common, and none waits for another's
// builds.
#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/process.h"
#include "cli/build_plan.h"
#include "cli/command_list.h"
#include "cli/eval_cache.h"
#include "cli/eval_stats.h"
#include "cli/job_aggregates.h"
#include "cli/profiling.h"
#include "cli/target.h"
#include "eval/attrs.h"
#include "eval/list.h"
#include "eval/print_json.h"
#include "eval/str.h"
#include "formats/json_write.h"
#include "realise/drv_options.h"
#include "store/store_roots.h"

// ---- one attribute: (value, auto args, force-recurse, filter of meta or null, function of --apply or null, function about
// constituents or null) -> a list: ["drv" name system drvPath outputs meta
// extra constituents], ["set" set] or ["none"]
//
// outputs: a list [name path name path ...]; meta, extra: JSON text or null; constituents: what `find_constituents` gives, or null.

enum {
  JOB_VALUE,
  JOB_ARGS,
  JOB_RECURSE,
  JOB_META,
  JOB_APPLY,
  JOB_AGGREGATE,
  JOB_KIND,
  JOB_NAME,
  JOB_SYSTEM,
  JOB_DRV,
  JOB_OUTPUTS,
  JOB_LIST,
  JOB_META_TEXT,
  JOB_CONSTITUENTS,
  JOB_I,
  JOB_SLOTS
};

static Value text_attr(Native *n, Sym name) {
  return attrs_has(n->slot[JOB_VALUE], name) ? attrs_get(n->vm, n->slot[JOB_VALUE], name) : str_plain(n->vm, SPAN(""));
}

static Value output_name(Native *n) {
  return value_follow(list_get(n->vm, n->slot[JOB_OUTPUTS], (size_t)native_get(n, JOB_I)));
}

static void add_output(Native *n, Value path) {
  Value pair[2] = {output_name(n), path};
  n->slot[JOB_LIST] = list_concat(n->vm, n->slot[JOB_LIST], list_from(n->vm, pair, 2));
}

// The set of the current output: the derivation's attribute of that name.
static Value output_set(Native *n) {
  Value set = attrs_get(n->vm, n->slot[JOB_VALUE], str_intern(n->vm, output_name(n)));
  return set == VALUE_ABSENT ? n->slot[JOB_VALUE] : set;
}

static Value job_drv(Native *n, Value extra) {
  Value record[8] = {str_plain(n->vm, SPAN("drv")),
                     n->slot[JOB_NAME],
                     n->slot[JOB_SYSTEM],
                     n->slot[JOB_DRV],
                     n->slot[JOB_LIST],
                     n->slot[JOB_META_TEXT],
                     extra,
                     n->slot[JOB_CONSTITUENTS]};
  return list_from(n->vm, record, 8);
}

static Value job_set(Native *n) {
  Value record[2] = {str_plain(n->vm, SPAN("set")), attrs_flatten(n->vm, n->slot[JOB_VALUE])};
  return list_from(n->vm, record, 2);
}

static Value job_none(Native *n) {
  Value kind = str_plain(n->vm, SPAN("none"));
  return list_from(n->vm, &kind, 1);
}

static Step job_step(Native *n) {
  Vm *vm = n->vm;
  NATIVE_BEGIN(n);
  n->slot[JOB_LIST] = VALUE_EMPTY_LIST;
  n->args[0] = n->slot[JOB_VALUE];
  n->args[1] = n->slot[JOB_ARGS];
  NATIVE_PUSH(n, &target_native_call);
  n->slot[JOB_VALUE] = n->result;
  if (!value_is_attrs(n->result)) NATIVE_RETURN(n, job_none(n));
  n->slot[JOB_KIND] = VALUE_FALSE;
  if (attrs_has(n->slot[JOB_VALUE], SYM_type)) {
    NATIVE_FORCE(n, attrs_get(vm, n->slot[JOB_VALUE], SYM_type));
    n->slot[JOB_KIND] = value_bool(value_is_string(n->result) && span_eq_cstr(str_span(n->result), "derivation"));
  }
  if (n->slot[JOB_KIND] == VALUE_FALSE) {
    if (n->slot[JOB_RECURSE] == VALUE_TRUE) NATIVE_RETURN(n, job_set(n));
    if (!attrs_has(n->slot[JOB_VALUE], SYM_recurse_for_derivations)) NATIVE_RETURN(n, job_none(n));
    NATIVE_FORCE(n, attrs_get(vm, n->slot[JOB_VALUE], SYM_recurse_for_derivations));
    if (!vm_expect_bool(vm, n->result, "while evaluating the `recurseForDerivations` attribute")) return STEP_ERROR;
    NATIVE_RETURN(n, n->result == VALUE_TRUE ? job_set(n) : job_none(n));
  }
  NATIVE_FORCE(n, text_attr(n, SYM_name));
  if (!vm_expect_string(vm, n->result, "while evaluating the 'name' attribute of a derivation")) return STEP_ERROR;
  n->slot[JOB_NAME] = n->result;
  NATIVE_FORCE(n, text_attr(n, SYM_system));
  if (!vm_expect_string(vm, n->result, "while evaluating the 'system' attribute of a derivation")) return STEP_ERROR;
  n->slot[JOB_SYSTEM] = n->result;
  NATIVE_FORCE(n, text_attr(n, SYM_drv_path));
  if (!vm_expect_string(vm, n->result, "while evaluating the 'drvPath' attribute of a derivation")) return STEP_ERROR;
  n->slot[JOB_DRV] = n->result;
  if (attrs_has(n->slot[JOB_VALUE], SYM_outputs)) {
    NATIVE_FORCE(n, attrs_get(vm, n->slot[JOB_VALUE], SYM_outputs));
    if (!vm_expect_list(vm, n->result, "while evaluating the 'outputs' attribute of a derivation")) return STEP_ERROR;
    n->slot[JOB_OUTPUTS] = n->result;
  } else {
    Value out = str_symbol(vm, SYM_out);
    n->slot[JOB_OUTPUTS] = list_from(vm, &out, 1);
  }
  for (native_set(n, JOB_I, 0); native_get(n, JOB_I) < (int64_t)list_count(n->slot[JOB_OUTPUTS]);
       native_add(n, JOB_I, 1)) {
    NATIVE_FORCE(n, list_get(vm, n->slot[JOB_OUTPUTS], (size_t)native_get(n, JOB_I)));
    if (!vm_expect_string(vm, n->result, "while evaluating the name of an output")) return STEP_ERROR;
    NATIVE_FORCE(n, output_set(n));
    if (!vm_expect_attrs(vm, n->result, "while evaluating an output of a derivation")) return STEP_ERROR;
    NATIVE_FORCE(n, attrs_get(vm, n->result, SYM_out_path));
    if (!vm_expect_string(vm, n->result, "while evaluating the path of an output")) return STEP_ERROR;
    add_output(n, n->result);
  }
  n->slot[JOB_META_TEXT] = VALUE_NULL;
  if (n->slot[JOB_META] != VALUE_NULL) {
    NATIVE_CALL1(n, n->slot[JOB_META], n->slot[JOB_VALUE]);
    n->args[0] = n->result;
    n->args[1] = value_raw(0);
    NATIVE_PUSH(n, &print_json_native);
    n->slot[JOB_META_TEXT] = n->result;
  }
  n->slot[JOB_CONSTITUENTS] = VALUE_NULL;
  if (n->slot[JOB_AGGREGATE] != VALUE_NULL) {
    NATIVE_CALL1(n, n->slot[JOB_AGGREGATE], n->slot[JOB_VALUE]);
    n->slot[JOB_CONSTITUENTS] = n->result;
  }
  if (n->slot[JOB_APPLY] == VALUE_NULL) NATIVE_RETURN(n, job_drv(n, VALUE_NULL));
  NATIVE_CALL1(n, n->slot[JOB_APPLY], n->slot[JOB_VALUE]);
  if (!vm_expect_attrs(vm, n->result, "apply needs to evaluate to an attrset")) return STEP_ERROR;
  n->args[0] = n->result;
  n->args[1] = value_raw(0);
  NATIVE_PUSH(n, &print_json_native);
  NATIVE_RETURN(n, job_drv(n, n->result));
  NATIVE_END;
}

// What of `meta` is printed: attributes that hold nothing but strings, numbers and booleans, in lists and sets.
static const char meta_filter[] =
    "let ok = v: let t = builtins.typeOf v; in if t == \"list\" then builtins.all ok v "
    "else if t == \"set\" then !(v ? outPath) && builtins.all ok (builtins.attrValues v) "
    "else builtins.elem t [ \"int\" \"bool\" \"string\" \"float\" ]; "
    "in drv: let meta = drv.meta or { }; names = builtins.filter (n: ok meta.${n}) (builtins.attrNames meta); "
    "in if names == [ ] then null else builtins.intersectAttrs (builtins.listToAttrs (map (name: { inherit name; value "
    "= null; }) names)) meta";

// What --constituents prints: [derivations names patterns?], completely evaluated.
static const char find_constituents[] =
    "let inherit (builtins) attrNames concatMap deepSeq filter getContext isString length genList; in drv: "
    "if !(drv._hydraAggregate or false) then [ [ ] [ ] false ] else "
    "let list = drv.constituents or (throw \"derivation must have a 'constituents' attribute\"); "
    "context = getContext (toString list); "
    "result = [ (concatMap (path: genList (_: path) (length (context.${path}.outputs or [ ]))) (attrNames context)) "
    "(filter isString list) (drv._hydraGlobConstituents or false == true) ]; in deepSeq result result";

static const NativeDef native_job = {.name = "evalJob", .step = job_step, .arg_count = 6, .slot_count = JOB_SLOTS};

// ---- the tree
//
// Sets are gone through breadth first, and what their attributes print is printed in this order, in whatever order it becomes known: jobs of
// which an earlier answer is still good are known at once, those that are suspect (eval_cache.h) come last of all.

//
// The evaluator is given up and begun anew when the process has become too large (--max-memory-size): the values of all packages are alive as long as
// their set is. What remains is what has been printed, the derivations, and the names of what is still to be evaluated.

#define JOBS_DEFAULT_MIB 4096 // as nix-eval-jobs has it
#define JOBS_MIN_GROWTH 4     // an evaluator lives until it has allocated that many times as much as its first job did

typedef struct JobsRun JobsRun;
typedef struct JobsSet JobsSet;

// What one VmJob is about.
typedef struct JobItem {
  JobsRun *run;
  const JobsSet *set;
  char **path; // attribute names, owned; NULL when the queue has them
  size_t depth;
  bool is_ended, is_set;
  Buf line;           // what it prints; owned
  size_t cuts[4];     // where in the line of a job with constituents these and drvPath are, and where its outputs are
  uint32_t row_count; // what it depends on (eval_cache.h)
  uint32_t rank;      // of a suspect one
} JobItem;

struct JobsSet {
  HeapRoot set; // registered where this evaluator has it (set_is_here)
  char **path;  // owned
  size_t depth;
  JobItem *items; // of its attributes, in their order; owned; NULL: not begun
  uint32_t count, printed;
};

struct JobsRun {
  Session *session;
  Store *store; // for writing derivations and roots; NULL: nothing is written
  bool meta, recurse, check, instantiate;
  const char *roots_dir;
  size_t limit_bytes;   // of the process; 0: none
  uint64_t first_bytes; // allocated by this evaluator when its first job had ended; 0: none has
  bool is_too_large;    // the evaluator is to be begun anew
  HeapRoot top, args;   // the tree, --arg
  HeapRoot meta_filter, apply, find_constituents; // functions, or null
  JobAggregates *aggregates;                      // --constituents; or NULL
  int code;
  Buf out;             // lines that are complete, but not printed yet
  uint64_t printed_ns; // when some were printed last
  TargetDrvList drvs;  // of all lines
  JobsSet **sets;      // owned
  size_t set_count, set_cap;
  size_t printing; // the first set that is not printed completely
};

// The name of a job for the cache.
static void put_name(const JobItem *item, Buf *ret) {
  for (size_t i = 0; i < item->depth; i++) buf_put(ret, item->path[i], strlen(item->path[i]) + 1);
}

// What a line names is in the store before the line is printed. Many at a time: each time costs a wait for the disk.
static void print_lines(JobsRun *run) {
  Err err = ERR_INIT;
  run->printed_ns = loop_now_ns();
  if (!run->out.len) return;
  if (run->instantiate && run->session->io && !store_io_flush(run->session->io, &err)) {
    run->code = session_fail(run->session, &err);
    return;
  }
  session_write(run->session, buf_span(&run->out));
  buf_clear(&run->out);
}

// The derivation that a line is about; false: it is about none.
static bool line_drv(const JobsRun *run, Span line, StorePath *ret) {
  static const char key[] = "\"drvPath\":\"";
  size_t at = span_find(line, span_cstr(key));
  Span path;
  if (at == SIZE_MAX) return false;
  line = span_from(line, at + strlen(key));
  (void)span_split(&line, '"', &path);
  return store_path_parse(path, session_store_dir(run->session), ret, NULL);
}

static void print_item(JobsRun *run, JobItem *item) {
  enum { LINES_BYTES = 64 << 10, LINES_NS = 200000000 };
  Buf name CLEANUP(buf_done) = BUF_INIT;
  TargetDrv drv = {.output = SPAN("out"), .name = SPAN("")};
  if (!item->is_set) {
    put_name(item, &name);
    eval_cache_put_job(run->session, buf_span(&name), item->row_count);
  }
  if (item->line.len) {
    eval_cache_print(run->session, TRACE_CACHE_OUT, buf_span(&item->line));
    buf_put_span(&run->out, buf_span(&item->line));
    if (run->instantiate && line_drv(run, buf_span(&item->line), &drv.drv_path)) {
      MEM_RESERVE(run->drvs.items, run->drvs.cap, run->drvs.count + 1);
      run->drvs.items[run->drvs.count++] = drv;
    }
  }
  buf_done(&item->line);
  if (run->out.len >= LINES_BYTES || loop_now_ns() - run->printed_ns >= LINES_NS) print_lines(run);
}

static void print_ended(JobsRun *run) {
  for (; run->printing < run->set_count; run->printing++) {
    JobsSet *set = run->sets[run->printing];
    if (!set->items) return;
    for (; set->printed < set->count; set->printed++) {
      if (!set->items[set->printed].is_ended) return;
      print_item(run, &set->items[set->printed]);
    }
  }
}

static void join_path(const JobItem *item, Buf *ret) {
  for (size_t i = 0; i < item->depth; i++) {
    bool quoted = strchr(item->path[i], '.') != NULL;
    if (i) buf_put_char(ret, '.');
    if (quoted) buf_put_char(ret, '"');
    buf_put_cstr(ret, item->path[i]);
    if (quoted) buf_put_char(ret, '"');
  }
}

static bool put_path(JsonWrite *json, const JobItem *item, Err *err) {
  Buf joined CLEANUP(buf_done) = BUF_INIT;
  join_path(item, &joined);
  if (!json_write_key(json, SPAN("attr"), err) || !json_write_str(json, buf_span(&joined), err) ||
      !json_write_key(json, SPAN("attrPath"), err))
    return false;
  json_write_array_begin(json);
  for (size_t i = 0; i < item->depth; i++)
    if (!json_write_str(json, span_cstr(item->path[i]), err)) return false;
  json_write_array_end(json);
  return true;
}

static bool put_field(JsonWrite *json, const char *key, Span value, Err *err) {
  return json_write_key(json, span_cstr(key), err) && json_write_str(json, value, err);
}

// {"<drv>": ["out", ...], ...}
static bool put_inputs(const Derivation *drv, JsonWrite *json, Err *err) {
  if (!json_write_key(json, SPAN("inputDrvs"), err)) return false;
  json_write_object_begin(json);
  for (size_t i = 0; i < drv->input_drv_count; i++) {
    if (!json_write_key(json, drv->input_drvs[i].key, err)) return false;
    if (!json_write_strs(json, drv->input_drvs[i].outputs, drv->input_drvs[i].output_count, err)) return false;
  }
  json_write_object_end(json);
  return true;
}

static bool put_outputs(Vm *vm, JsonWrite *json, Value outputs, Err *err) {
  if (!json_write_key(json, SPAN("outputs"), err)) return false;
  json_write_object_begin(json);
  for (size_t i = 0; i + 1 < list_count(outputs); i += 2)
    if (!json_write_key(json, str_span(list_get(vm, outputs, i)), err) ||
        !json_write_str(json, str_span(list_get(vm, outputs, i + 1)), err))
      return false;
  json_write_object_end(json);
  return true;
}

static int compare_paths(const void *a, const void *b) {
  Buf left CLEANUP(buf_done) = BUF_INIT, right CLEANUP(buf_done) = BUF_INIT;
  store_path_format_base(a, &left);
  store_path_format_base(b, &right);
  // By name, then by hash.
  int order =
      span_cmp(span_from(buf_span(&left), STORE_PATH_HASH_CHARS), span_from(buf_span(&right), STORE_PATH_HASH_CHARS));
  return order ? order : span_cmp(buf_span(&left), buf_span(&right));
}

static bool put_needs(JobsRun *run, BuildPlan *plan, JsonWrite *json, Err *err) {
  StorePathList *fetches = &plan->fetches;
  if (!json_write_key(json, SPAN("neededBuilds"), err)) return false;
  if (!json_write_strs(json, plan->drvs, plan->count, err)) return false;
  if (!json_write_key(json, SPAN("neededSubstitutes"), err)) return false;
  if (fetches->count) qsort(fetches->paths, fetches->count, sizeof *fetches->paths, compare_paths);
  json_write_array_begin(json);
  for (size_t i = 0; i < fetches->count; i++) {
    Buf path CLEANUP(buf_done) = BUF_INIT;
    store_path_format(&fetches->paths[i], session_store_dir(run->session), &path);
    if (!json_write_str(json, buf_span(&path), err)) return false;
  }
  json_write_array_end(json);
  return true;
}

// local: nothing is missing; cached: caches have what is missing.
static bool put_cache_status(JobsRun *run, Span drv_path, Value outputs, JsonWrite *json, Err *err) {
  Vm *vm = run->session->vm;
  BuildPlan plan CLEANUP(build_plan_done) = {0};
  StorePath drv;
  if (!store_path_parse(drv_path, session_store_dir(run->session), &drv, err)) return false;
  for (size_t i = 0; i < list_count(outputs); i += 2)
    if (!build_plan_add(run->session, &plan, &drv, str_span(list_get(vm, outputs, i)), err)) return false;
  bool missing = plan.count || plan.unknown.count;
  Span status = missing ? SPAN("notBuilt") : plan.fetches.count ? SPAN("cached") : SPAN("local");
  if (!put_field(json, "cacheStatus", status, err) || !json_write_key(json, SPAN("isCached"), err)) return false;
  json_write_bool(json, !missing);
  return put_needs(run, &plan, json, err);
}

// Those that a machine must have to build it.
static bool put_features(const Derivation *drv, Span drv_path, Arena *arena, JsonWrite *json, Err *err) {
  DrvOptions options;
  if (!drv_options_read(drv, drv_path, arena, &options, err) ||
      !json_write_key(json, SPAN("requiredSystemFeatures"), err))
    return false;
  DrvStrings *features = &options.required_system_features;
  derivation_sort_spans(features->items, &features->count);
  return json_write_strs(json, features->items, features->count, err);
}

static bool put_json(JsonWrite *json, const char *key, Value text, Err *err) {
  if (!json_write_key(json, span_cstr(key), err)) return false;
  json_write_raw(json, str_span(text));
  return true;
}

static const Span *text_list(Vm *vm, Value list, Arena *arena, size_t *ret_count) {
  *ret_count = list_count(list);
  Span *spans = ARENA_ARRAY(arena, Span, *ret_count + 1);
  for (size_t i = 0; i < *ret_count; i++) spans[i] = str_span(value_follow(list_get(vm, list, i)));
  return spans;
}

static bool put_strings(JsonWrite *json, const char *key, const Span *spans, size_t count, Err *err) {
  return json_write_key(json, span_cstr(key), err) && json_write_strs(json, spans, count, err);
}

static Value constituents_part(Vm *vm, Value record, size_t part) {
  return value_follow(list_get(vm, value_follow(list_get(vm, record, 7)), part));
}

// Of an aggregate that names jobs all this is said when they are known (job_aggregates.h).
static bool put_constituents(JobItem *item, Value record, JsonWrite *json, Err *err) {
  Vm *vm = item->run->session->vm;
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  size_t count;
  if (!item->run->aggregates) return true;
  const Span *drvs = text_list(vm, constituents_part(vm, record, 0), &arena, &count);
  return put_strings(json, "constituents", drvs, count, err) &&
         (list_count(constituents_part(vm, record, 1)) > 0 || put_strings(json, "namedConstituents", NULL, 0, err));
}

static bool put_globs(JobItem *item, Value record, JsonWrite *json, Err *err) {
  if (!item->run->aggregates) return true;
  if (!json_write_key(json, SPAN("globConstituents"), err)) return false;
  json_write_bool(json, constituents_part(item->run->session->vm, record, 2) == VALUE_TRUE);
  return true;
}

// The job is one that others may name. An aggregate that names jobs prints nothing yet.
static void add_aggregate(JobItem *item, Value record) {
  JobsRun *run = item->run;
  Vm *vm = run->session->vm;
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  Buf attr CLEANUP(buf_done) = BUF_INIT;
  size_t count;
  Span line = span_trim(buf_span(&item->line));
  join_path(item, &attr);
  if (list_count(constituents_part(vm, record, 1)) == 0) {
    job_aggregates_add(run->aggregates, buf_span(&attr), str_span(list_get(vm, record, 3)), SPAN(""));
    return;
  }
  JobAggregate aggregate = {.attr = buf_span(&attr),
                            .drv_path = str_span(list_get(vm, record, 3)),
                            .globs = constituents_part(vm, record, 2) == VALUE_TRUE,
                            .head = span_sub(line, 0, item->cuts[0]),
                            .middle = span_sub(line, item->cuts[1], item->cuts[2] - item->cuts[1]),
                            .tail = span_from(line, item->cuts[3])};
  aggregate.constituents = text_list(vm, constituents_part(vm, record, 0), &arena, &aggregate.constituent_count);
  aggregate.named = text_list(vm, constituents_part(vm, record, 1), &arena, &aggregate.named_count);
  aggregate.outputs = text_list(vm, list_get(vm, record, 4), &arena, &count);
  aggregate.output_count = count / 2;
  job_aggregates_add_aggregate(run->aggregates, &aggregate);
  buf_clear(&item->line);
}

// Fields in the order of their names, but that all about caches stands together.
static bool put_drv(JobItem *item, Value record, JsonWrite *json, Err *err) {
  JobsRun *run = item->run;
  Vm *vm = run->session->vm;
  Span drv_path = str_span(list_get(vm, record, 3));
  Value outputs = list_get(vm, record, 4), meta = list_get(vm, record, 5), extra = list_get(vm, record, 6);
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  Derivation drv;
  KnownPaths *known = store_io_known(run->session->io);
  KnownDrv *entry = known_paths_load(known, drv_path, err);
  if (!entry || !known_paths_read(known, entry, &arena, &drv, err)) return false;
  if (run->check && !put_cache_status(run, drv_path, outputs, json, err)) return false;
  item->cuts[0] = item->line.len;
  if (!put_constituents(item, record, json, err) || !put_field(json, "drvPath", drv_path, err)) return false;
  item->cuts[1] = item->line.len;
  if ((extra != VALUE_NULL && !put_json(json, "extraValue", extra, err)) || !put_globs(item, record, json, err) ||
      !put_inputs(&drv, json, err) || (meta != VALUE_NULL && !put_json(json, "meta", meta, err)) ||
      !put_field(json, "name", str_span(list_get(vm, record, 1)), err))
    return false;
  item->cuts[2] = item->line.len;
  if (!put_outputs(vm, json, outputs, err)) return false;
  item->cuts[3] = item->line.len;
  return put_features(&drv, drv_path, &arena, json, err) &&
         put_field(json, "system", str_span(list_get(vm, record, 2)), err);
}

static bool put_error(JobItem *item, EvalError *error, JsonWrite *json, Err *err) {
  EvalErrorFormat format = {.show_trace = setting_bool(item->run->session->settings, SETTING_ID_show_trace)};
  Buf text CLEANUP(buf_done) = BUF_INIT;
  eval_error_format(item->run->session->vm, error, &format, &text);
  if (item->run->aggregates) {
    Buf attr CLEANUP(buf_done) = BUF_INIT;
    join_path(item, &attr);
    job_aggregates_add(item->run->aggregates, buf_span(&attr), SPAN(""), span_trim(buf_span(&text)));
  }
  return put_field(json, "error", span_trim(buf_span(&text)), err);
}

static bool make_root(JobsRun *run, Span drv_path, Err *err) {
  StorePath drv;
  Buf link CLEANUP(buf_done) = BUF_INIT;
  if (!run->roots_dir) return true;
  if (!store_path_parse(drv_path, session_store_dir(run->session), &drv, err) || !store_io_flush(run->session->io, err))
    return false;
  buf_printf(&link, "%s/", run->roots_dir);
  store_path_format_base(&drv, &link);
  return fs_mkdir_all(run->roots_dir, 0777, err) && store_roots_add(run->store, &drv, buf_cstr(&link), err);
}

static void put_line(VmJob *job, JobItem *item, bool is_drv) {
  JobsRun *run = item->run;
  Err err = ERR_INIT;
  JsonWrite json;
  json_write_init(&json, &item->line, 0);
  json_write_object_begin(&json);
  Value record = job->result.value;
  bool ok =
      put_path(&json, item, &err) && (is_drv ? put_drv(item, record, &json, &err) &&
                                                   make_root(run, str_span(list_get(run->session->vm, record, 3)), &err)
                                             : put_error(item, job->error, &json, &err));
  json_write_object_end(&json);
  buf_put_char(&item->line, '\n');
  if (ok && is_drv && run->aggregates) add_aggregate(item, record);
  if (ok) return;
  buf_clear(&item->line);
  run->code = session_fail(run->session, &err);
}

static char **copy_path(char **path, size_t depth, Span last) {
  char **copy = mem_alloc_array(depth + 1, sizeof(char *));
  for (size_t i = 0; i < depth; i++) copy[i] = span_dup(span_cstr(path[i]));
  copy[depth] = span_dup(last);
  return copy;
}
static void free_path(char **path, size_t depth) {
  for (size_t i = 0; i < depth && path; i++) mem_free(path[i]);
  mem_free(path);
}

static void enqueue(JobsRun *run, Value value, char **path, size_t depth) {
  JobsSet *set = mem_alloc_zero(sizeof(*set));
  heap_add_root(&run->session->vm->heap, &set->set, value);
  set->path = path;
  set->depth = depth;
  MEM_RESERVE(run->sets, run->set_cap, run->set_count + 1);
  run->sets[run->set_count++] = set;
}

// Whether a collection now could make the process larger than it may be: what is alive is copied.
static bool is_too_large(JobsRun *run) {
  const Heap *heap = &run->session->vm->heap;
  uint64_t allocated = heap->stats.allocated_bytes + (uint64_t)(heap->next - heap->nursery);
  if (!run->first_bytes) run->first_bytes = allocated;
  if (!run->limit_bytes || allocated / JOBS_MIN_GROWTH < run->first_bytes) return false;
  if (process_resident_bytes() + heap->stats.old_bytes <= run->limit_bytes) return false;
  known_paths_release(store_io_known(run->session->io));
  return process_resident_bytes() + heap->stats.old_bytes > run->limit_bytes;
}

static void finished(VmJob *job, void *ctx) {
  JobItem *item = ctx;
  JobsRun *run = item->run;
  Vm *vm = run->session->vm;
  Span kind = job->error ? SPAN("error") : str_span(list_get(vm, job->result.value, 0));
  item->is_set = span_eq_cstr(kind, "set");
  if (job->error || span_eq_cstr(kind, "drv")) put_line(job, item, !job->error);
  if (job->error) eval_cache_failed(run->session, job->error);
  if (job->error && job->error->kind == EVAL_ERROR_INTERRUPTED) run->code = err_exit_code(ERR_INTERRUPTED);
  item->row_count = eval_cache_row_count(run->session);
  item->is_ended = true;
  if (item->is_set) {
    enqueue(run, list_get(vm, job->result.value, 1), item->path, item->depth);
    item->path = NULL;
  }
  vm_job_done(vm, job);
  print_ended(run);
  run->is_too_large = run->is_too_large || is_too_large(run);
  if (run->is_too_large || run->code) vm_hold_jobs(vm);
}

// What an earlier evaluation found out about it is still good.
static bool is_known(JobItem *item) {
  Buf name CLEANUP(buf_done) = BUF_INIT;
  Span output;
  put_name(item, &name);
  StorePath drv;
  bool valid = true;
  if (!eval_cache_job_known(item->run->session, buf_span(&name), &output, &item->row_count)) return false;
  if (item->run->instantiate && line_drv(item->run, output, &drv) &&
      !(store_is_valid(item->run->store, &drv, &valid, NULL) && valid))
    return false;
  buf_put_span(&item->line, output);
  return true;
}

static uint32_t rank_of(const JobItem *item) {
  Buf name CLEANUP(buf_done) = BUF_INIT;
  put_name(item, &name);
  return eval_cache_job_rank(item->run->session, buf_span(&name));
}

static int compare_ranks(const void *a, const void *b) {
  uint32_t left = ((const JobItem *)((const VmJob *)a)->ctx)->rank,
           right = ((const JobItem *)((const VmJob *)b)->ctx)->rank;
  return (left > right) - (left < right);
}

static void fill_set(JobsRun *run, JobsSet *set) {
  Vm *vm = run->session->vm;
  uint32_t count = attrs_count(set->set.value);
  set->items = mem_alloc_zero((count + 1) * sizeof(JobItem));
  for (uint32_t i = 0; i < count; i++) {
    Sym name = attrs_flat_shape(set->set.value)->names[i];
    if (name == SYM_recurse_for_derivations) continue;
    JobItem *item = &set->items[set->count++];
    *item = (JobItem){.run = run,
                      .set = set,
                      .path = copy_path(set->path, set->depth, symbol_text(vm->symbols, name)),
                      .depth = set->depth + 1,
                      .line = BUF_INIT};
    item->is_ended = is_known(item);
    item->rank = rank_of(item);
  }
}

// Jobs that are to run together.
typedef struct JobList {
  VmJob *jobs; // owned
  size_t count, cap;
} JobList;

static Value job_value(Vm *vm, const JobsSet *set, const char *name) {
  return attrs_get(vm, set->set.value, symbol_intern(vm->symbols, span_cstr(name)));
}

static void prepare(VmJob *job, void *ctx) {
  const JobItem *item = ctx;
  const JobsRun *run = item->run;
  job->args[0].value = job_value(run->session->vm, item->set, item->path[item->depth - 1]);
  job->args[1].value = run->args.value;
  job->args[2].value = value_bool(run->recurse);
  job->args[3].value = run->meta_filter.value;
  job->args[4].value = run->apply.value;
  job->args[5].value = run->find_constituents.value;
}

// Adds those of the set's attributes that are not known yet; `suspects`: also the suspect ones.
static void add_jobs(JobsSet *set, bool suspects, JobList *ret) {
  for (uint32_t i = 0; i < set->count; i++) {
    JobItem *item = &set->items[i];
    if (item->is_ended || (!suspects && item->rank)) continue;
    MEM_RESERVE(ret->jobs, ret->cap, ret->count + 1);
    ret->jobs[ret->count++] =
        (VmJob){.def = &native_job, .arg_count = 6, .prepare = prepare, .finished = finished, .ctx = item};
  }
}

static bool set_is_here(const JobsSet *set) {
  return set->set.next != NULL;
}

// Finds the set again in a new evaluator, as its attributes were found in the former one.
static bool find_set(JobsRun *run, JobsSet *set) {
  Vm *vm = run->session->vm;
  HeapRoot recurse = {0}, none = {0};
  bool ok = true;
  if (set_is_here(set)) return true;
  heap_add_root(&vm->heap, &set->set, attrs_flatten(vm, run->top.value));
  heap_add_root(&vm->heap, &recurse, VALUE_TRUE);
  heap_add_root(&vm->heap, &none, VALUE_NULL);
  for (size_t i = 0; i < set->depth && ok; i++) {
    HeapRoot *const args[] = {&set->set, &run->args, &recurse, &none, &none, &none};
    set->set.value = job_value(vm, set, set->path[i]);
    ok = set->set.value != VALUE_ABSENT && vm_run_native(vm, &native_job, args, 6, &set->set) &&
         span_eq_cstr(str_span(list_get(vm, set->set.value, 0)), "set");
    if (ok) set->set.value = list_get(vm, set->set.value, 1);
  }
  heap_remove_root(&vm->heap, &none);
  heap_remove_root(&vm->heap, &recurse);
  if (ok) return true;
  Err err = ERR_INIT;
  err_set(&err, ERR_EVAL, "evaluated a second time, '%s' is no set any more", set->path[set->depth - 1]);
  run->code = session_fail(run->session, &err);
  return false;
}

static void free_sets(JobsRun *run) {
  for (size_t i = 0; i < run->set_count; i++) {
    JobsSet *set = run->sets[i];
    for (uint32_t k = 0; k < set->count; k++) {
      free_path(set->items[k].path, set->items[k].depth);
      buf_done(&set->items[k].line);
    }
    if (set_is_here(set)) heap_remove_root(&run->session->vm->heap, &set->set);
    free_path(set->path, set->depth);
    mem_free(set->items);
    mem_free(set);
  }
  mem_free(run->sets);
}

// The root of the tree: called with --arg, changed by --select; a derivation alone is a job without a name.
static bool find_top(JobsRun *run) {
  Session *session = run->session;
  Vm *vm = session->vm;
  HeapRoot *root = &run->top, *args = &run->args;
  int *ret_code = &run->code;
  const TargetRoot *roots;
  size_t count;
  bool used, ok;
  HeapRoot select = {0}, path = {0}, form = {0};
  const char *text = option_get(&session->options, OPT_select), *attr = option_get(&session->options, OPT_attr);
  target_roots(session, false, &roots, &count, &used);
  heap_add_root(&vm->heap, &select, VALUE_NULL);
  heap_add_root(&vm->heap, &path, value_raw_ptr(attr ? attr : ""));
  heap_add_root(&vm->heap, &form, value_raw(TARGET_WHNF));
  ok = target_auto_args(session, args, ret_code) && target_eval_root(session, &roots[0], root, ret_code) &&
       (!text || target_eval_root(session, &(TargetRoot){TARGET_EXPR, text}, &select, ret_code));
  HeapRoot *const call_args[] = {root, args}, *const value_args[] = {root, args, &path, &select, &form};
  if (ok && !(vm_run_native(vm, &target_native_value, value_args, 5, root) &&
              vm_run_native(vm, &target_native_call, call_args, 2, root))) {
    *ret_code = session_eval_failed(session, NULL);
    ok = false;
  }
  heap_remove_root(&vm->heap, &form);
  heap_remove_root(&vm->heap, &path);
  heap_remove_root(&vm->heap, &select);
  return ok;
}

// What is measured is one evaluator.
static bool read_limit(JobsRun *run, Err *err) {
  const OptionList *list = &run->session->options;
  const char *text = option_get(list, OPT_max_memory_size);
  uint64_t mib = JOBS_DEFAULT_MIB;
  if (text && (!span_parse_u64(span_cstr(text), &mib) || mib > SIZE_MAX >> 20))
    return err_set(err, ERR_USAGE, "'--max-memory-size %s': a number of MiB is expected", text);
  if (!profiling_is_wanted(run->session) && !eval_stats_are_wanted(run->session)) run->limit_bytes = (size_t)mib << 20;
  return true;
}

static bool check_options(const Session *session, Err *err) {
  const OptionList *list = &session->options;
  const char *flake = option_has(list, OPT_jobs_flake)            ? "--flake"
                      : option_has(list, OPT_override_input)      ? "--override-input"
                      : option_has(list, OPT_reference_lock_file) ? "--reference-lock-file"
                                                                  : NULL;
  if (flake)
    return err_set(err, ERR_USAGE, "'%s': there are no flakes; name a file, or an expression with --expr", flake);
  if (!option_has(list, OPT_no_instantiate)) return true;
  const char *other = option_has(list, OPT_show_input_drvs)      ? "--show-input-drvs"
                      : option_has(list, OPT_check_cache_status) ? "--check-cache-status"
                      : option_has(list, OPT_constituents)       ? "--constituents"
                                                                 : NULL;
  if (!other) return true;
  return err_set(err, ERR_USAGE,
                 "--no-instantiate is incompatible with: %s. These features require instantiated derivations.", other);
}

// The functions that each job is given to.
static bool find_functions(JobsRun *run) {
  Session *session = run->session;
  const char *apply = option_get(&session->options, OPT_jobs_apply);
  return (!run->meta ||
          target_eval_root(session, &(TargetRoot){TARGET_EXPR, meta_filter, NULL}, &run->meta_filter, &run->code)) &&
         (!apply || target_eval_root(session, &(TargetRoot){TARGET_EXPR, apply, NULL}, &run->apply, &run->code)) &&
         (!run->aggregates || target_eval_root(session, &(TargetRoot){TARGET_EXPR, find_constituents, NULL},
                                               &run->find_constituents, &run->code));
}

static void close_evaluator(JobsRun *run) {
  if (!run->top.next) return; // it could not be opened
  Heap *heap = &run->session->vm->heap;
  for (size_t i = 0; i < run->set_count; i++)
    if (set_is_here(run->sets[i])) heap_remove_root(heap, &run->sets[i]->set);
  heap_remove_root(heap, &run->find_constituents);
  heap_remove_root(heap, &run->apply);
  heap_remove_root(heap, &run->meta_filter);
  heap_remove_root(heap, &run->args);
  heap_remove_root(heap, &run->top);
}

// The tree as a set. A derivation is the only job, without a name.
static bool open_evaluator(JobsRun *run) {
  Err err = ERR_INIT;
  if (!session_vm(run->session, &err)) {
    run->code = session_fail(run->session, &err);
    return false;
  }
  Vm *vm = run->session->vm;
  run->first_bytes = 0;
  run->is_too_large = false;
  heap_add_root(&vm->heap, &run->top, VALUE_NULL);
  heap_add_root(&vm->heap, &run->args, VALUE_EMPTY_ATTRS);
  heap_add_root(&vm->heap, &run->meta_filter, VALUE_NULL);
  heap_add_root(&vm->heap, &run->apply, VALUE_NULL);
  heap_add_root(&vm->heap, &run->find_constituents, VALUE_NULL);
  if (!find_functions(run) || !find_top(run)) return false;
  if (!value_is_attrs(run->top.value)) {
    err_set(&err, ERR_EVAL, "the top of the tree is %s, but a set is expected",
            eval_error_type_phrase(vm, run->top.value));
    run->code = session_fail(run->session, &err);
    return false;
  }
  if (attrs_has(run->top.value, SYM_drv_path)) {
    AttrsBuilder builder = ATTRS_BUILDER_INIT;
    attrs_builder_add(&builder, symbol_intern(vm->symbols, SPAN("")), run->top.value, 0);
    run->top.value = attrs_builder_finish(vm, &builder, false);
    attrs_builder_done(&builder);
  }
  return true;
}

static bool restart(JobsRun *run) {
  close_evaluator(run);
  session_restart_vm(run->session);
  return open_evaluator(run);
}

// Evaluates attributes of the sets in this range; false: there was nothing to do.
static bool run_sets(JobsRun *run, size_t begin, size_t end, bool suspects) {
  for (bool any = false;; any = true) {
    JobList list = {0};
    for (size_t i = begin; i < end; i++) add_jobs(run->sets[i], suspects, &list);
    if (suspects && list.count) qsort(list.jobs, list.count, sizeof(VmJob), compare_ranks);
    bool ok = list.count > 0 && run->code == 0 && (!run->is_too_large || restart(run));
    for (size_t i = begin; i < end && ok; i++) ok = find_set(run, run->sets[i]);
    print_ended(run);
    if (ok) vm_run_jobs(run->session->vm, list.jobs, list.count);
    mem_free(list.jobs);
    if (!ok) return any;
  }
}

static void run_all(JobsRun *run) {
  for (size_t next = 0; run->code == 0;) {
    for (; next < run->set_count && run->code == 0; next++) {
      if (!find_set(run, run->sets[next])) return;
      fill_set(run, run->sets[next]);
      (void)run_sets(run, next, next + 1, false);
    }
    if (!run_sets(run, 0, next, true)) return;
  }
}

static void print_aggregates(JobsRun *run) {
  Err err = ERR_INIT;
  bool ok = job_aggregates_finish(run->aggregates, &run->out, &err);
  for (size_t i = 0; i < job_aggregates_count(run->aggregates) && ok; i++) {
    Span drv_path = job_aggregates_drv_path(run->aggregates, i);
    if (drv_path.len) ok = make_root(run, drv_path, &err);
  }
  if (!ok) run->code = session_fail(run->session, &err);
}

static void evaluate(JobsRun *run) {
  if (open_evaluator(run)) {
    enqueue(run, attrs_flatten(run->session->vm, run->top.value), NULL, 0);
    run_all(run);
    if (run->aggregates && run->code == 0) print_aggregates(run);
    print_lines(run);
  }
  close_evaluator(run);
  free_sets(run);
}

int eval_jobs_command_run(Session *session) {
  Err err = ERR_INIT;
  const OptionList *list = &session->options;
  JobsRun run = {.session = session,
                 .meta = option_has(list, OPT_meta),
                 .recurse = option_has(list, OPT_force_recurse),
                 .check = option_has(list, OPT_check_cache_status),
                 .instantiate = !option_has(list, OPT_no_instantiate),
                 .roots_dir = option_get(list, OPT_gc_roots_dir),
                 .out = BUF_INIT,
                 .printed_ns = loop_now_ns()};
  Buf detail CLEANUP(buf_done) = BUF_INIT;
  const TargetRoot *roots;
  size_t root_count;
  bool used,
      keeps =
          !run.check && !run.roots_dir &&
          !option_has(list, OPT_constituents); // the first look at the store, or change it; the last is about all jobs
  const char *select = option_get(list, OPT_select), *apply = option_get(list, OPT_jobs_apply);
  if (!check_options(session, &err) || !read_limit(&run, &err)) return session_fail(session, &err);
  buf_printf(&detail, "jobs %d %d %d %s\n%s", run.meta, run.recurse, run.instantiate, select ? select : "",
             apply ? apply : "");
  target_roots(session, false, &roots, &root_count, &used);
  bool known = keeps && eval_cache_find_jobs(session, roots, root_count, buf_span(&detail),
                                             run.instantiate ? &run.drvs : NULL, &run.code);
  if (!known) {
    bool writes = run.instantiate || run.roots_dir;
    if (option_has(list, OPT_constituents)) run.aggregates = job_aggregates_new(session);
    if (writes && !session_store(session, &run.store, &err)) run.code = session_fail(session, &err);
    else evaluate(&run);
    eval_cache_end(session, run.instantiate ? &run.drvs : NULL, run.code);
  }
  job_aggregates_free(run.aggregates);
  target_drv_list_done(&run.drvs);
  buf_done(&run.out);
  return run.code;
}
