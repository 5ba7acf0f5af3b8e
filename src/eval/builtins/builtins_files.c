// builtins_files.c: builtins that read files, and those on the text of paths.
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "eval/builtins/builtins_util.h"
#include "eval/builtins/registry.h"
#include "eval/path_coerce.h"
#include "formats/hash.h"
#include "formats/store_path.h"

#define REALISING "while realising the context of a path"

// n->result = the path value that `value_` means, ready to be read.
#define NATIVE_PATH(n, value_, flags_)       \
  do {                                       \
    (n)->args[0] = (value_);                 \
    (n)->args[1] = value_raw_ptr(REALISING); \
    (n)->args[2] = value_raw(flags_);        \
    NATIVE_PUSH(n, &path_coerce_native);     \
  } while (0)

// The end of every question to the world: VALUE_PARK, VALUE_ERROR, or `ok`.
static Value answer(Native *n, EvalIoStatus status, EvalIoWait wait, Err *err, Value ok) {
  if (status == EVAL_IO_OK) return ok;
  n->wait = wait;
  if (status == EVAL_IO_PENDING) return VALUE_PARK;
  bool endless = err->kind == ERR_LIMIT; // Nix follows links before it reads
  eval_error_from_err(n->vm, EVAL_ERROR_IO, 0, err);
  if (endless && value_is_path(n->slot[0]))
    eval_error_trace(n->vm, 0, "while realising the context of path '%.*s'", SPAN_ARG(str_span(n->slot[0])));
  return VALUE_ERROR;
}

static bool is_allowed(Native *n, Span path) {
  Err err = ERR_INIT;
  if (n->vm->io->ops->check_path(n->vm->io, path, &err)) return true;
  eval_error_from_err(n->vm, EVAL_ERROR_RESTRICTED, 0, &err);
  return false;
}

static Value path_text(Vm *vm, Value path, const Context *context) {
  return str_new(vm, str_span(path), context);
}

// ---- reading ----

// The references among `candidates` (each with a NUL behind it) whose hash part occurs in `text`.
static const Context *references_in(Vm *vm, Span candidates, Span text) {
  const Context *context = NULL;
  size_t prefix = strlen(vm->settings.store_dir) + 1;
  for (Span path; candidates.len;) {
    span_split(&candidates, 0, &path);
    Span digits = span_sub(path, prefix, STORE_PATH_HASH_CHARS);
    if (digits.len && span_find(text, digits) != SIZE_MAX)
      context = context_union(vm->contexts, context, context_of(vm->contexts, path));
  }
  return context;
}

static Value read_file(Native *n, Value path) {
  Vm *vm = n->vm;
  const EvalIoOps *ops = vm->io->ops;
  if (!is_allowed(n, str_span(path))) return VALUE_ERROR;
  Buf text = BUF_INIT, references = BUF_INIT;
  Err err = ERR_INIT;
  EvalIoWait wait = 0;
  EvalIoStatus status = ops->read_file(vm->io, str_span(path), &text, &wait, &err);
  bool in_store = status == EVAL_IO_OK && store_path_is_below(str_span(path), span_cstr(vm->settings.store_dir));
  if (in_store && ops->list_references) status = ops->list_references(vm->io, str_span(path), &references, &wait, &err);
  Value result = VALUE_NULL;
  if (status == EVAL_IO_OK && text.len && memchr(text.data, 0, text.len))
    result = eval_error(vm, EVAL_ERROR_EVAL, 0, "the contents of the file '%.*s' cannot be represented as a Nix string",
                        SPAN_ARG(str_span(path)));
  else if (status == EVAL_IO_OK)
    result = str_new(vm, buf_span(&text), references_in(vm, buf_span(&references), buf_span(&text)));
  buf_done(&text);
  buf_done(&references);
  return answer(n, status, wait, &err, result);
}

static Step read_file_step(Native *n) {
  enum { PATH };
  NATIVE_BEGIN(n);
  NATIVE_PATH(n, n->slot[PATH], 0);
  n->slot[PATH] = n->result;
  while ((n->result = read_file(n, n->slot[PATH])) == VALUE_PARK) NATIVE_PARK(n);
  return n->result == VALUE_ERROR ? STEP_ERROR : STEP_RETURN;
  NATIVE_END;
}

static const NativeDef read_file_native = {.name = "readFile", .step = read_file_step, .arg_count = 1, .slot_count = 1};

static Value hash_file(Native *n, Value algo_name, Value path) {
  Vm *vm = n->vm;
  if (!is_allowed(n, str_span(path))) return VALUE_ERROR;
  HashAlgo algo = HASH_SHA256;
  Buf text = BUF_INIT, digits = BUF_INIT;
  Err err = ERR_INIT;
  EvalIoWait wait = 0;
  EvalIoStatus status =
      hash_algo_parse(str_span(algo_name), &algo, &err) ? EVAL_IO_OK : EVAL_IO_ERROR; // checked before, cannot fail
  if (status == EVAL_IO_OK) status = vm->io->ops->read_file(vm->io, str_span(path), &text, &wait, &err);
  Hash hash;
  if (status == EVAL_IO_OK) {
    hash_of(algo, buf_span(&text), &hash);
    hash_format(&hash, HASH_FORMAT_BASE16, false, &digits);
  }
  Value result = answer(n, status, wait, &err, VALUE_NULL);
  if (result == VALUE_NULL) result = str_plain(vm, buf_span(&digits));
  buf_done(&text);
  buf_done(&digits);
  return result;
}

static bool check_algo(Native *n, Value name) {
  HashAlgo ignored;
  Err err = ERR_INIT;
  if (hash_algo_parse(str_span(name), &ignored, &err)) return true;
  eval_error_from_err(n->vm, EVAL_ERROR_EVAL, 0, &err);
  return false;
}

static Step hash_file_step(Native *n) {
  enum { ALGO, PATH };
  NATIVE_BEGIN(n);
  if (!expect_text(n->vm, n->slot[ALGO], ARG1 "hashFile") || !check_algo(n, n->slot[ALGO])) return STEP_ERROR;
  NATIVE_PATH(n, n->slot[PATH], 0);
  n->slot[PATH] = n->result;
  while ((n->result = hash_file(n, n->slot[ALGO], n->slot[PATH])) == VALUE_PARK) NATIVE_PARK(n);
  return n->result == VALUE_ERROR ? STEP_ERROR : STEP_RETURN;
  NATIVE_END;
}

static const NativeDef hash_file_native = {.name = "hashFile", .step = hash_file_step, .arg_count = 2, .slot_count = 2};

static Value type_string(Vm *vm, EvalFileType type) {
  const char *name = "unknown";
  if (type == EVAL_FILE_REGULAR) name = "regular";
  if (type == EVAL_FILE_DIRECTORY) name = "directory";
  if (type == EVAL_FILE_SYMLINK) name = "symlink";
  return str_symbol(vm, symbol_intern(vm->symbols, span_cstr(name)));
}

static Value read_dir(Native *n, Value path) {
  Vm *vm = n->vm;
  if (!is_allowed(n, str_span(path))) return VALUE_ERROR;
  EvalDirList list = {NULL, 0};
  Err err = ERR_INIT;
  EvalIoWait wait = 0;
  EvalIoStatus status = vm->io->ops->read_dir(vm->io, str_span(path), &list, &wait, &err);
  if (status != EVAL_IO_OK) return answer(n, status, wait, &err, VALUE_NULL);
  AttrsBuilder attrs = ATTRS_BUILDER_INIT;
  for (size_t i = 0; i < list.count; i++)
    attrs_builder_add(&attrs, symbol_intern(vm->symbols, span_cstr(list.entries[i].name)),
                      type_string(vm, list.entries[i].type), 0);
  eval_io_dir_list_done(&list);
  Value result = attrs_builder_finish(vm, &attrs, false);
  attrs_builder_done(&attrs);
  return result;
}

static Step read_dir_step(Native *n) {
  enum { PATH };
  NATIVE_BEGIN(n);
  NATIVE_PATH(n, n->slot[PATH], 0);
  n->slot[PATH] = n->result;
  while ((n->result = read_dir(n, n->slot[PATH])) == VALUE_PARK) NATIVE_PARK(n);
  return n->result == VALUE_ERROR ? STEP_ERROR : STEP_RETURN;
  NATIVE_END;
}

static const NativeDef read_dir_native = {.name = "readDir", .step = read_dir_step, .arg_count = 1, .slot_count = 1};

static Value read_file_type(Native *n, Value path) {
  Vm *vm = n->vm;
  if (!is_allowed(n, str_span(path))) return VALUE_ERROR;
  EvalStat st = {.type = EVAL_FILE_ABSENT};
  Err err = ERR_INIT;
  EvalIoWait wait = 0;
  EvalIoStatus status = EVAL_IO_OK;
  // Links on the way are not followed: Nix refuses them here.
  for (size_t at = 1; at < str_span(path).len && status == EVAL_IO_OK; at++) {
    Span parent = span_sub(str_span(path), 0, at);
    if (str_span(path).data[at] != '/') continue;
    status = vm->io->ops->lstat(vm->io, parent, &st, &wait, &err);
    if (status == EVAL_IO_OK && st.type == EVAL_FILE_SYMLINK)
      return eval_error(vm, EVAL_ERROR_IO, 0, "path '%.*s' is a symlink", SPAN_ARG(parent));
  }
  if (status == EVAL_IO_OK) status = vm->io->ops->lstat(vm->io, str_span(path), &st, &wait, &err);
  if (status == EVAL_IO_OK && st.type == EVAL_FILE_ABSENT)
    return eval_error(vm, EVAL_ERROR_IO, 0, "path '%.*s' does not exist", SPAN_ARG(str_span(path)));
  return answer(n, status, wait, &err, status == EVAL_IO_OK ? type_string(vm, st.type) : VALUE_NULL);
}

static Step read_file_type_step(Native *n) {
  enum { PATH };
  NATIVE_BEGIN(n);
  NATIVE_PATH(n, n->slot[PATH], 0);
  n->slot[PATH] = n->result;
  while ((n->result = read_file_type(n, n->slot[PATH])) == VALUE_PARK) NATIVE_PARK(n);
  return n->result == VALUE_ERROR ? STEP_ERROR : STEP_RETURN;
  NATIVE_END;
}

static const NativeDef read_file_type_native = {
    .name = "readFileType", .step = read_file_type_step, .arg_count = 1, .slot_count = 1};

// What evaluation may not look at does not exist.
static Value path_exists(Native *n, Value path, bool must_be_directory) {
  EvalStat st = {.type = EVAL_FILE_ABSENT};
  Err err = ERR_INIT;
  EvalIoWait wait = 0;
  EvalIo *io = n->vm->io;
  if (!io->ops->check_path(io, str_span(path), NULL)) return VALUE_FALSE;
  EvalIoStatus status = io->ops->lstat(io, str_span(path), &st, &wait, &err);
  bool exists = st.type != EVAL_FILE_ABSENT && (!must_be_directory || st.type == EVAL_FILE_DIRECTORY);
  return answer(n, status, wait, &err, value_bool(exists));
}

static Step path_exists_step(Native *n) {
  enum { PATH, MUST_BE_DIRECTORY };
  NATIVE_BEGIN(n);
  native_set(n, MUST_BE_DIRECTORY,
             value_is_string(n->slot[PATH]) && (span_has_suffix(str_span(n->slot[PATH]), SPAN("/")) ||
                                                span_has_suffix(str_span(n->slot[PATH]), SPAN("/."))));
  NATIVE_PATH(n, n->slot[PATH], native_get(n, MUST_BE_DIRECTORY) ? PATH_COERCE_RESOLVE : 0);
  n->slot[PATH] = n->result;
  while ((n->result = path_exists(n, n->slot[PATH], native_get(n, MUST_BE_DIRECTORY))) == VALUE_PARK) NATIVE_PARK(n);
  return n->result == VALUE_ERROR ? STEP_ERROR : STEP_RETURN;
  NATIVE_END;
}

static const NativeDef path_exists_native = {
    .name = "pathExists", .step = path_exists_step, .arg_count = 1, .slot_count = 2};

// ---- search path ----

// URLs and other things that have to be fetched.
static bool is_pseudo_url(Span entry) {
  static const char *const schemes[] = {"http", "https", "file", "channel", "git", "s3", "ssh"};
  if (span_has_prefix(entry, SPAN("channel:")) || span_has_prefix(entry, SPAN("flake:"))) return true;
  size_t colon = span_find(entry, SPAN("://"));
  for (size_t i = 0; colon != SIZE_MAX && i < ARRAY_LEN(schemes); i++)
    if (span_eq_cstr(span_sub(entry, 0, colon), schemes[i])) return true;
  return false;
}

// What is behind `prefix` in `name`; false when the entry is for other names.
static bool search_suffix(Span prefix, Span name, Span *ret) {
  bool separator = prefix.len && prefix.len < name.len;
  if ((separator && name.data[prefix.len] != '/') || !span_has_prefix(name, prefix)) return false;
  *ret = span_from(name, prefix.len + separator);
  return true;
}

static EvalIoStatus path_is_there(EvalIo *io, Span path, Buf *ret_resolved, bool *ret, EvalIoWait *ret_wait, Err *err) {
  EvalStat st = {.type = EVAL_FILE_ABSENT};
  EvalIoStatus status = path_coerce_resolve(io, path, true, ret_resolved, ret_wait, err);
  if (status == EVAL_IO_OK) status = io->ops->lstat(io, buf_span(ret_resolved), &st, ret_wait, err);
  *ret = st.type != EVAL_FILE_ABSENT;
  return status;
}

// The path that an entry of the search path means, remembered for the next time. Empty: it is ignored.
static EvalIoStatus search_entry(Vm *vm, Span entry, Span *ret, EvalIoWait *ret_wait, Err *err) {
  const char *known = map_get(&vm->search_entries, entry);
  if (known) {
    *ret = span_cstr(known);
    return EVAL_IO_OK;
  }
  EvalIo *io = vm->io;
  Buf path = BUF_INIT, resolved = BUF_INIT;
  EvalIoStatus status = EVAL_IO_OK;
  bool exists = true;
  if (is_pseudo_url(entry)) {
    if (io->ops->resolve_search_entry) status = io->ops->resolve_search_entry(io, entry, &path, ret_wait, err);
    exists = path.len > 0;
  } else {
    fs_path_canon(span_cstr(vm->settings.work_dir ? vm->settings.work_dir : "/"), entry, &path);
    status = path_is_there(io, buf_span(&path), &resolved, &exists, ret_wait, err);
    if (status == EVAL_IO_OK && !exists)
      log_warn("Nix search path entry '%.*s' does not exist, ignoring", SPAN_ARG(entry));
  }
  if (status == EVAL_IO_OK) {
    char *text = exists ? span_dup(buf_span(&path)) : span_dup(SPAN(""));
    map_set(&vm->search_entries, entry, text);
    *ret = span_cstr(text);
  }
  buf_done(&path);
  buf_done(&resolved);
  return status;
}

// Tries one element; VALUE_ABSENT when the name is not there.
static Value find_in_element(Native *n, Value element, Span name) {
  Vm *vm = n->vm;
  Value prefix = value_follow(attrs_get(vm, element, SYM_prefix));
  Span suffix, base;
  if (!search_suffix(prefix == VALUE_ABSENT ? SPAN("") : str_span(prefix), name, &suffix)) return VALUE_ABSENT;
  Err err = ERR_INIT;
  EvalIoWait wait = 0;
  EvalIoStatus status = search_entry(vm, str_span(value_follow(attrs_get(vm, element, SYM_path))), &base, &wait, &err);
  if (status != EVAL_IO_OK || !base.len) return answer(n, status, wait, &err, VALUE_ABSENT);
  Buf joined = BUF_INIT, path = BUF_INIT, resolved = BUF_INIT;
  fs_path_join(&joined, base, suffix);
  fs_path_canon(SPAN("/"), buf_span(&joined), &path);
  bool exists = false;
  status = path_is_there(vm->io, buf_span(&path), &resolved, &exists, &wait, &err);
  Value result = answer(n, status, wait, &err, VALUE_ABSENT);
  if (result == VALUE_ABSENT && exists) result = str_path(vm, buf_span(&resolved));
  buf_done(&joined);
  buf_done(&path);
  buf_done(&resolved);
  return result;
}

static Value find_internal(Vm *vm, Span name) {
  if (span_has_prefix(name, SPAN("nix/"))) {
    Buf path = BUF_INIT, canon = BUF_INIT;
    buf_put_cstr(&path, EVAL_IO_NIX_DIR);
    buf_put_span(&path, span_from(name, strlen("nix")));
    fs_path_canon(SPAN("/"), buf_span(&path), &canon);
    Value result = str_path(vm, buf_span(&canon));
    buf_done(&path);
    buf_done(&canon);
    return result;
  }
  const char *format = vm->settings.pure_eval
                           ? "cannot look up '<%.*s>' in pure evaluation mode (use '--impure' to override)"
                           : "file '%.*s' was not found in the Nix search path (add it using $NIX_PATH or -I)";
  Buf text = BUF_INIT;
  // Both formats take the name alone.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  buf_printf(&text, format, SPAN_ARG(name));
#pragma GCC diagnostic pop
  Value result = eval_error(vm, EVAL_ERROR_THROW, 0, "%s", buf_cstr(&text));
  buf_done(&text);
  return result;
}

#define FIND_ELEMENT "while evaluating an element of the list passed to builtins.findFile"
#define FIND_PREFIX "while evaluating the `prefix` attribute of an element of the list passed to builtins.findFile"
#define FIND_PATH "while evaluating the `path` attribute of an element of the list passed to builtins.findFile"

// Replaces an element by { path, prefix } with its path evaluated and realised.
static void find_set_element(Native *n, Value list, size_t i, Value element, Value path) {
  AttrsBuilder attrs = ATTRS_BUILDER_INIT;
  Value prefix = value_follow(attrs_get(n->vm, element, SYM_prefix));
  if (prefix != VALUE_ABSENT) attrs_builder_add(&attrs, SYM_prefix, prefix, 0);
  attrs_builder_add(&attrs, SYM_path, path, 0);
  list_set(n->vm, list, i, attrs_builder_finish(n->vm, &attrs, false));
  attrs_builder_done(&attrs);
}

static bool find_lacks_path(Native *n, Value element) {
  if (attrs_has(element, SYM_path)) return false;
  eval_error(n->vm, EVAL_ERROR_MISSING, 0, "attribute 'path' missing");
  eval_error_trace(n->vm, 0, "in an element of the __nixPath");
  return true;
}

static Step find_file_step(Native *n) {
  enum { LIST, NAME, FRAME, I, ELEMENT, ELEMENTS, PATH };
  NATIVE_BEGIN(n);
  if (!expect_list(n->vm, n->slot[LIST], ARG1 "findFile")) return STEP_ERROR;
  n->slot[ELEMENTS] = scratch_new(n->vm, list_count(n->slot[LIST]));
  for (native_set(n, I, 0); (size_t)native_get(n, I) < list_count(n->slot[LIST]); native_add(n, I, 1)) {
    NATIVE_FORCE(n, list_get(n->vm, n->slot[LIST], (size_t)native_get(n, I)));
    n->slot[ELEMENT] = n->result;
    if (!expect_attrs(n->vm, n->slot[ELEMENT], FIND_ELEMENT)) return STEP_ERROR;
    if (attrs_has(n->slot[ELEMENT], SYM_prefix)) {
      NATIVE_FORCE_FOR(n, attrs_get(n->vm, n->slot[ELEMENT], SYM_prefix), FRAME, FIND_PREFIX);
      if (!expect_text(n->vm, n->result, FIND_PREFIX)) return STEP_ERROR;
    }
    if (find_lacks_path(n, n->slot[ELEMENT])) return STEP_ERROR;
    NATIVE_COERCE_FOR(n, attrs_get(n->vm, n->slot[ELEMENT], SYM_path), 0, PATH, FRAME, FIND_PATH);
    n->slot[PATH] = n->result;
    if (str_context(n->slot[PATH])) {
      NATIVE_PATH(n, n->slot[PATH], 0);
      n->slot[PATH] = path_text(n->vm, n->result, NULL);
    }
    find_set_element(n, n->slot[ELEMENTS], (size_t)native_get(n, I), n->slot[ELEMENT], n->slot[PATH]);
  }
  NATIVE_FORCE_FOR(n, n->slot[NAME], FRAME, ARG2 "findFile");
  n->slot[NAME] = n->result;
  if (!expect_text(n->vm, n->slot[NAME], ARG2 "findFile")) return STEP_ERROR;
  for (native_set(n, I, 0); (size_t)native_get(n, I) < list_count(n->slot[ELEMENTS]); native_add(n, I, 1)) {
    while ((n->result = find_in_element(n, list_get(n->vm, n->slot[ELEMENTS], (size_t)native_get(n, I)),
                                        str_span(n->slot[NAME]))) == VALUE_PARK)
      NATIVE_PARK(n);
    if (n->result == VALUE_ERROR) return STEP_ERROR;
    if (n->result != VALUE_ABSENT) return STEP_RETURN;
  }
  n->result = find_internal(n->vm, str_span(n->slot[NAME]));
  return n->result == VALUE_ERROR ? STEP_ERROR : STEP_RETURN;
  NATIVE_END;
}

static void find_file_trace(Native *n) {
  trace_slot(n, 2);
}

static const NativeDef find_file_native = {
    .name = "findFile", .step = find_file_step, .arg_count = 2, .slot_count = 7, .trace = find_file_trace};

// ---- text of paths ----

static void trace_coerce_0(Native *n) {
  builtins_util_trace_coerce(n, 0, 1);
}

// "." without a slash; else what is before the last one, and before those in front of it; "/" when nothing is left.
static Span dir_of(Span path) {
  size_t end = span_rfind_char(path, '/');
  if (end == SIZE_MAX) return SPAN(".");
  while (end > 0 && path.data[end - 1] == '/') end--;
  if (!end && path.data[path.len - 1] == '/') return path; // nothing but slashes
  return end ? span_sub(path, 0, end) : SPAN("/");
}

static Step dir_of_step(Native *n) {
  enum { PATH, FRAME };
  NATIVE_BEGIN(n);
  if (value_is_path(n->slot[PATH])) NATIVE_RETURN(n, str_path(n->vm, dir_of(str_span(n->slot[PATH]))));
  NATIVE_COERCE_FOR(n, n->slot[PATH], 0, PATH, FRAME, "while evaluating the first argument passed to 'builtins.dirOf'");
  NATIVE_RETURN(n, str_new(n->vm, dir_of(str_span(n->result)), str_context(n->result)));
  NATIVE_END;
}

static const NativeDef dir_of_native = {
    .name = "dirOf", .step = dir_of_step, .arg_count = 1, .slot_count = 2, .trace = trace_coerce_0};

// One slash at the end is taken off, no more.
static Span base_name_of(Span path) {
  if (path.len > 1 && path.data[path.len - 1] == '/') path.len--;
  size_t slash = span_rfind_char(path, '/');
  return slash == SIZE_MAX ? path : span_from(path, slash + 1);
}

static Step base_name_of_step(Native *n) {
  enum { PATH, FRAME };
  NATIVE_BEGIN(n);
  NATIVE_COERCE_FOR(n, n->slot[PATH], 0, PATH, FRAME, ARG1 "baseNameOf");
  NATIVE_RETURN(n, str_new(n->vm, base_name_of(str_span(n->result)), str_context(n->result)));
  NATIVE_END;
}

static const NativeDef base_name_of_native = {
    .name = "baseNameOf", .step = base_name_of_step, .arg_count = 1, .slot_count = 2, .trace = trace_coerce_0};

static Value canonical_text(Vm *vm, Value v) {
  Buf path = BUF_INIT;
  fs_path_canon(SPAN("/"), str_span(v), &path);
  Value result = str_new(vm, buf_span(&path), value_is_string(v) ? str_context(v) : NULL);
  buf_done(&path);
  return result;
}

static Step to_path_step(Native *n) {
  enum { PATH };
  NATIVE_BEGIN(n);
  n->args[0] = n->slot[PATH];
  n->args[1] = value_raw_ptr(ARG1 "toPath");
  n->args[2] = value_raw(PATH_COERCE_NO_BUILD);
  NATIVE_PUSH(n, &path_coerce_native);
  NATIVE_RETURN(n, canonical_text(n->vm, n->result));
  NATIVE_END;
}

static const NativeDef to_path_native = {.name = "toPath", .step = to_path_step, .arg_count = 1, .slot_count = 1};

static const Builtin rows[] = {
    {"readFile",
     1,
     0,
     0,
     NULL,
     &read_file_native,
     "path",
     "Return the content of the file *path* as a string.",
     NULL,
     {NULL}},
    {"readDir",
     1,
     0,
     0,
     NULL,
     &read_dir_native,
     "path",
     "Return the content of the directory *path* as a set: for each name `\"regular\"`, `\"directory\"`, `\"symlink\"` "
     "or `\"unknown\"`.\n\n"
     "```nix\nbuiltins.readDir ./A\n```\n\nmay be `{ B = \"regular\"; C = \"directory\"; }`.",
     NULL,
     {NULL}},
    {"readFileType",
     1,
     0,
     0,
     NULL,
     &read_file_type_native,
     "p",
     "Return what is at the path *p*: `\"regular\"`, `\"directory\"`, `\"symlink\"` or `\"unknown\"`.",
     NULL,
     {NULL}},
    {"pathExists",
     1,
     1,
     0,
     NULL,
     &path_exists_native,
     "path",
     "Return whether something is at *path* when this is evaluated. A string that ends in `/` asks for a directory.",
     NULL,
     {NULL}},
    {"hashFile",
     2,
     1,
     0,
     NULL,
     &hash_file_native,
     "type p",
     "Return the digest of the file *p* in base 16. *type* is `\"md5\"`, `\"sha1\"`, `\"sha256\"` or `\"sha512\"`.",
     "s",
     {ARG1 "hashFile"}},
    {"findFile",
     2,
     1,
     0,
     NULL,
     &find_file_native,
     "search-path lookup-path",
     "Look up *lookup-path* in *search-path*, a list of sets of `path` and perhaps `prefix`: the first entry wins "
     "whose prefix begins "
     "*lookup-path* and whose path has what follows in it. An entry can be a URL, which is fetched. `<x>` means "
     "`builtins.findFile builtins.nixPath \"x\"`.",
     "l",
     {ARG1 "findFile"}},
    {"dirOf",
     1,
     1,
     BUILTIN_GLOBAL,
     NULL,
     &dir_of_native,
     "s",
     "Return the directory part of *s*, a path or a string: everything before the last slash.",
     NULL,
     {NULL}},
    {"baseNameOf",
     1,
     1,
     BUILTIN_GLOBAL,
     NULL,
     &base_name_of_native,
     "x",
     "Return the last component of *x*, a path or a string: everything behind the last slash. Of a string that ends in "
     "a slash, that one slash is "
     "left out first.",
     NULL,
     {NULL}},
    {"toPath",
     1,
     0,
     0,
     NULL,
     &to_path_native,
     "s",
     "Return the absolute path *s* as a string in canonical form. Deprecated: `/. + s` makes a path.",
     NULL,
     {NULL}},
};

const BuiltinTable builtins_files_table = {rows, ARRAY_LEN(rows)};
