// vm_eval.c: making and freeing a VM, loading sources, and the embedder's entry points.
#include "base/log.h"
#include "base/fs.h"
#include "base/mem.h"
#include "eval/attrs.h"
#include "eval/builtins/registry.h"
#include "eval/compile.h"
#include "eval/eval_count.h"
#include "eval/regex.h"
#include "eval/str.h"
#include "eval/thunk.h"
#include "eval/unit_store.h"
#include "eval/vm_state.h"

// ---- type checks ----

static bool vm_type_failed(Vm *vm, Value v, const char *expected, const char *context) {
  eval_error_type(vm, 0, expected, v);
  if (context) eval_error_trace(vm, 0, "%s", context);
  return false;
}

bool vm_expect_int(Vm *vm, Value v, const char *context) {
  return value_is_int(v) || vm_type_failed(vm, v, "an integer", context);
}
bool vm_expect_bool(Vm *vm, Value v, const char *context) {
  return value_is_bool(v) || vm_type_failed(vm, v, "a Boolean", context);
}
bool vm_expect_string(Vm *vm, Value v, const char *context) {
  return value_is_string(v) || vm_type_failed(vm, v, "a string", context);
}
bool vm_expect_attrs(Vm *vm, Value v, const char *context) {
  return value_is_attrs(v) || vm_type_failed(vm, v, "a set", context);
}
bool vm_expect_list(Vm *vm, Value v, const char *context) {
  return value_is_list(v) || vm_type_failed(vm, v, "a list", context);
}
bool vm_expect_function(Vm *vm, Value v, const char *context) {
  if (value_is_function(v) || (value_is_attrs(v) && attrs_has(v, SYM_functor))) return true;
  return vm_type_failed(vm, v, "a function", context);
}
bool vm_expect_string_no_context(Vm *vm, Value v, const char *context) {
  if (!vm_expect_string(vm, v, context)) return false;
  const Context *c = str_context(v);
  if (!c) return true;
  Buf element CLEANUP(buf_done) = BUF_INIT;
  context_show(context_first(vm->contexts, c, false), span_cstr(vm->settings.store_dir), &element);
  eval_error(vm, EVAL_ERROR_EVAL, 0, "the string '%.*s' is not allowed to refer to a store path (such as '%s')",
             SPAN_ARG(str_span(v)), buf_cstr(&element));
  if (context) eval_error_trace(vm, 0, "%s", context);
  return false;
}

// ---- globals ----

uint32_t vm_global_find(Vm *vm, Sym name) {
  uintptr_t found = (uintptr_t)map_get(&vm->state->global_index, symbol_text(vm->symbols, name));
  return (uint32_t)found - 1;
}

bool vm_is_global(void *ctx, Span name) {
  return map_has(&((Vm *)ctx)->state->global_index, name);
}

// What stands in `builtins` for a constant that must not be computed before somebody wants it.
static Value late_constant(Vm *vm, const Builtin *row) {
  Buf name CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&name, "__%sLate", row->name);
  uintptr_t found = (uintptr_t)map_get(&vm->state->global_index, buf_span(&name));
  Value unused = VALUE_NULL;
  return native_delay_call(vm, vm_global(vm, (uint32_t)found - 1), &unused, 1);
}

Value vm_builtins_set(Vm *vm) {
  VmState *state = vm->state;
  if (state->builtins_set) return state->builtins_set;
  AttrsBuilder builder = ATTRS_BUILDER_INIT;
  for (uint32_t i = 0; i < state->global_count; i++) {
    const Builtin *row = state->global_rows[i];
    if (!row) {
      attrs_builder_add(&builder, SYM_builtins, VALUE_NULL, 0);
      continue;
    }
    if (row->flags & BUILTIN_HIDDEN) continue;
    bool is_late = row->flags & BUILTIN_LATE && !vm->settings.pure_eval;
    Value v = is_late ? late_constant(vm, row) : vm_global(vm, i);
    if (v != VALUE_ABSENT && v != VALUE_ERROR)
      attrs_builder_add(&builder, symbol_intern(vm->symbols, span_cstr(row->name)), v, 0);
  }
  Value set = attrs_builder_finish(vm, &builder, true);
  attrs_builder_done(&builder);
  Attrs *flat = attrs_flat(set);
  flat->slots[shape_find(flat->shape, SYM_builtins)] = set;
  return state->builtins_set = set;
}

Value vm_global(Vm *vm, uint32_t number) {
  VmState *state = vm->state;
  Value *slot = &state->globals[number];
  if (LIKELY(*slot != VALUE_NULL)) return *slot;
  const Builtin *row = state->global_rows[number];
  if (!row) return *slot = vm_builtins_set(vm);
  if (row->flags & BUILTIN_IMPURE && vm->settings.pure_eval) return *slot = VALUE_ABSENT;
  return *slot = row->fn(vm, NULL);
}

static void vm_add_global(Vm *vm, const char *name, const Builtin *row, Value value) {
  VmState *state = vm->state;
  uint32_t number = state->global_count++;
  state->globals[number] = value;
  state->global_rows[number] = row;
  map_set(&state->global_index, span_cstr(name), (void *)(uintptr_t)(number + 1));
}

static void vm_add_builtin(Vm *vm, const Builtin *row) {
  if (row->flags & BUILTIN_DYNAMIC && !vm->settings.dynamic_derivations) return;
  Value value = VALUE_NULL; // a constant: computed on first use
  if (row->arity) {
    value = value_builtin(vm->builtin_count);
    vm->builtins[vm->builtin_count++] = row;
  }
  if (row->flags & BUILTIN_GLOBAL) {
    vm_add_global(vm, row->name, row, value);
    return;
  }
  Buf name = BUF_INIT;
  buf_printf(&name, "__%s", row->name);
  vm_add_global(vm, buf_cstr(&name), row, value);
  buf_done(&name);
}

static void vm_add_table(Vm *vm, const BuiltinTable *table) {
  for (size_t i = 0; i < table->count; i++) vm_add_builtin(vm, &table->rows[i]);
}

static void vm_init_globals(Vm *vm, const BuiltinTable *extra, size_t extra_count) {
  VmState *state = vm->state;
  size_t total = 1;
  for (size_t i = 0; i < builtin_table_count; i++) total += builtin_tables[i]->count;
  for (size_t i = 0; i < extra_count; i++) total += extra[i].count;
  vm->builtins = mem_alloc_array(total, sizeof *vm->builtins);
  state->globals = mem_alloc_array(total, sizeof *state->globals);
  state->global_rows = mem_alloc_array(total, sizeof *state->global_rows);
  vm_add_global(vm, "builtins", NULL, VALUE_NULL);
  for (size_t i = 0; i < builtin_table_count; i++) vm_add_table(vm, builtin_tables[i]);
  for (size_t i = 0; i < extra_count; i++) vm_add_table(vm, &extra[i]);
  state->find_file_global = (uint32_t)(uintptr_t)map_get(&state->global_index, SPAN("__findFile")) - 1;
  state->nix_path_global = (uint32_t)(uintptr_t)map_get(&state->global_index, SPAN("__nixPath")) - 1;
}

// ---- life ----

static bool vm_read_source(void *ctx, Span path, Buf *ret) {
  Vm *vm = ctx;
  EvalIoWait wait;
  return vm->io->ops->read_file(vm->io, path, ret, &wait, NULL) == EVAL_IO_OK;
}

Vm *vm_new(EvalIo *io, const VmSettings *settings, const BuiltinTable *extra, size_t extra_count) {
  static const char *const names[] = {
#define SYMBOL(id, text) text,
#define SYMBOLS_KNOWN
#include "eval/symbols.def"
#undef SYMBOL
#undef SYMBOLS_KNOWN
  };
  Vm *vm = mem_alloc_zero(sizeof *vm);
  vm->io = io;
  vm->settings = *settings;
  if (!vm->settings.max_call_depth) vm->settings.max_call_depth = VM_DEFAULT_MAX_CALL_DEPTH;
  heap_init(&vm->heap, &settings->heap);
  if (settings->heap.stress) vm->heap.soft_end = vm->heap.nursery;
  vm->symbols = symbol_table_new();
  vm->shapes = shape_table_new(vm->symbols);
  vm->contexts = context_table_new();
  vm->positions = pos_table_new();
  pos_table_set_reader(vm->positions, vm_read_source, vm);
  vm->state = mem_alloc_zero(sizeof *vm->state);
  for (size_t i = 0; i < ARRAY_LEN(names); i++) symbol_intern(vm->symbols, span_cstr(names[i]));
  for (Sym sym = 1; sym < SYM_KNOWN_END_; sym++) {
    symbol_order(vm->symbols, sym);
    map_set(&vm->state->known_names, symbol_text(vm->symbols, sym), (void *)(uintptr_t)sym);
  }
  vm_init_globals(vm, extra, extra_count);
  return vm;
}

void vm_free(Vm *vm) {
  if (!vm) return;
  VmState *state = vm->state;
  while (state->tasks.first) task_free(vm, state->tasks.first);
  for (MapEntry *e = map_first(&state->imports); e; e = map_next(&state->imports, e)) mem_free(e->value);
  map_done(&state->imports);
  for (MapEntry *e = map_first(&vm->search_entries); e; e = map_next(&vm->search_entries, e)) mem_free(e->value);
  map_done(&vm->search_entries);
  regex_cache_free(vm->regexes);
  map_done(&state->global_index);
  map_done(&state->known_names);
  for (Unit *u = state->units, *next; u; u = next) {
    next = u->next;
    unit_free(u);
  }
  eval_error_clear(vm);
  eval_count_free(vm);
  heap_done(&vm->heap);
  pos_table_free(vm->positions);
  context_table_free(vm->contexts);
  shape_table_free(vm->shapes);
  symbol_table_free(vm->symbols);
  arena_done(&state->immortal);
  mem_free(state->globals);
  mem_free(state->global_rows);
  mem_free(state);
  mem_free(vm->builtins);
  mem_free(vm);
}

void vm_interrupt(Vm *vm) {
  vm->interrupted = 1;
  vm->heap.soft_end = vm->heap.nursery;
}

// ---- sources ----

static void vm_syntax_error(Vm *vm, const PosSource *source, ParserError *error) {
  Buf where = BUF_INIT;
  Pos other;
  if (error->other_pos != AST_NO_POS && pos_resolve(vm->positions, pos_of(source, error->other_pos), &other))
    buf_printf(&where, "%s:%u:%u", other.source->origin, other.line, other.column);
  eval_error(vm, EVAL_ERROR_SYNTAX, pos_of(source, error->pos), "%s%s", error->message, buf_cstr(&where));
  buf_done(&where);
  parser_error_done(error);
}

static Unit *vm_add_unit(Vm *vm, Unit *unit) {
  if (!unit) return NULL;
  unit->next = vm->state->units;
  vm->state->units = unit;
  vm->state->stats.units++;
  return unit;
}

static void vm_warn_cursed_or(Vm *vm, const PosSource *source, Span text, AstCursedOr cursed) {
  Pos pos = {0};
  (void)pos_resolve(vm->positions, pos_of(source, cursed.begin), &pos);
  Span expr = span_sub(text, cursed.begin, cursed.end - cursed.begin);
  log_warn(
      "at %s:%u:%u: This expression uses `or` as an identifier in a way that will change in a future Nix release.\n"
      "Wrap this entire expression in parentheses to preserve its current meaning:\n"
      "    (%.*s)\n"
      "Give feedback at https://github.com/NixOS/nix/pull/11121",
      source->origin, pos.line, pos.column, SPAN_ARG(expr));
}

// CompileScope.known_name.
static uint32_t vm_known_name(void *vm, Span name) {
  return (uint32_t)(uintptr_t)map_get(&((Vm *)vm)->state->known_names, name);
}

bool vm_compile(Vm *vm, Span text, Buf *ret) {
  ParserOptions options = {.pipe_operators = vm->settings.pipe_operators,
                           .no_url_literals = vm->settings.no_url_literals};
  ParserError error = {.other_pos = AST_NO_POS};
  CompileScope scope = {.is_global = vm_is_global, .known_name = vm_known_name, .ctx = vm};
  Ast ast;
  if (!parser_parse(text, &options, &ast, &error)) {
    parser_error_done(&error);
    return false;
  }
  buf_reserve(ret, text.len + text.len / 2);
  bool ok = ast.cursed_or_count == 0;
  if (ok && !compile_ast(&ast, text, &scope, ret, &error)) {
    parser_error_done(&error);
    ok = false;
  }
  ast_done(&ast);
  return ok;
}

// CompileScope.name_order.
static uint32_t vm_name_order(void *vm, Span name) {
  const SymbolTable *symbols = ((Vm *)vm)->symbols;
  Sym sym = symbol_find(symbols, name);
  return sym == SYMBOL_NONE ? 0 : symbol_get(symbols, sym)->order;
}

static Unit *vm_load_source(Vm *vm, const PosSource *source, Span text, Span base_dir, const Span *scoped,
                            uint32_t scoped_count) {
  ParserOptions options = {.pipe_operators = vm->settings.pipe_operators,
                           .no_url_literals = vm->settings.no_url_literals};
  ParserError error = {.other_pos = AST_NO_POS};
  Ast ast;
  if (!parser_parse(text, &options, &ast, &error)) {
    vm_syntax_error(vm, source, &error);
    return NULL;
  }
  for (uint32_t i = 0; i < ast.cursed_or_count; i++) vm_warn_cursed_or(vm, source, text, ast.cursed_ors[i]);
  CompileScope scope = {.is_global = vm_is_global,
                        .known_name = vm_known_name,
                        .name_order = vm_name_order,
                        .ctx = vm,
                        .scoped_names = scoped,
                        .scoped_count = scoped_count,
                        .base_dir = base_dir,
                        .home_dir = span_cstr(vm->settings.home_dir ? vm->settings.home_dir : "/")};
  Buf image = BUF_INIT;
  buf_reserve(&image, text.len + text.len / 2);
  bool ok = compile_ast(&ast, text, &scope, &image, &error), has_warnings = ast.cursed_or_count != 0;
  ast_done(&ast);
  if (!ok) {
    vm_syntax_error(vm, source, &error);
    return NULL;
  }
  size_t image_bytes = image.len;
  uint32_t *words = mem_realloc(buf_take(&image), image_bytes);
  Unit *unit = vm_add_unit(vm, unit_load(vm, words, true, source, base_dir));
  if (unit) unit->has_warnings = has_warnings;
  return unit;
}

Unit *vm_load_text(Vm *vm, Span text, Span path, Span origin, Span base_dir, const Span *scoped,
                   uint32_t scoped_count) {
  // The text of a file is read again if an error asks for it.
  const PosSource *source = pos_add_source(vm->positions, path, origin, path.len ? (Span){NULL, text.len} : text);
  return vm_load_source(vm, source, text, base_dir, scoped, scoped_count);
}

Value vm_unit_thunk(Vm *vm, Unit *unit, Env *env) {
  return thunk_new(vm, unit->image + unit_header(unit)->root, env);
}

Value vm_internal_text(Vm *vm, Span text, Span path, Span origin) {
  const PosSource *source = pos_add_source(vm->positions, path, origin, text);
  Unit *unit = vm_load_source(vm, source, text, SPAN("/"), NULL, 0);
  return unit ? vm_unit_thunk(vm, unit, NULL) : VALUE_ERROR;
}

// The env of a scopedImport: the attributes of the set in its order.
static Env *vm_scope_env(Vm *vm, Value set, Span *ret_names) {
  uint32_t count = attrs_flat_shape(set)->count;
  Env *env = heap_alloc(&vm->heap, sizeof *env + count * sizeof(Value));
  env->head = HEAD(T_ENV, 0, count);
  env->parent = NULL;
  for (uint32_t i = 0; i < count; i++) {
    env->slots[i] = attrs_slot(vm, set, i);
    ret_names[i] = symbol_text(vm->symbols, attrs_flat_shape(set)->names[i]);
  }
  return env;
}

// Read by programs that watch the files of an evaluation.
static void say_file(Span path) {
  log_msg(LOG_TALKATIVE, "evaluating file '%.*s'", SPAN_ARG(path));
}

Value vm_load_cached(Vm *vm, Span path, const EvalStat *stat) {
  uint32_t *image = vm->units ? vm->units->ops->find(vm->units, path, stat) : NULL;
  if (!image) return VALUE_ABSENT;
  say_file(path);
  const CodeImage *header = (const CodeImage *)(const void *)image;
  const PosSource *source = pos_add_source(vm->positions, path, path, (Span){NULL, header->source_len});
  Unit *unit = vm_add_unit(vm, unit_load(vm, image, false, source, fs_path_dir(path)));
  return unit ? vm_unit_thunk(vm, unit, NULL) : VALUE_ERROR;
}

// The instructions themselves take part, so that programs in development do not run each other's images.
static uint64_t vm_format_hash(void) {
  static const char text[] =
#define OP(name, words, doc) #name " " #words " " doc "\n"
#include "eval/op.def"
#undef OP
#define OPERAND(name, text) #name " "
#include "eval/operand.def"
#undef OPERAND
      ;
  uint64_t hash = CODE_VERSION;
  for (size_t i = 0; i + 1 < sizeof text; i++) hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001B3);
  return hash;
}

void vm_unit_fingerprint(Vm *vm, Buf *ret) {
  uint64_t hash = vm_format_hash();
  for (MapEntry *e = map_first(&vm->state->global_index); e; e = map_next(&vm->state->global_index, e))
    hash = (hash ^ e->hash) * UINT64_C(0x9E3779B97F4A7C15);
  buf_printf(ret, "%u-%016llx%s%s", CODE_VERSION, (unsigned long long)hash, vm->settings.pipe_operators ? "-pipe" : "",
             vm->settings.no_url_literals ? "-nourl" : "");
}

Value vm_load_file(Vm *vm, Span path, Span text, Value scope) {
  Span dir = fs_path_dir(path);
  say_file(path);
  if (scope == VALUE_NULL || scope == VALUE_EMPTY_ATTRS) {
    Unit *unit = vm_load_text(vm, text, path, path, dir, NULL, 0);
    if (!unit) return VALUE_ERROR;
    const EvalStat *stat = &vm->state->import_stat;
    if (vm->units && scope == VALUE_NULL && stat->type == EVAL_FILE_REGULAR && !unit->has_warnings)
      vm->units->ops->put(vm->units, path, stat, span_make(unit->image, (size_t)unit_header(unit)->word_count * 4));
    return vm_unit_thunk(vm, unit, NULL);
  }
  scope = attrs_flatten(vm, scope);
  uint32_t count = attrs_flat_shape(scope)->count;
  Span *names = mem_alloc_array(count, sizeof *names);
  Env *env = vm_scope_env(vm, scope, names);
  Unit *unit = vm_load_text(vm, text, path, path, dir, names, count);
  mem_free(names);
  return unit ? vm_unit_thunk(vm, unit, env) : VALUE_ERROR;
}

// ---- running ----

typedef struct VmJobs {
  Vm *vm;
  VmJob *jobs;
  Task **tasks;
} VmJobs;

static Task *vm_job_begin(void *ctx, size_t index) {
  VmJobs *all = ctx;
  Vm *vm = all->vm;
  VmJob *job = &all->jobs[index];
  Value args[NATIVE_MAX_ARGS];
  if (job->prepare) job->prepare(job, job->ctx);
  for (uint32_t k = 0; k < job->arg_count; k++) {
    args[k] = job->args[k].value;
    if (!job->prepare) heap_remove_root(&vm->heap, &job->args[k]);
  }
  Task *task = task_new(vm);
  task->job = true;
  task_start_native(vm, task, job->def, args, job->arg_count);
  return task;
}

static void vm_job_finished(void *ctx, size_t index) {
  VmJobs *all = ctx;
  VmJob *job = &all->jobs[index];
  Task *task = all->tasks[index];
  job->error = task->error;
  task->error = NULL;
  job->has_ended = true;
  heap_add_root(&all->vm->heap, &job->result, task->result);
  if (job->finished) job->finished(job, job->ctx);
}

void vm_run_jobs(Vm *vm, VmJob *jobs, size_t count) {
  VmJobs all = {vm, jobs, mem_alloc_zero((count + 1) * sizeof(Task *))};
  for (size_t i = 0; i < count; i++) {
    jobs[i].error = NULL;
    jobs[i].has_ended = false;
    jobs[i].result = (HeapRoot){.value = VALUE_NULL};
    for (uint32_t k = 0; k < jobs[i].arg_count && !jobs[i].prepare; k++)
      heap_add_root(&vm->heap, &jobs[i].args[k], jobs[i].args[k].value);
  }
  TaskJobs tasks = {count, all.tasks, vm_job_begin, vm_job_finished, &all, false}, *outer = vm->state->jobs;
  vm->state->jobs = &tasks;
  task_run_all(vm, &tasks);
  vm->state->jobs = outer;
  while (vm->state->tasks.first) task_free(vm, vm->state->tasks.first);
  for (size_t i = 0; i < count && tasks.is_held; i++)
    for (uint32_t k = 0; k < jobs[i].arg_count && !jobs[i].prepare && !jobs[i].has_ended; k++)
      heap_remove_root(&vm->heap, &jobs[i].args[k]);
  mem_free(all.tasks);
}

void vm_hold_jobs(Vm *vm) {
  if (vm->state->jobs) vm->state->jobs->is_held = true;
}

void vm_job_done(Vm *vm, VmJob *job) {
  if (job->result.next) heap_remove_root(&vm->heap, &job->result);
  if (job->error) eval_error_free(job->error);
  job->error = NULL;
}

static bool vm_run_one(Vm *vm, const NativeDef *def, const Value *args, uint32_t arg_count, HeapRoot *root) {
  VmJob job = {.def = def, .arg_count = arg_count};
  for (uint32_t i = 0; i < arg_count; i++) job.args[i].value = args[i];
  vm_run_jobs(vm, &job, 1);
  bool ok = !job.error;
  if (ok) {
    root->value = job.result.value;
  } else {
    eval_error_restore(vm, job.error);
    job.error = NULL;
  }
  vm_job_done(vm, &job);
  return ok;
}

bool vm_eval_text(Vm *vm, Span text, Span base_dir, Span origin, HeapRoot *root) {
  Span path = origin.len && origin.data[0] == '/' ? origin : (Span){NULL, 0};
  Unit *unit = vm_load_text(vm, text, path, origin, base_dir, NULL, 0);
  if (!unit) return false;
  Value thunk = vm_unit_thunk(vm, unit, NULL);
  return vm_run_one(vm, &native_force, &thunk, 1, root);
}

bool vm_eval_text_scoped(Vm *vm, Span text, Span base_dir, Span origin, const HeapRoot *scope, bool force,
                         HeapRoot *root) {
  Value set = attrs_flatten(vm, scope->value);
  uint32_t count = attrs_count(set);
  Span *names = mem_alloc_array(count + 1, sizeof *names);
  Env *env = count ? vm_scope_env(vm, set, names) : NULL;
  Unit *unit = vm_load_text(vm, text, (Span){NULL, 0}, origin, base_dir, count ? names : NULL, count);
  mem_free(names);
  if (!unit) return false;
  root->value = vm_unit_thunk(vm, unit, env);
  return !force || vm_run_one(vm, &native_force, &root->value, 1, root);
}

bool vm_eval_file(Vm *vm, Span path, HeapRoot *root) {
  Value args[] = {str_path(vm, path), VALUE_NULL};
  return vm_run_one(vm, &builtins_core_eval_file, args, 2, root);
}

bool vm_force_root(Vm *vm, HeapRoot *root) {
  return vm_run_one(vm, &native_force, &root->value, 1, root);
}

bool vm_call_root(Vm *vm, HeapRoot *fn, const HeapRoot *args, uint32_t arg_count, HeapRoot *root) {
  Value values[NATIVE_MAX_ARGS];
  for (uint32_t i = 0; i < arg_count; i++) values[i] = args[i].value;
  Value call = native_delay_call(vm, fn->value, values, arg_count);
  return vm_run_one(vm, &native_force, &call, 1, root);
}

bool vm_run_native(Vm *vm, const NativeDef *def, HeapRoot *const *args, uint32_t arg_count, HeapRoot *root) {
  Value values[NATIVE_MAX_ARGS];
  for (uint32_t i = 0; i < arg_count; i++) values[i] = args[i]->value;
  return vm_run_one(vm, def, values, arg_count, root);
}

void vm_get_stats(const Vm *vm, VmStats *ret) {
  *ret = vm->state->stats;
}
