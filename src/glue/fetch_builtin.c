// fetch_builtin.c: the language side of fetcher.h. Behaviour and wording: Nix 2.26, fetchTree.cc.
#include "glue/fetch_builtin.h"

#include <time.h>

#include "base/fs.h"
#include "base/log.h"
#include "eval/attrs.h"
#include "eval/list.h"
#include "eval/str.h"
#include "glue/fetch_io.h"
#include "glue/glue.h"

// ---- fetchurl, fetchTarball

enum { FETCH_ARG, FETCH_URL, FETCH_SHA256, FETCH_NAME, FETCH_I, FETCH_SLOTS };

static uint32_t fetch_slot(const Native *n) {
  return attrs_nth(n->vm, n->slot[FETCH_ARG], (size_t)native_get(n, FETCH_I));
}

static Sym fetch_attr(Native *n) {
  return attrs_flat_shape(n->slot[FETCH_ARG])->names[fetch_slot(n)];
}
static Value fetch_value(Native *n) {
  return attrs_slot(n->vm, n->slot[FETCH_ARG], fetch_slot(n));
}

static bool check_uri(void *ctx, Span uri, Err *err) {
  return access_check_uri(store_io_access(ctx), uri, err);
}

static bool check_name(Native *n, const char *who, Span url, Span name) {
  Err err = ERR_INIT;
  if (store_path_check_name(name, &err)) return true;
  const char *advice =
      n->slot[FETCH_NAME] != VALUE_NULL
          ? "Please change the value for the 'name' attribute passed to '%s', so that it can create a valid store path."
      : value_is_attrs(n->slot[FETCH_ARG])
          ? "Please add a valid 'name' attribute to the argument for '%s', so that it can create a valid store path."
          : "Please pass an attribute set with 'url' and 'name' attributes to '%s',  so that it can create a valid "
            "store path.";
  const char *place = strstr(advice, "%s");
  eval_error(n->vm, EVAL_ERROR_EVAL, 0, "invalid store path name when fetching URL '%.*s': %s. %.*s%s%s", SPAN_ARG(url),
             err_message(&err), (int)(place - advice), advice, who, place + 2);
  err_done(&err);
  return false;
}

// The path that the expected hash gives, when it exists already. False on errors.
static bool find_pinned(Native *n, Span name, bool unpack, const Hash *expected, Buf *ret, Err *err) {
  ContentAddress ca = {.method = unpack ? CA_NAR : CA_FLAT, .hash = *expected};
  StorePath path;
  bool valid = false;
  if (!store_path_make_fixed(name, &ca, NULL, span_cstr(n->vm->settings.store_dir), &path, err)) return false;
  store_path_format(&path, span_cstr(n->vm->settings.store_dir), ret);
  if (!store_io_is_valid(glue_of(n->vm)->io, buf_span(ret), &valid, err)) return false;
  if (!valid) buf_clear(ret);
  return true;
}

// VALUE_PARK: n->wait says for what; asked again then.
static Value fetch_finish(Native *n, const char *who, bool unpack) {
  Vm *vm = n->vm;
  StoreIo *io = glue_of(vm)->io;
  Err err = ERR_INIT;
  Buf url CLEANUP(buf_done) = BUF_INIT, path CLEANUP(buf_done) = BUF_INIT;
  if (n->slot[FETCH_URL] == VALUE_NULL) return eval_error(vm, EVAL_ERROR_EVAL, 0, "'url' argument required");
  if (unpack) fetcher_expand_url(str_span(n->slot[FETCH_URL]), &url);
  else buf_put_span(&url, str_span(n->slot[FETCH_URL]));
  if (!check_uri(io, buf_span(&url), &err)) return eval_error_from_err(vm, EVAL_ERROR_RESTRICTED, 0, &err);

  Span name = n->slot[FETCH_NAME] != VALUE_NULL ? str_span(n->slot[FETCH_NAME]) : unpack ? SPAN("source") : SPAN("");
  if (name.len == 0) name = fs_path_base(buf_span(&url));
  if (!check_name(n, who, buf_span(&url), name)) return VALUE_ERROR;
  bool pinned = n->slot[FETCH_SHA256] != VALUE_NULL;
  if (vm->settings.pure_eval && !pinned)
    return eval_error(vm, EVAL_ERROR_EVAL, 0, "in pure evaluation mode, '%s' requires a 'sha256' argument", who);

  Hash expected;
  HashAlgo algo = HASH_SHA256;
  bool assumed;
  if (pinned && !hash_parse_or_empty(str_span(n->slot[FETCH_SHA256]), &algo, &expected, &assumed, &err))
    return eval_error_from_err(vm, EVAL_ERROR_EVAL, 0, &err);
  if (pinned && !find_pinned(n, name, unpack, &expected, &path, &err))
    return eval_error_from_err(vm, EVAL_ERROR_IO, 0, &err);
  FetcherFile file = {.url = buf_span(&url), .name = name, .unpack = unpack, .expected = pinned ? &expected : NULL};
  EvalIoStatus status = path.len ? EVAL_IO_OK : fetch_io_file(io, &file, &path, &n->wait, &err);
  if (status == EVAL_IO_PENDING) return VALUE_PARK;
  if (status == EVAL_IO_ERROR) return eval_error_from_err(vm, EVAL_ERROR_IO, 0, &err);
  access_check_allow(store_io_access(io), buf_span(&path));
  return str_new(vm, buf_span(&path), context_of(vm->contexts, buf_span(&path)));
}

static Step fetch_step(Native *n, const char *who, bool unpack) {
  Vm *vm = n->vm;
  NATIVE_BEGIN(n);
  n->slot[FETCH_URL] = n->slot[FETCH_SHA256] = n->slot[FETCH_NAME] = VALUE_NULL;
  NATIVE_FORCE(n, n->slot[FETCH_ARG]);
  n->slot[FETCH_ARG] = n->result;
  if (!value_is_attrs(n->result)) {
    if (!vm_expect_string_no_context(vm, n->result, "while evaluating the url we should fetch")) return STEP_ERROR;
    n->slot[FETCH_URL] = n->result;
  } else {
    n->slot[FETCH_ARG] = attrs_flatten(vm, n->slot[FETCH_ARG]);
    for (native_set(n, FETCH_I, 0); native_get(n, FETCH_I) < (int64_t)attrs_count(n->slot[FETCH_ARG]);
         native_add(n, FETCH_I, 1)) {
      if (fetch_attr(n) != SYM_url && fetch_attr(n) != SYM_sha256 && fetch_attr(n) != SYM_name) {
        eval_error(vm, EVAL_ERROR_EVAL, 0, "unsupported argument '%.*s' to '%s'",
                   SPAN_ARG(symbol_text(vm->symbols, fetch_attr(n))), who);
        return STEP_ERROR;
      }
      NATIVE_FORCE(n, fetch_value(n));
      const char *context = fetch_attr(n) == SYM_url      ? "while evaluating the url we should fetch"
                            : fetch_attr(n) == SYM_sha256 ? "while evaluating the sha256 of the content we should fetch"
                                                          : "while evaluating the name of the content we should fetch";
      if (!vm_expect_string_no_context(vm, n->result, context)) return STEP_ERROR;
      n->slot[fetch_attr(n) == SYM_url      ? FETCH_URL
              : fetch_attr(n) == SYM_sha256 ? FETCH_SHA256
                                            : FETCH_NAME] = n->result;
    }
  }
  while ((n->result = fetch_finish(n, who, unpack)) == VALUE_PARK) NATIVE_PARK(n);
  return n->result == VALUE_ERROR ? STEP_ERROR : STEP_RETURN;
  NATIVE_END;
}

static Step fetchurl_step(Native *n) {
  return fetch_step(n, "fetchurl", false);
}
static Step fetch_tarball_step(Native *n) {
  return fetch_step(n, "fetchTarball", true);
}

static const NativeDef native_fetchurl = {
    .name = "fetchurl", .step = fetchurl_step, .arg_count = 1, .slot_count = FETCH_SLOTS};
static const NativeDef native_fetch_tarball = {
    .name = "fetchTarball", .step = fetch_tarball_step, .arg_count = 1, .slot_count = FETCH_SLOTS};

// ---- fetchGit

enum { GIT_ARG, GIT_VALUES, GIT_I, GIT_FRAME, GIT_SLOTS };

static uint32_t git_slot(const Native *n) {
  return attrs_nth(n->vm, n->slot[GIT_ARG], (size_t)native_get(n, GIT_I));
}

static bool git_bool(Native *n, const char *name, bool otherwise, bool *ret) {
  Sym sym = symbol_intern(n->vm->symbols, span_cstr(name));
  *ret = otherwise;
  Value v = attrs_get(n->vm, n->slot[GIT_VALUES], sym);
  if (v == VALUE_ABSENT) return true;
  if (!value_is_bool(v))
    return eval_error(n->vm, EVAL_ERROR_EVAL, 0, "input attribute '%s' is not a Boolean", name), false;
  *ret = v == VALUE_TRUE;
  return true;
}

static bool git_string(Native *n, const char *name, Span otherwise, Span *ret) {
  Sym sym = symbol_intern(n->vm->symbols, span_cstr(name));
  *ret = otherwise;
  Value v = attrs_get(n->vm, n->slot[GIT_VALUES], sym);
  if (v == VALUE_ABSENT) return true;
  if (!value_is_string(v))
    return eval_error(n->vm, EVAL_ERROR_EVAL, 0, "input attribute '%s' is not a string", name), false;
  *ret = str_span(v);
  return true;
}

static bool is_known_git_attr(Span name) {
  static const char *const known[] = {"url",        "ref",          "rev",     "name",         "allRefs", "shallow",
                                      "submodules", "exportIgnore", "narHash", "lastModified", "revCount"};
  for (size_t i = 0; i < ARRAY_LEN(known); i++)
    if (span_eq_cstr(name, known[i])) return true;
  return false;
}

static bool is_hex(Span s) {
  for (size_t i = 0; i < s.len; i++)
    if (!strchr("0123456789abcdef", s.data[i])) return false;
  return true;
}

static bool read_git_args(Native *n, FetcherGit *git, Span *ret_nar_hash) {
  Vm *vm = n->vm;
  Shape *shape = attrs_flat_shape(n->slot[GIT_VALUES]);
  for (uint32_t i = 0; i < shape->count; i++) {
    Span name = symbol_text(vm->symbols, shape->names[i]);
    if (!is_known_git_attr(name))
      return eval_error(vm, EVAL_ERROR_EVAL, 0, "input attribute '%.*s' not supported by scheme 'git'", SPAN_ARG(name)),
             false;
  }
  if (!git_string(n, "url", SPAN(""), &git->url) || !git_string(n, "ref", SPAN(""), &git->ref) ||
      !git_string(n, "rev", SPAN(""), &git->rev) || !git_string(n, "name", SPAN("source"), &git->name) ||
      !git_string(n, "narHash", SPAN(""), ret_nar_hash) || !git_bool(n, "allRefs", false, &git->all_refs) ||
      !git_bool(n, "shallow", false, &git->shallow) || !git_bool(n, "submodules", false, &git->submodules) ||
      !git_bool(n, "exportIgnore", !git->submodules, &git->export_ignore))
    return false;
  if (git->url.len == 0)
    return eval_error(vm, EVAL_ERROR_EVAL, 0, "attribute 'url' is missing in call to 'fetchGit'"), false;
  if (git->rev.len && (!is_hex(git->rev) || (git->rev.len != 40 && git->rev.len != 64)))
    return eval_error(vm, EVAL_ERROR_EVAL, 0, "hash '%.*s' is not a Git revision", SPAN_ARG(git->rev)), false;
  return true;
}

static void add_git_string(Vm *vm, AttrsBuilder *builder, const char *name, Span text) {
  attrs_builder_add(builder, symbol_intern(vm->symbols, span_cstr(name)), str_plain(vm, text), 0);
}
static void add_git_value(Vm *vm, AttrsBuilder *builder, const char *name, Value v) {
  attrs_builder_add(builder, symbol_intern(vm->symbols, span_cstr(name)), v, 0);
}

static Value git_result(Vm *vm, const FetcherGit *git, const FetcherGitTree *tree) {
  AttrsBuilder builder CLEANUP(attrs_builder_done) = ATTRS_BUILDER_INIT;
  Span path = buf_span(&tree->store_path);
  Buf text CLEANUP(buf_done) = BUF_INIT;
  Hash hash = {.algo = HASH_SHA256};
  memcpy(hash.bytes, tree->nar_sha256, sizeof(tree->nar_sha256));
  hash_format(&hash, HASH_FORMAT_SRI, true, &text);
  attrs_builder_add(&builder, SYM_out_path, str_new(vm, path, context_of(vm->contexts, path)), 0);
  add_git_string(vm, &builder, "narHash", buf_span(&text));
  add_git_value(vm, &builder, "submodules", value_bool(git->submodules));
  if (tree->dirty_rev.len) {
    add_git_string(vm, &builder, "dirtyRev", buf_span(&tree->dirty_rev));
    buf_clear(&text);
    buf_printf(&text, "%.7s-dirty", tree->dirty_rev.data);
    add_git_string(vm, &builder, "dirtyShortRev", buf_span(&text));
    add_git_string(vm, &builder, "rev", SPAN("0000000000000000000000000000000000000000"));
    add_git_string(vm, &builder, "shortRev", SPAN("0000000"));
  } else {
    add_git_string(vm, &builder, "rev", buf_span(&tree->rev));
    add_git_string(vm, &builder, "shortRev", span_sub(buf_span(&tree->rev), 0, 7));
  }
  add_git_value(vm, &builder, "revCount", vm_int(vm, (int64_t)tree->rev_count));
  add_git_value(vm, &builder, "lastModified", vm_int(vm, tree->last_modified));
  char date[32];
  struct tm tm;
  time_t when = (time_t)tree->last_modified;
  strftime(date, sizeof(date), "%Y%m%d%H%M%S", gmtime_r(&when, &tm));
  add_git_string(vm, &builder, "lastModifiedDate", span_cstr(date));
  return attrs_builder_finish(vm, &builder, false);
}

// As fetch_finish.
static Value git_finish(Native *n) {
  Vm *vm = n->vm;
  StoreIo *io = glue_of(vm)->io;
  FetcherGit git = {0};
  const FetcherGitTree *tree;
  Span nar_hash;
  Err err = ERR_INIT;
  if (!read_git_args(n, &git, &nar_hash)) return VALUE_ERROR;
  if (vm->settings.pure_eval && git.rev.len == 0)
    return eval_error(vm, EVAL_ERROR_EVAL, 0,
                      "in pure evaluation mode, 'fetchGit' will not fetch unlocked input '%.*s'", SPAN_ARG(git.url));
  if (!check_uri(io, git.url, &err)) return eval_error_from_err(vm, EVAL_ERROR_RESTRICTED, 0, &err);
  EvalIoStatus status = fetch_io_git(io, &git, &tree, &n->wait, &err);
  if (status == EVAL_IO_PENDING) return VALUE_PARK;
  if (status == EVAL_IO_ERROR) return eval_error_from_err(vm, EVAL_ERROR_IO, 0, &err);
  if (nar_hash.len) {
    Hash want, got = {.algo = HASH_SHA256};
    HashAlgo algo = HASH_SHA256;
    memcpy(got.bytes, tree->nar_sha256, sizeof(tree->nar_sha256));
    if (!hash_parse(nar_hash, &algo, &want, &err)) return eval_error_from_err(vm, EVAL_ERROR_EVAL, 0, &err);
    if (!hash_eq(&want, &got))
      return eval_error(vm, EVAL_ERROR_EVAL, 0, "NAR hash mismatch in input '%.*s'", SPAN_ARG(git.url));
  }
  return git_result(vm, &git, tree);
}

static Value git_attr(Native *n) {
  return attrs_slot(n->vm, n->slot[GIT_ARG], git_slot(n));
}

// Evaluated copies of all attributes, paths as strings.
static void keep_git_value(Native *n, Value v) {
  Vm *vm = n->vm;
  Attrs *values = value_ptr(n->slot[GIT_VALUES]);
  if (value_is_path(v)) v = str_plain(vm, str_span(v));
  heap_store(&vm->heap, values, &values->slots[git_slot(n)], v);
}

static void start_git_values(Native *n) {
  Attrs *values = attrs_new(n->vm, attrs_flat_shape(n->slot[GIT_ARG]));
  for (uint32_t i = 0; i < attrs_flat_shape(n->slot[GIT_ARG])->count; i++) values->slots[i] = VALUE_NULL;
  n->slot[GIT_VALUES] = attrs_value(values);
}

static Step fetch_git_step(Native *n) {
  Vm *vm = n->vm;
  NATIVE_BEGIN(n);
  NATIVE_FORCE(n, n->slot[GIT_ARG]);
  n->slot[GIT_ARG] = n->result;
  if (!value_is_attrs(n->result)) {
    n->args[0] = n->slot[GIT_ARG];
    n->args[1] = value_raw(0);
    n->slot[GIT_FRAME] = value_raw(1);
    NATIVE_PUSH(n, &native_coerce_string);
    n->slot[GIT_FRAME] = value_raw(0);
    AttrsBuilder builder = ATTRS_BUILDER_INIT;
    attrs_builder_add(&builder, SYM_url, n->result, 0);
    n->slot[GIT_ARG] = attrs_builder_finish(vm, &builder, false);
    attrs_builder_done(&builder);
  }
  n->slot[GIT_ARG] = attrs_flatten(vm, n->slot[GIT_ARG]);
  if (n->slot[GIT_ARG] == VALUE_EMPTY_ATTRS)
    return eval_error(vm, EVAL_ERROR_EVAL, 0, "attribute 'url' is missing in call to 'fetchGit'"), STEP_ERROR;
  start_git_values(n);
  for (native_set(n, GIT_I, 0); native_get(n, GIT_I) < (int64_t)attrs_count(n->slot[GIT_ARG]);
       native_add(n, GIT_I, 1)) {
    NATIVE_FORCE(n, git_attr(n));
    if (!value_is_string(n->result) && !value_is_path(n->result) && !value_is_bool(n->result) &&
        !value_is_int(n->result)) {
      eval_error(vm, EVAL_ERROR_TYPE, 0,
                 "fetchTree argument '%.*s' is %s while a string, Boolean or integer is expected",
                 SPAN_ARG(symbol_text(vm->symbols, attrs_flat_shape(n->slot[GIT_ARG])->names[git_slot(n)])),
                 eval_error_type_phrase(vm, n->result));
      return STEP_ERROR;
    }
    keep_git_value(n, n->result);
  }
  while ((n->result = git_finish(n)) == VALUE_PARK) NATIVE_PARK(n);
  return n->result == VALUE_ERROR ? STEP_ERROR : STEP_RETURN;
  NATIVE_END;
}

static void fetch_git_trace(Native *n) {
  if (n->slot[GIT_FRAME] == value_raw(1) && eval_error_is_refusal(n->vm))
    eval_error_trace(n->vm, 0, "while evaluating the first argument passed to the fetcher");
}

static const NativeDef native_fetch_git = {
    .name = "fetchGit", .step = fetch_git_step, .arg_count = 1, .slot_count = GIT_SLOTS, .trace = fetch_git_trace};

const Builtin fetch_builtin_rows[FETCH_BUILTIN_COUNT] = {
    {.name = "fetchurl",
     .arity = 1,
     .strict = 0,
     .native = &native_fetchurl,
     .args = "arg",
     .doc = "Download a URL while evaluating and return the store path of the file. The argument is the URL, or a set "
            "with `url`, and optionally "
            "`name` (of the store object) and `sha256` (of the content)."},
    {.name = "fetchTarball",
     .arity = 1,
     .strict = 0,
     .flags = BUILTIN_GLOBAL,
     .native = &native_fetch_tarball,
     .args = "args",
     .doc = "Download and unpack a tarball while evaluating and return the store path of the tree, which is the "
            "archive's single top directory. "
            "The argument is the URL, or a set with `url`, and optionally `name` and `sha256` (of the unpacked tree)."},
    {.name = "fetchGit",
     .arity = 1,
     .strict = 0,
     .flags = BUILTIN_GLOBAL,
     .native = &native_fetch_git,
     .args = "args",
     .doc = "Fetch a tree from a Git repository while evaluating. The argument is the URL or path, or a set with "
            "`url`, and optionally `rev`, `ref`, "
            "`name`, `allRefs`, `shallow`, `submodules`, `exportIgnore`, `narHash`. The result has `outPath`, `rev`, "
            "`shortRev`, `revCount`, "
            "`lastModified`, `lastModifiedDate`, `narHash`."},
};
