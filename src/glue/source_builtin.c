// source_builtin.c: files and texts that programs put into the store.
//
// A filter is a function of the language, so the tree is walked by a resumable native: a SourceWalk (C memory, because no value
// refers to it) holds the open directories and what has been accepted; hashing and copying then ask only that list. It is freed
// when the native ends or unwinds, and with the Glue where a task was dropped in the middle.
//
// Behaviour and wording: Nix 2.26, primops.cc.
#include "glue/source_builtin.h"

#include <errno.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "eval/attrs.h"
#include "eval/builtins/builtins_util.h"
#include "eval/list.h"
#include "eval/path_coerce.h"
#include "eval/str.h"
#include "glue/glue.h"

// ---- walking a tree for a filter

typedef struct WalkDir {
  EvalDirList list;
  size_t next;
  size_t path_len; // length of SourceWalk.rel for this directory
} WalkDir;

typedef struct SourceWalk {
  struct SourceWalk *next, **link; // in Glue.walks
  Buf physical, logical;           // of the root
  Buf rel;                         // of the entry the filter is asked about; "" for the root
  WalkDir *dirs;
  size_t dir_count, dir_cap;
  Map *accepted; // owned until it is handed to the store
} SourceWalk;

static void walk_free(SourceWalk *walk) {
  if (!walk) return;
  *walk->link = walk->next;
  if (walk->next) walk->next->link = walk->link;
  for (size_t i = 0; i < walk->dir_count; i++) eval_io_dir_list_done(&walk->dirs[i].list);
  mem_free(walk->dirs);
  if (walk->accepted) map_done(walk->accepted);
  mem_free(walk->accepted);
  buf_done(&walk->physical);
  buf_done(&walk->logical);
  buf_done(&walk->rel);
  mem_free(walk);
}

void source_builtin_free_walks(Glue *glue) {
  while (glue->walks) walk_free(glue->walks);
}

static SourceWalk *walk_new(Glue *glue) {
  SourceWalk *walk = mem_alloc_zero(sizeof(*walk));
  walk->next = glue->walks;
  walk->link = &glue->walks;
  if (walk->next) walk->next->link = &walk->next;
  glue->walks = walk;
  return walk;
}

// Opens the directory at `rel`.
static bool walk_enter(SourceWalk *walk, Vm *vm) {
  Err err = ERR_INIT;
  Buf path CLEANUP(buf_done) = BUF_INIT;
  buf_put_span(&path, buf_span(&walk->physical));
  if (walk->rel.len) buf_put_char(&path, '/');
  buf_put_span(&path, buf_span(&walk->rel));
  MEM_RESERVE(walk->dirs, walk->dir_cap, walk->dir_count + 1);
  WalkDir *dir = &walk->dirs[walk->dir_count];
  *dir = (WalkDir){.path_len = walk->rel.len};
  if (!store_io_list(glue_of(vm)->io, buf_cstr(&path), &dir->list, &err))
    return eval_error_from_err(vm, EVAL_ERROR_IO, 0, &err), false;
  walk->dir_count++;
  return true;
}

// Moves to the next entry to ask about; false at the end.
static bool walk_next(SourceWalk *walk, EvalFileType *ret_type) {
  while (walk->dir_count) {
    WalkDir *dir = &walk->dirs[walk->dir_count - 1];
    walk->rel.len = dir->path_len;
    if (dir->next < dir->list.count) {
      const EvalDirEntry *entry = &dir->list.entries[dir->next++];
      if (walk->rel.len) buf_put_char(&walk->rel, '/');
      buf_put_cstr(&walk->rel, entry->name);
      *ret_type = entry->type;
      return true;
    }
    eval_io_dir_list_done(&dir->list);
    walk->dir_count--;
  }
  return false;
}

static EvalFileType walk_type(const SourceWalk *walk) {
  const WalkDir *dir = &walk->dirs[walk->dir_count - 1];
  return dir->list.entries[dir->next - 1].type;
}

static const char *type_text(EvalFileType type) {
  switch (type) {
  case EVAL_FILE_REGULAR: return "regular";
  case EVAL_FILE_DIRECTORY: return "directory";
  case EVAL_FILE_SYMLINK: return "symlink";
  case EVAL_FILE_ABSENT:
  case EVAL_FILE_UNKNOWN: break;
  }
  return "unknown";
}

// ---- adding a path: what `path` and `filterSource` share

// (path string with context, name, filter or null, method as raw integer, sha256 string or null) -> store path
enum { ADD_PATH, ADD_NAME, ADD_FILTER, ADD_METHOD, ADD_SHA256, ADD_WALK, ADD_I, ADD_SLOTS };

static SourceWalk *add_walk(Native *n) {
  return value_get_raw_ptr(n->slot[ADD_WALK]);
}
static void drop_walk(Native *n) {
  walk_free(add_walk(n));
  n->slot[ADD_WALK] = value_raw_ptr(NULL);
}

// Realises one element of the path's context, or locates it when `element` is past the last one. True: go on; false: see *ret_step.
static bool add_ask(Native *n, Step *ret_step) {
  Vm *vm = n->vm;
  Glue *glue = glue_of(vm);
  Err err = ERR_INIT;
  EvalIoWait wait = 0;
  EvalIoStatus status;
  const Context *context = str_context(n->slot[ADD_PATH]);
  uint32_t element = (uint32_t)native_get(n, ADD_I);
  if (context && element < context->count) {
    Buf ignored CLEANUP(buf_done) = BUF_INIT;
    Span text = context_element_text(vm->contexts, context->elements[element]);
    status = vm->io->ops->realise_context(vm->io, text, &ignored, &wait, &err);
  } else {
    SourceWalk *walk = add_walk(n);
    Span path = str_span(n->slot[ADD_PATH]);
    buf_clear(&walk->physical);
    buf_clear(&walk->logical);
    Buf resolved CLEANUP(buf_done) = BUF_INIT;
    status = vm->io->ops->check_path(vm->io, path, &err)
                 ? path_coerce_resolve(vm->io, path, true, &resolved, &wait, &err)
                 : EVAL_IO_ERROR;
    if (status == EVAL_IO_OK)
      status = store_io_locate(glue->io, buf_span(&resolved), true, &walk->physical, &walk->logical, &wait, &err);
    if (status == EVAL_IO_ERROR && err.kind == ERR_NOT_FOUND && value_get_raw(n->slot[ADD_METHOD]) == CA_FLAT) {
      int why = err.sys_errno ? err.sys_errno : ENOENT;
      err_done(&err);
      err_set_errno(&err, why, "opening file '%.*s'", SPAN_ARG(buf_span(&resolved)));
    }
  }
  if (status == EVAL_IO_OK) return true;
  n->wait = wait;
  *ret_step = status == EVAL_IO_PENDING ? STEP_PARK : STEP_ERROR;
  if (status == EVAL_IO_ERROR) eval_error_from_err(vm, EVAL_ERROR_IO, 0, &err);
  return false;
}

static bool expected_path(Native *n, StorePath *ret, bool *ret_valid) {
  Vm *vm = n->vm;
  Err err = ERR_INIT;
  ContentAddress ca = {.method = (CaMethod)value_get_raw(n->slot[ADD_METHOD])};
  HashAlgo algo = HASH_SHA256;
  bool assumed;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  Span dir = span_cstr(vm->settings.store_dir);
  if (!hash_parse_or_empty(str_span(n->slot[ADD_SHA256]), &algo, &ca.hash, &assumed, &err) ||
      !store_path_make_fixed(str_span(n->slot[ADD_NAME]), &ca, NULL, dir, ret, &err))
    return eval_error_from_err(vm, EVAL_ERROR_EVAL, 0, &err), false;
  store_path_format(ret, dir, &text);
  if (!store_io_is_valid(glue_of(vm)->io, buf_span(&text), ret_valid, &err))
    return eval_error_from_err(vm, EVAL_ERROR_IO, 0, &err), false;
  return true;
}

static Value store_path_string(Vm *vm, Span text) {
  return str_new(vm, text, context_of(vm->contexts, text));
}

static Value expected_string(Native *n, const StorePath *path) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  store_path_format(path, span_cstr(n->vm->settings.store_dir), &text);
  access_check_allow(store_io_access(glue_of(n->vm)->io), buf_span(&text));
  return store_path_string(n->vm, buf_span(&text));
}

static Value add_finish(Native *n) {
  Vm *vm = n->vm;
  SourceWalk *walk = add_walk(n);
  Err err = ERR_INIT;
  Buf result CLEANUP(buf_done) = BUF_INIT;
  PendingSource source = {.host_path = buf_cstr(&walk->physical),
                          .name = str_span(n->slot[ADD_NAME]),
                          .method = (CaMethod)value_get_raw(n->slot[ADD_METHOD]),
                          .accepted = STEAL(walk->accepted)};
  if (!store_io_add_source(glue_of(vm)->io, &source, &result, &err))
    return eval_error_from_err(vm, EVAL_ERROR_IO, 0, &err);
  if (n->slot[ADD_SHA256] != VALUE_NULL) {
    StorePath expected;
    bool valid;
    Buf text CLEANUP(buf_done) = BUF_INIT;
    if (!expected_path(n, &expected, &valid)) return VALUE_ERROR;
    store_path_format(&expected, span_cstr(vm->settings.store_dir), &text);
    if (!span_eq(buf_span(&text), buf_span(&result)))
      return eval_error(vm, EVAL_ERROR_EVAL, 0, "store path mismatch in (possibly filtered) path added from '%.*s'",
                        SPAN_ARG(str_span(n->slot[ADD_PATH])));
  }
  return store_path_string(vm, buf_span(&result));
}

static bool add_start_walk(Native *n) {
  SourceWalk *walk = add_walk(n);
  walk->accepted = mem_alloc_zero(sizeof(Map));
  struct stat st;
  bool is_directory = lstat(buf_cstr(&walk->physical), &st) == 0 && S_ISDIR(st.st_mode);
  return !is_directory || walk_enter(walk, n->vm);
}

static void add_filter_args(Native *n, EvalFileType type) {
  SourceWalk *walk = add_walk(n);
  Buf path CLEANUP(buf_done) = BUF_INIT;
  buf_put_span(&path, buf_span(&walk->logical));
  buf_put_char(&path, '/');
  buf_put_span(&path, buf_span(&walk->rel));
  n->fn = n->slot[ADD_FILTER];
  n->args[0] = str_plain(n->vm, buf_span(&path));
  n->args[1] = str_plain(n->vm, span_cstr(type_text(type)));
}

static Step add_step(Native *n) {
  Vm *vm = n->vm;
  Step step;
  EvalFileType type;
  NATIVE_BEGIN(n);
  n->slot[ADD_WALK] = value_raw_ptr(NULL);
  if (n->slot[ADD_SHA256] != VALUE_NULL) {
    StorePath expected;
    bool valid;
    if (!expected_path(n, &expected, &valid)) return STEP_ERROR;
    if (valid) {
      n->result = expected_string(n, &expected);
      return STEP_RETURN;
    }
  }
  n->slot[ADD_WALK] = value_raw_ptr(walk_new(glue_of(vm)));
  for (native_set(n, ADD_I, 0);; native_add(n, ADD_I, 1)) {
    while (!add_ask(n, &step)) {
      if (step == STEP_ERROR) return STEP_ERROR;
      NATIVE_PARK(n);
    }
    if (native_get(n, ADD_I) >= (str_context(n->slot[ADD_PATH]) ? str_context(n->slot[ADD_PATH])->count : 0)) break;
  }
  if (n->slot[ADD_FILTER] != VALUE_NULL && value_get_raw(n->slot[ADD_METHOD]) != CA_FLAT) {
    if (!add_start_walk(n)) return STEP_ERROR;
    while (walk_next(add_walk(n), &type)) {
      add_filter_args(n, type);
      NATIVE_CALL2(n, n->fn, n->args[0], n->args[1]);
      if (!vm_expect_bool(vm, n->result, "while evaluating the return value of the path filter function"))
        return STEP_ERROR;
      if (n->result != VALUE_TRUE) continue;
      map_set(add_walk(n)->accepted, buf_span(&add_walk(n)->rel), NULL);
      if (walk_type(add_walk(n)) == EVAL_FILE_DIRECTORY && !walk_enter(add_walk(n), vm)) return STEP_ERROR;
    }
  }
  n->result = add_finish(n);
  if (n->result == VALUE_ERROR) return STEP_ERROR;
  drop_walk(n);
  return STEP_RETURN;
  NATIVE_END;
}

static void add_trace(Native *n) {
  drop_walk(n);
  eval_error_trace(n->vm, 0, "while adding path '%.*s'", SPAN_ARG(str_span(n->slot[ADD_PATH])));
}

static const NativeDef native_add_path = {
    .name = "addPath", .step = add_step, .arg_count = 5, .slot_count = ADD_SLOTS, .trace = add_trace};

// ---- builtins.path

enum { PATH_ARG, PATH_PATH, PATH_NAME, PATH_FILTER, PATH_METHOD, PATH_SHA256, PATH_I, PATH_FRAME, PATH_SLOTS };

static uint32_t path_slot(const Native *n) {
  return attrs_nth(n->vm, n->slot[PATH_ARG], (size_t)native_get(n, PATH_I));
}

static Sym path_attr(Native *n) {
  return attrs_flat_shape(n->slot[PATH_ARG])->names[path_slot(n)];
}
static Value path_value(Native *n) {
  return attrs_slot(n->vm, n->slot[PATH_ARG], path_slot(n));
}
static PosId path_pos(Native *n) {
  return shape_position(attrs_flat_shape(n->slot[PATH_ARG]), path_slot(n));
}

static void push_add(Native *n, Value path, Value name, Value filter, Value method, Value sha256) {
  n->args[0] = path;
  n->args[1] = name;
  n->args[2] = filter;
  n->args[3] = method;
  n->args[4] = sha256;
}

// The name of a path: what stands behind its last '/'. Without context, as every name.
static Value name_of_path(Vm *vm, Value path) {
  return str_plain(vm, fs_path_base(str_span(path)));
}

// NULL: there is no such argument. `path` has a frame of its own.
static const char *path_frame(Sym name) {
  switch (name) {
  case SYM_name: return "while evaluating the `name` attribute passed to builtins.path";
  case SYM_filter: return "while evaluating the `filter` parameter passed to builtins.path";
  case SYM_recursive: return "while evaluating the `recursive` attribute passed to builtins.path";
  case SYM_sha256: return "while evaluating the `sha256` attribute passed to builtins.path";
  default: return NULL;
  }
}

static void path_trace(Native *n) {
  const char *frame = value_get_raw_ptr(n->slot[PATH_FRAME]);
  if (!frame) return;
  if (n->vm->error->kind == EVAL_ERROR_TYPE && !n->vm->error->trace_count && !n->vm->error->pos)
    n->vm->error->pos = path_pos(n);
  eval_error_trace(n->vm, path_pos(n), "%s", frame);
}

// Looks at the hash before anything is read, as Nix does.
static bool path_check_hash(Native *n, Span text) {
  HashAlgo algo = HASH_SHA256;
  Hash hash;
  bool assumed;
  Err err = ERR_INIT;
  if (!hash_parse_or_empty(text, &algo, &hash, &assumed, &err)) {
    n->slot[PATH_FRAME] = value_raw_ptr(NULL);
    return eval_error_from_err(n->vm, EVAL_ERROR_EVAL, 0, &err), false;
  }
  if (!assumed) return true;
  Buf sri CLEANUP(buf_done) = BUF_INIT;
  hash_format(&hash, HASH_FORMAT_SRI, true, &sri);
  log_warn("found empty hash, assuming '%s'", buf_cstr(&sri));
  return true;
}

static bool path_take(Native *n, Sym name, Value value) {
  Vm *vm = n->vm;
  if (name == SYM_filter) {
    n->slot[PATH_FILTER] = value;
    return vm_expect_function(vm, value, NULL);
  }
  if (name == SYM_recursive) {
    n->slot[PATH_METHOD] = value_raw(value == VALUE_TRUE ? CA_NAR : CA_FLAT);
    return vm_expect_bool(vm, value, NULL);
  }
  n->slot[name == SYM_name ? PATH_NAME : PATH_SHA256] = value;
  return vm_expect_string_no_context(vm, value, NULL) && (name == SYM_name || path_check_hash(n, str_span(value)));
}

static Step path_step(Native *n) {
  Vm *vm = n->vm;
  NATIVE_BEGIN(n);
  n->slot[PATH_PATH] = n->slot[PATH_NAME] = n->slot[PATH_FILTER] = n->slot[PATH_SHA256] = VALUE_NULL;
  n->slot[PATH_METHOD] = value_raw(CA_NAR);
  n->slot[PATH_FRAME] = value_raw_ptr(NULL);
  if (!vm_expect_attrs(vm, n->slot[PATH_ARG], "while evaluating the argument passed to 'builtins.path'"))
    return STEP_ERROR;
  n->slot[PATH_ARG] = attrs_flatten(vm, n->slot[PATH_ARG]);
  for (native_set(n, PATH_I, 0); native_get(n, PATH_I) < (int64_t)attrs_count(n->slot[PATH_ARG]);
       native_add(n, PATH_I, 1)) {
    if (path_attr(n) == SYM_path) {
      n->args[0] = path_value(n);
      n->args[1] = value_raw_ptr("while evaluating the 'path' attribute passed to 'builtins.path'");
      n->args[2] = value_raw(PATH_COERCE_NO_BUILD | (uint64_t)path_pos(n) << PATH_COERCE_POS_SHIFT);
      NATIVE_PUSH(n, &path_coerce_native);
      n->slot[PATH_PATH] = n->result;
      continue;
    }
    n->slot[PATH_FRAME] = value_raw_ptr(path_frame(path_attr(n)));
    if (!value_get_raw_ptr(n->slot[PATH_FRAME])) {
      eval_error(vm, EVAL_ERROR_EVAL, path_pos(n), "unsupported argument '%.*s' to 'builtins.path'",
                 SPAN_ARG(symbol_text(vm->symbols, path_attr(n))));
      return STEP_ERROR;
    }
    NATIVE_FORCE(n, path_value(n));
    if (!path_take(n, path_attr(n), n->result)) return STEP_ERROR;
    n->slot[PATH_FRAME] = value_raw_ptr(NULL);
  }
  if (n->slot[PATH_PATH] == VALUE_NULL) {
    eval_error(vm, EVAL_ERROR_EVAL, 0, "missing required 'path' attribute in the first argument to 'builtins.path'");
    return STEP_ERROR;
  }
  if (n->slot[PATH_NAME] == VALUE_NULL || str_span(n->slot[PATH_NAME]).len == 0)
    n->slot[PATH_NAME] = name_of_path(vm, n->slot[PATH_PATH]);
  push_add(n, n->slot[PATH_PATH], n->slot[PATH_NAME], n->slot[PATH_FILTER], n->slot[PATH_METHOD], n->slot[PATH_SHA256]);
  NATIVE_PUSH(n, &native_add_path);
  return STEP_RETURN;
  NATIVE_END;
}

static const NativeDef native_path = {
    .name = "path", .step = path_step, .arg_count = 1, .slot_count = PATH_SLOTS, .trace = path_trace};

// ---- builtins.filterSource

enum { FILTER_FN, FILTER_PATH, FILTER_FRAME, FILTER_SLOTS };
#define FILTER_FUNCTION "while evaluating the first argument passed to builtins.filterSource"

static Step filter_source_step(Native *n) {
  Vm *vm = n->vm;
  NATIVE_BEGIN(n);
  n->args[0] = n->slot[FILTER_PATH];
  n->args[1] =
      value_raw_ptr("while evaluating the second argument (the path to filter) passed to 'builtins.filterSource'");
  n->args[2] = value_raw(PATH_COERCE_NO_BUILD);
  NATIVE_PUSH(n, &path_coerce_native);
  n->slot[FILTER_PATH] = n->result;
  NATIVE_FORCE_FOR(n, n->slot[FILTER_FN], FILTER_FRAME, FILTER_FUNCTION);
  if (!vm_expect_function(vm, n->result, FILTER_FUNCTION)) return STEP_ERROR;
  push_add(n, n->slot[FILTER_PATH], name_of_path(vm, n->slot[FILTER_PATH]), n->result, value_raw(CA_NAR), VALUE_NULL);
  NATIVE_PUSH(n, &native_add_path);
  return STEP_RETURN;
  NATIVE_END;
}

static void filter_source_trace(Native *n) {
  trace_slot(n, FILTER_FRAME);
}

static const NativeDef native_filter_source = {.name = "filterSource",
                                               .step = filter_source_step,
                                               .arg_count = 2,
                                               .slot_count = FILTER_SLOTS,
                                               .trace = filter_source_trace};

// ---- builtins.toFile

static Value to_file(Vm *vm, Value *args) {
  if (!vm_expect_string_no_context(vm, args[0], "while evaluating the first argument passed to builtins.toFile") ||
      !vm_expect_string(vm, args[1], "while evaluating the second argument passed to builtins.toFile"))
    return VALUE_ERROR;
  const Context *context = str_context(args[1]);
  size_t count = context ? context->count : 0;
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  Span *refs = ARENA_ARRAY(&arena, Span, count);
  for (size_t i = 0; i < count; i++) refs[i] = context_element_text(vm->contexts, context->elements[i]);
  Span refused = context_first(vm->contexts, context, true);
  if (refused.len) {
    Buf shown CLEANUP(buf_done) = BUF_INIT;
    context_show(refused, span_cstr(vm->settings.store_dir), &shown);
    return eval_error(vm, EVAL_ERROR_EVAL, 0,
                      "files created by builtins.toFile may not reference derivations, but %.*s references %s",
                      SPAN_ARG(str_span(args[0])), buf_cstr(&shown));
  }
  Err err = ERR_INIT;
  Buf path CLEANUP(buf_done) = BUF_INIT;
  if (vm->io->ops->write_text(vm->io, str_span(args[0]), str_span(args[1]), refs, count, &path, &err) != EVAL_IO_OK)
    return eval_error_from_err(vm, EVAL_ERROR_IO, 0, &err);
  return store_path_string(vm, buf_span(&path));
}

// ---- builtins.storePath

enum { STORE_ARG, STORE_SLOTS };

// The store path itself, or (elsewhere on disk) what symbolic links lead to. False: see *ret_step.
static bool store_path_ask(Native *n, Step *ret_step, Value *ret) {
  Vm *vm = n->vm;
  Err err = ERR_INIT;
  EvalIoWait wait = 0;
  Buf logical CLEANUP(buf_done) = BUF_INIT;
  Span dir = span_cstr(vm->settings.store_dir), path = str_span(n->slot[STORE_ARG]), rest;
  StorePath store_path;
  EvalIoStatus status = EVAL_IO_OK;
  if (!store_path_is_below(path, dir)) {
    status = path_coerce_resolve(vm->io, path, true, &logical, &wait, &err);
    path = buf_span(&logical);
  }
  if (status == EVAL_IO_OK && !store_path_is_below(path, dir)) {
    eval_error(vm, EVAL_ERROR_EVAL, 0, "path '%.*s' is not in the Nix store", SPAN_ARG(path));
    *ret_step = STEP_ERROR;
    return false;
  }
  if (status == EVAL_IO_OK && !store_path_split(path, dir, &store_path, &rest, &err)) status = EVAL_IO_ERROR;
  Span base = span_sub(path, 0, path.len - rest.len);
  if (status == EVAL_IO_OK) status = vm->io->ops->ensure_path(vm->io, base, &wait, &err);
  if (status == EVAL_IO_OK) {
    const Context *context = context_of(vm->contexts, base);
    *ret = str_new(vm, path, context_union(vm->contexts, str_context(n->slot[STORE_ARG]), context));
    return true;
  }
  n->wait = wait;
  *ret_step = status == EVAL_IO_PENDING ? STEP_PARK : STEP_ERROR;
  if (status == EVAL_IO_ERROR) eval_error_from_err(vm, EVAL_ERROR_IO, 0, &err);
  return false;
}

static Step store_path_step(Native *n) {
  Vm *vm = n->vm;
  Step step;
  NATIVE_BEGIN(n);
  if (vm->settings.pure_eval)
    return eval_error(vm, EVAL_ERROR_EVAL, 0, "'builtins.storePath' is not allowed in pure evaluation mode"),
           STEP_ERROR;
  n->args[0] = n->slot[STORE_ARG];
  n->args[1] = value_raw_ptr("while evaluating the first argument passed to 'builtins.storePath'");
  n->args[2] = value_raw(PATH_COERCE_NO_BUILD);
  NATIVE_PUSH(n, &path_coerce_native);
  n->slot[STORE_ARG] = n->result;
  while (!store_path_ask(n, &step, &n->result)) {
    if (step == STEP_ERROR) return STEP_ERROR;
    NATIVE_PARK(n);
  }
  return STEP_RETURN;
  NATIVE_END;
}

static const NativeDef native_store_path = {
    .name = "storePath", .step = store_path_step, .arg_count = 1, .slot_count = STORE_SLOTS};

const Builtin source_builtin_rows[SOURCE_BUILTIN_COUNT] = {
    {.name = "path",
     .arity = 1,
     .strict = 1,
     .native = &native_path,
     .args = "args",
     .doc = "Copy a file or directory into the store. *args* has `path`, and optionally `name` (of the store object), "
            "`filter` (as of "
            "`filterSource`), `recursive` (false: the hash is that of the content of a regular file, not of its "
            "archive) and `sha256` (the "
            "expected hash: nothing is read when an object with it is in the store)."},
    {.name = "filterSource",
     .arity = 2,
     .strict = 0,
     .native = &native_filter_source,
     .args = "predicate path",
     .doc =
         "Copy a directory into the store, leaving out what *predicate* refuses. It is called with the path and the "
         "type (`\"regular\"`, "
         "`\"directory\"`, `\"symlink\"`, `\"unknown\"`) of each entry; a refused directory is left out as a whole."},
    {.name = "toFile",
     .arity = 2,
     .strict = 3,
     .fn = to_file,
     .types = "sS",
     .contexts = {ARG1 "toFile", ARG2 "toFile"},
     .args = "name text",
     .doc = "Write *text* to a file in the store and return its path. The text may refer to store objects, but not to "
            "outputs of derivations."},
    {.name = "storePath",
     .arity = 1,
     .strict = 0,
     .native = &native_store_path,
     .args = "path",
     .doc = "A string with *path*, which must be in the store already or obtainable from a cache, as a dependency. A "
            "plain path value would be "
            "copied to the store again."},
};
