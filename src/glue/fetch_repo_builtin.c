// fetch_repo_builtin.c: the language side of fetcher_git and fetcher_hg. Behaviour, order of checks and wording: Nix 2.26, fetchTree.cc, fetchMercurial.cc,
// fetchers.cc and the Input schemes of git.cc and mercurial.cc.
#include "glue/fetch_repo_builtin.h"

#include <time.h>

#include "eval/attrs.h"
#include "eval/list.h"
#include "eval/str.h"
#include "formats/base16.h"
#include "formats/json_write.h"
#include "glue/fetch_io.h"
#include "glue/glue.h"
#include "glue/source_url.h"

static bool fail_from(Vm *vm, EvalErrorKind kind, Err *err) {
  eval_error_from_err(vm, kind, 0, err);
  return false;
}

static void add_string(Vm *vm, AttrsBuilder *builder, const char *name, Span text) {
  attrs_builder_add(builder, symbol_intern(vm->symbols, span_cstr(name)), str_plain(vm, text), 0);
}
static void add_value(Vm *vm, AttrsBuilder *builder, const char *name, Value v) {
  attrs_builder_add(builder, symbol_intern(vm->symbols, span_cstr(name)), v, 0);
}
static void add_out_path(Vm *vm, AttrsBuilder *builder, Span path) {
  attrs_builder_add(builder, SYM_out_path, str_new(vm, path, context_of(vm->contexts, path)), 0);
}

// ---- fetchGit

// FRAME: what the trace of an error says besides the call.
enum { GIT_ARG, GIT_VALUES, GIT_I, GIT_FRAME, GIT_INPUT, GIT_SLOTS };
enum { FRAME_NONE, FRAME_ARGUMENT, FRAME_INPUT };

static uint32_t git_slot(const Native *n) {
  return attrs_nth(n->vm, n->slot[GIT_ARG], (size_t)native_get(n, GIT_I));
}

// What was asked for, read from GIT_VALUES.
typedef struct GitQuery {
  FetcherGit git;
  Buf url, rev; // as fetchers take them
  Arena arena;
  SourceUrl parsed;
  Span nar_hash;
  bool has_rev_count, has_last_modified;
  int64_t rev_count, last_modified;
} GitQuery;

static void query_done(GitQuery *query) {
  buf_done(&query->url);
  buf_done(&query->rev);
  arena_done(&query->arena);
}

static Value git_value(Native *n, const char *name) {
  return attrs_get(n->vm, n->slot[GIT_VALUES], symbol_intern(n->vm->symbols, span_cstr(name)));
}

static bool git_bool(Native *n, const char *name, bool *ret) {
  Value v = git_value(n, name);
  *ret = v == VALUE_TRUE;
  if (v == VALUE_ABSENT || value_is_bool(v)) return true;
  return eval_error(n->vm, EVAL_ERROR_EVAL, 0, "input attribute '%s' is not a Boolean", name), false;
}

static bool git_int(Native *n, const char *name, bool *ret_given, int64_t *ret) {
  Value v = git_value(n, name);
  *ret_given = v != VALUE_ABSENT;
  if (!*ret_given) return true;
  if (!value_is_int(v))
    return eval_error(n->vm, EVAL_ERROR_EVAL, 0, "input attribute '%s' is not an integer", name), false;
  *ret = value_get_int(v);
  return true;
}

// All attributes, as messages show them.
static void put_json(Native *n, Buf *ret) {
  Vm *vm = n->vm;
  JsonWrite json;
  Err ignored = ERR_INIT;
  Shape *shape = attrs_flat_shape(n->slot[GIT_VALUES]);
  bool type_written = false, ok = true;
  json_write_init(&json, ret, 0);
  json_write_object_begin(&json);
  for (uint32_t i = 0; i <= shape->count && ok; i++) {
    bool last = i == shape->count;
    if (!type_written && (last || span_cmp(symbol_text(vm->symbols, shape->names[i]), SPAN("type")) > 0)) {
      ok = json_write_key(&json, SPAN("type"), &ignored) && json_write_str(&json, SPAN("git"), &ignored);
      type_written = true;
    }
    if (last || !ok) break;
    Value v = attrs_slot(vm, n->slot[GIT_VALUES], i);
    ok = json_write_key(&json, symbol_text(vm->symbols, shape->names[i]), &ignored);
    if (value_is_bool(v)) json_write_bool(&json, v == VALUE_TRUE);
    else if (value_is_int(v)) json_write_int(&json, value_get_int(v));
    else ok = ok && json_write_str(&json, str_span(v), &ignored);
  }
  json_write_object_end(&json);
  err_done(&ignored);
}

static bool git_string(Native *n, const char *name, Span *ret) {
  Value v = git_value(n, name);
  *ret = (Span){0};
  if (v == VALUE_ABSENT) return true;
  if (value_is_string(v)) {
    *ret = str_span(v);
    return true;
  }
  Buf json CLEANUP(buf_done) = BUF_INIT;
  put_json(n, &json);
  return eval_error(n->vm, EVAL_ERROR_EVAL, 0, "input attribute '%s' is not a string %s", name, buf_cstr(&json)), false;
}

static bool needs_feature(Span name) {
  return span_eq_cstr(name, "verifyCommit") || span_eq_cstr(name, "keytype") || span_eq_cstr(name, "publicKey") ||
         span_eq_cstr(name, "publicKeys");
}

static bool is_known_git_attr(Span name) {
  static const char *const known[] = {"url",        "ref",          "rev",     "name",         "allRefs", "shallow",
                                      "submodules", "exportIgnore", "narHash", "lastModified", "revCount"};
  for (size_t i = 0; i < ARRAY_LEN(known); i++)
    if (span_eq_cstr(name, known[i])) return true;
  return needs_feature(name);
}

static bool fail_feature(Vm *vm) {
  return eval_error(vm, EVAL_ERROR_EVAL, 0,
                    "experimental Nix feature 'verified-fetches' is disabled; add '--extra-experimental-features "
                    "verified-fetches' to enable it"),
         false;
}

// What git check-ref-format would not accept.
static bool is_bad_ref(Span ref) {
  if (ref.len == 0 || span_eq_cstr(ref, "@") || strchr("./", ref.data[0]) || strchr("/.", ref.data[ref.len - 1]))
    return true;
  if (span_has_suffix(ref, SPAN(".lock"))) return true;
  static const char *const parts[] = {"//", "/.", "..", "\\", "*", ".lock/", "@{"};
  for (size_t i = 0; i < ARRAY_LEN(parts); i++)
    if (span_find(ref, span_cstr(parts[i])) != SIZE_MAX) return true;
  for (size_t i = 0; i < ref.len; i++)
    if ((unsigned char)ref.data[i] <= ' ' || ref.data[i] == 127 || strchr(":?^~[", ref.data[i])) return true;
  return false;
}

static bool check_git_names(Native *n) {
  Vm *vm = n->vm;
  Shape *shape = attrs_flat_shape(n->slot[GIT_VALUES]);
  bool feature = false;
  for (uint32_t i = 0; i < shape->count; i++) {
    Span name = symbol_text(vm->symbols, shape->names[i]);
    feature |= needs_feature(name);
    if (!is_known_git_attr(name))
      return eval_error(vm, EVAL_ERROR_EVAL, 0, "input attribute '%.*s' not supported by scheme 'git'", SPAN_ARG(name)),
             false;
  }
  return !feature || fail_feature(vm);
}

// A commit's hash in any of Nix's notations.
static bool read_rev(Vm *vm, Span text, Buf *ret) {
  Hash hash;
  Err err = ERR_INIT, ignored = ERR_INIT;
  HashAlgo sha1 = HASH_SHA1;
  bool prefixed = hash_parse_prefixed(text, &hash, &ignored);
  err_done(&ignored);
  if (!prefixed && !hash_parse(text, &sha1, &hash, &err)) return fail_from(vm, EVAL_ERROR_EVAL, &err);
  hash_format(&hash, HASH_FORMAT_BASE16, false, ret);
  return true;
}

static bool read_git_args(Native *n, GitQuery *query) {
  Vm *vm = n->vm;
  FetcherGit *git = &query->git;
  Err err = ERR_INIT;
  Span url, rev;
  Value ref = git_value(n, "ref");
  if (!git_bool(n, "submodules", &git->submodules) || !check_git_names(n) || !git_string(n, "ref", &git->ref))
    return false;
  if (ref != VALUE_ABSENT && is_bad_ref(git->ref))
    return eval_error(vm, EVAL_ERROR_EVAL, 0, "invalid Git branch/tag name '%.*s'", SPAN_ARG(git->ref)), false;
  if (!git_string(n, "url", &url)) return false;
  if (git_value(n, "url") == VALUE_ABSENT)
    return eval_error(vm, EVAL_ERROR_EVAL, 0, "input attribute 'url' is missing"), false;
  buf_put_span(&query->url, url);
  git->url = buf_span(&query->url);
  if (!source_url_parse(git->url, &query->arena, &query->parsed, &err)) return fail_from(vm, EVAL_ERROR_EVAL, &err);
  if (!git_bool(n, "shallow", &git->shallow) || !git_bool(n, "allRefs", &git->all_refs) ||
      !git_int(n, "revCount", &query->has_rev_count, &query->rev_count) ||
      !git_int(n, "lastModified", &query->has_last_modified, &query->last_modified) || !git_string(n, "rev", &rev) ||
      !git_bool(n, "exportIgnore", &git->export_ignore) || !git_string(n, "name", &git->name) ||
      !git_string(n, "narHash", &query->nar_hash))
    return false;
  if (git_value(n, "name") == VALUE_ABSENT) git->name = SPAN("source");
  if (git_value(n, "rev") == VALUE_ABSENT) return true;
  if (!read_rev(vm, rev, &query->rev)) return false;
  git->rev = buf_span(&query->rev);
  return true;
}

// The URL that stands for the input in messages and for allowed-uris.
static bool put_input(const GitQuery *query, Span ref, Span rev, Buf *ret, Err *err) {
  const FetcherGit *git = &query->git;
  SourceUrl url = query->parsed;
  Buf scheme CLEANUP(buf_done) = BUF_INIT;
  if (!span_eq_cstr(url.scheme, "git")) buf_put_cstr(&scheme, "git+");
  buf_put_span(&scheme, url.scheme);
  url.scheme = buf_span(&scheme);
  if ((rev.len && !source_url_set_param(&url, SPAN("rev"), rev, err)) ||
      (ref.len && !source_url_set_param(&url, SPAN("ref"), ref, err)) ||
      (git->shallow && !source_url_set_param(&url, SPAN("shallow"), SPAN("1"), err)) ||
      (git->submodules && !source_url_set_param(&url, SPAN("submodules"), SPAN("1"), err)) ||
      (git->export_ignore && !source_url_set_param(&url, SPAN("exportIgnore"), SPAN("1"), err)))
    return false;
  source_url_format(&url, ret);
  return true;
}

static Value git_result(Vm *vm, const FetcherGit *git, const FetcherGitTree *tree) {
  AttrsBuilder builder CLEANUP(attrs_builder_done) = ATTRS_BUILDER_INIT;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  Hash hash = {.algo = HASH_SHA256};
  memcpy(hash.bytes, tree->nar_sha256, sizeof(tree->nar_sha256));
  hash_format(&hash, HASH_FORMAT_SRI, true, &text);
  add_out_path(vm, &builder, buf_span(&tree->store_path));
  add_string(vm, &builder, "narHash", buf_span(&text));
  add_value(vm, &builder, "submodules", value_bool(git->submodules));
  // Programs expect a commit of a tree that has none, too.
  Span rev = tree->rev.len ? buf_span(&tree->rev) : SPAN(FETCHER_NULL_REV);
  add_string(vm, &builder, "rev", rev);
  add_string(vm, &builder, "shortRev", span_sub(rev, 0, 7));
  if (tree->dirty_rev.len) {
    add_string(vm, &builder, "dirtyRev", buf_span(&tree->dirty_rev));
    buf_clear(&text);
    buf_printf(&text, "%.7s-dirty", tree->dirty_rev.data);
    add_string(vm, &builder, "dirtyShortRev", buf_span(&text));
  }
  add_value(vm, &builder, "revCount", vm_int(vm, (int64_t)tree->rev_count));
  add_value(vm, &builder, "lastModified", vm_int(vm, tree->last_modified));
  char date[32];
  struct tm tm;
  time_t when = (time_t)tree->last_modified;
  strftime(date, sizeof(date), "%Y%m%d%H%M%S", gmtime_r(&when, &tm));
  add_string(vm, &builder, "lastModifiedDate", span_cstr(date));
  return attrs_builder_finish(vm, &builder, false);
}

static bool check_nar_hash(const GitQuery *query, const FetcherGitTree *tree, Span input, Err *err) {
  Hash want, got = {.algo = HASH_SHA256};
  if (!query->nar_hash.len) return true;
  memcpy(got.bytes, tree->nar_sha256, sizeof(tree->nar_sha256));
  if (!hash_parse_sri(query->nar_hash, &want, err)) return false;
  if (hash_eq(&want, &got)) return true;
  Buf want_text CLEANUP(buf_done) = BUF_INIT, got_text CLEANUP(buf_done) = BUF_INIT;
  hash_format(&want, HASH_FORMAT_SRI, true, &want_text);
  hash_format(&got, HASH_FORMAT_SRI, true, &got_text);
  return err_set(err, ERR_HASH_MISMATCH, "NAR hash mismatch in input '%.*s', expected '%s' but got '%s'",
                 SPAN_ARG(input), buf_cstr(&want_text), buf_cstr(&got_text));
}

// What the caller said of the result is so.
static bool check_locks(const GitQuery *query, const FetcherGitTree *tree, Span input, Err *err) {
  Buf result CLEANUP(buf_done) = BUF_INIT;
  if (!check_nar_hash(query, tree, input, err) ||
      !put_input(query, buf_span(&tree->ref), buf_span(&tree->rev), &result, err))
    return false;
  if (query->has_last_modified && query->last_modified != tree->last_modified)
    return err_set(err, ERR_EVAL, "'lastModified' attribute mismatch in input '%s', expected %lld, got %lld",
                   buf_cstr(&result), (long long)query->last_modified, (long long)tree->last_modified);
  if (query->has_rev_count && (!tree->has_rev_count || query->rev_count != (int64_t)tree->rev_count))
    return err_set(err, ERR_EVAL, "'revCount' attribute mismatch in input '%s', expected %lld", buf_cstr(&result),
                   (long long)query->rev_count);
  return true;
}

// VALUE_PARK: n->wait says for what; asked again then.
static Value git_finish(Native *n) {
  Vm *vm = n->vm;
  StoreIo *io = glue_of(vm)->io;
  GitQuery query CLEANUP(query_done) = {0};
  const FetcherGitTree *tree;
  Buf input CLEANUP(buf_done) = BUF_INIT;
  Err err = ERR_INIT;
  if (!read_git_args(n, &query)) return VALUE_ERROR;
  if (!put_input(&query, query.git.ref, query.git.rev, &input, &err))
    return eval_error_from_err(vm, EVAL_ERROR_EVAL, 0, &err);
  if (vm->settings.pure_eval && query.git.rev.len == 0)
    return eval_error(vm, EVAL_ERROR_EVAL, 0, "in pure evaluation mode, 'fetchGit' will not fetch unlocked input '%s'",
                      buf_cstr(&input));
  if (!access_check_uri(store_io_access(io), buf_span(&input), &err))
    return eval_error_from_err(vm, EVAL_ERROR_RESTRICTED, 0, &err);
  n->slot[GIT_INPUT] = str_plain(vm, buf_span(&input));
  n->slot[GIT_FRAME] = value_raw(FRAME_INPUT);
  EvalIoStatus status = fetch_io_git(io, &query.git, &tree, &n->wait, &err);
  if (status == EVAL_IO_PENDING) return VALUE_PARK;
  if (status == EVAL_IO_ERROR || !check_locks(&query, tree, buf_span(&input), &err))
    return eval_error_from_err(vm, EVAL_ERROR_IO, 0, &err);
  return git_result(vm, &query.git, tree);
}

static Value git_attr(Native *n) {
  return attrs_slot(n->vm, n->slot[GIT_ARG], git_slot(n));
}
static Span git_attr_name(Native *n) {
  return symbol_text(n->vm->symbols, attrs_flat_shape(n->slot[GIT_ARG])->names[git_slot(n)]);
}

// Evaluated copies of all attributes, paths as strings, the URL in its full form.
static bool keep_git_value(Native *n, Value v) {
  Vm *vm = n->vm;
  Span name = git_attr_name(n);
  bool is_url = span_eq_cstr(name, "url");
  if (value_is_string(v) || value_is_path(v)) {
    Buf text CLEANUP(buf_done) = BUF_INIT;
    if (is_url) source_url_fix_git(str_span(v), &text);
    else buf_put_span(&text, str_span(v));
    v = str_plain(vm, buf_span(&text));
  } else if (value_is_int(v) && value_get_int(v) < 0) {
    return eval_error(vm, EVAL_ERROR_EVAL, 0, "negative value given for fetchTree attr %.*s: %lld", SPAN_ARG(name),
                      (long long)value_get_int(v)),
           false;
  } else if (!value_is_bool(v) && !value_is_int(v)) {
    if (span_eq_cstr(name, "publicKeys")) return fail_feature(vm);
    eval_error(vm, EVAL_ERROR_TYPE, 0, "fetchTree argument '%.*s' is %s while a string, Boolean or integer is expected",
               SPAN_ARG(name), eval_error_type_phrase(vm, v));
    return false;
  }
  Attrs *values = value_ptr(n->slot[GIT_VALUES]);
  heap_store(&vm->heap, values, &values->slots[git_slot(n)], v);
  return true;
}

static void start_git_values(Native *n) {
  if (n->slot[GIT_ARG] == VALUE_EMPTY_ATTRS) return;
  Attrs *values = attrs_new(n->vm, attrs_flat_shape(n->slot[GIT_ARG]));
  for (uint32_t i = 0; i < attrs_flat_shape(n->slot[GIT_ARG])->count; i++) values->slots[i] = VALUE_NULL;
  n->slot[GIT_VALUES] = attrs_value(values);
}

// exportIgnore is on unless somebody says otherwise or submodules are wanted, which have it not.
static void add_git_defaults(Native *n) {
  Vm *vm = n->vm;
  if (git_value(n, "exportIgnore") != VALUE_ABSENT || git_value(n, "submodules") == VALUE_TRUE) return;
  AttrsBuilder builder CLEANUP(attrs_builder_done) = ATTRS_BUILDER_INIT;
  add_value(vm, &builder, "exportIgnore", VALUE_TRUE);
  n->slot[GIT_VALUES] =
      attrs_flatten(vm, attrs_update(vm, n->slot[GIT_VALUES], attrs_builder_finish(vm, &builder, false)));
}

static Step fetch_git_step(Native *n) {
  Vm *vm = n->vm;
  NATIVE_BEGIN(n);
  n->slot[GIT_FRAME] = value_raw(FRAME_NONE);
  n->slot[GIT_VALUES] = VALUE_EMPTY_ATTRS;
  NATIVE_FORCE(n, n->slot[GIT_ARG]);
  n->slot[GIT_ARG] = n->result;
  if (!value_is_attrs(n->result)) {
    n->args[0] = n->slot[GIT_ARG];
    n->args[1] = value_raw(0);
    n->slot[GIT_FRAME] = value_raw(FRAME_ARGUMENT);
    NATIVE_PUSH(n, &native_coerce_string);
    n->slot[GIT_FRAME] = value_raw(FRAME_NONE);
    AttrsBuilder builder = ATTRS_BUILDER_INIT;
    attrs_builder_add(&builder, SYM_url, n->result, 0);
    n->slot[GIT_ARG] = attrs_builder_finish(vm, &builder, false);
    attrs_builder_done(&builder);
  }
  n->slot[GIT_ARG] = attrs_flatten(vm, n->slot[GIT_ARG]);
  if (attrs_has(n->slot[GIT_ARG], SYM_type))
    return eval_error(vm, EVAL_ERROR_EVAL, 0, "unexpected attribute 'type'"), STEP_ERROR;
  start_git_values(n);
  for (native_set(n, GIT_I, 0); native_get(n, GIT_I) < (int64_t)attrs_count(n->slot[GIT_ARG]);
       native_add(n, GIT_I, 1)) {
    NATIVE_FORCE(n, git_attr(n));
    if (!keep_git_value(n, n->result)) return STEP_ERROR;
  }
  add_git_defaults(n);
  while ((n->result = git_finish(n)) == VALUE_PARK) NATIVE_PARK(n);
  return n->result == VALUE_ERROR ? STEP_ERROR : STEP_RETURN;
  NATIVE_END;
}

static void fetch_git_trace(Native *n) {
  if (n->slot[GIT_FRAME] == value_raw(FRAME_ARGUMENT) && eval_error_is_refusal(n->vm))
    eval_error_trace(n->vm, 0, "while evaluating the first argument passed to the fetcher");
  if (n->slot[GIT_FRAME] == value_raw(FRAME_INPUT))
    eval_error_trace(n->vm, 0, "while fetching the input '%.*s'", SPAN_ARG(str_span(n->slot[GIT_INPUT])));
}

static const NativeDef native_fetch_git = {
    .name = "fetchGit", .step = fetch_git_step, .arg_count = 1, .slot_count = GIT_SLOTS, .trace = fetch_git_trace};

// ---- fetchMercurial

enum { HG_ARG, HG_URL, HG_REV, HG_NAME, HG_I, HG_FRAME, HG_INPUT, HG_SLOTS };

static uint32_t hg_slot(const Native *n) {
  return attrs_nth(n->vm, n->slot[HG_ARG], (size_t)native_get(n, HG_I));
}
static Span hg_attr_name(Native *n) {
  return symbol_text(n->vm->symbols, attrs_flat_shape(n->slot[HG_ARG])->names[hg_slot(n)]);
}

static bool keep_hg_string(Native *n, Value v, Span name) {
  bool is_rev = span_eq_cstr(name, "rev");
  if (!vm_expect_string_no_context(n->vm, v,
                                   is_rev ? "while evaluating the `rev` attribute passed to builtins.fetchMercurial"
                                          : "while evaluating the `name` attribute passed to builtins.fetchMercurial"))
    return false;
  n->slot[is_rev ? HG_REV : HG_NAME] = v;
  return true;
}

static bool is_hg_ref(Span ref) {
  for (size_t i = 0; i < ref.len; i++) {
    char c = ref.data[i];
    bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '@';
    if (!alnum && (i == 0 || !c || !strchr("_./+-", c))) return false;
  }
  return ref.len > 0;
}

static bool put_hg_input(const SourceUrl *parsed, const FetcherHg *hg, Buf *ret, Err *err) {
  SourceUrl url = *parsed;
  Buf scheme CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&scheme, "hg+%.*s", SPAN_ARG(url.scheme));
  url.scheme = buf_span(&scheme);
  if ((hg->rev.len && !source_url_set_param(&url, SPAN("rev"), hg->rev, err)) ||
      (hg->ref.len && !source_url_set_param(&url, SPAN("ref"), hg->ref, err)))
    return false;
  source_url_format(&url, ret);
  return true;
}

static Value hg_result(Vm *vm, const FetcherHgTree *tree) {
  AttrsBuilder builder CLEANUP(attrs_builder_done) = ATTRS_BUILDER_INIT;
  Span rev = tree->rev.len ? buf_span(&tree->rev) : SPAN(FETCHER_NULL_REV);
  add_out_path(vm, &builder, buf_span(&tree->store_path));
  if (tree->branch.len) add_string(vm, &builder, "branch", buf_span(&tree->branch));
  add_string(vm, &builder, "rev", rev);
  add_string(vm, &builder, "shortRev", span_sub(rev, 0, 12));
  if (tree->has_rev_count) add_value(vm, &builder, "revCount", vm_int(vm, (int64_t)tree->rev_count));
  return attrs_builder_finish(vm, &builder, false);
}

// As git_finish.
static Value hg_fetch(Native *n, FetcherHg *hg, Span given_url, Arena *arena) {
  Vm *vm = n->vm;
  StoreIo *io = glue_of(vm)->io;
  SourceUrl parsed;
  const FetcherHgTree *tree;
  Buf input CLEANUP(buf_done) = BUF_INIT;
  Err err = ERR_INIT;
  if (!access_check_uri(store_io_access(io), given_url, &err))
    return eval_error_from_err(vm, EVAL_ERROR_RESTRICTED, 0, &err);
  if (vm->settings.pure_eval && !hg->rev.len)
    return eval_error(vm, EVAL_ERROR_EVAL, 0,
                      "in pure evaluation mode, 'fetchMercurial' requires a Mercurial revision");
  if (!source_url_parse(hg->url, arena, &parsed, &err)) return eval_error_from_err(vm, EVAL_ERROR_EVAL, 0, &err);
  if (n->slot[HG_REV] != VALUE_NULL && !hg->rev.len && !is_hg_ref(hg->ref))
    return eval_error(vm, EVAL_ERROR_EVAL, 0, "invalid Mercurial branch/tag name '%.*s'", SPAN_ARG(hg->ref));
  if (!put_hg_input(&parsed, hg, &input, &err)) return eval_error_from_err(vm, EVAL_ERROR_EVAL, 0, &err);
  n->slot[HG_INPUT] = str_plain(vm, buf_span(&input));
  n->slot[HG_FRAME] = value_raw(FRAME_INPUT);
  EvalIoStatus status = fetch_io_hg(io, hg, &tree, &n->wait, &err);
  if (status == EVAL_IO_PENDING) return VALUE_PARK;
  if (status == EVAL_IO_ERROR) return eval_error_from_err(vm, EVAL_ERROR_IO, 0, &err);
  return hg_result(vm, tree);
}

static Value hg_finish(Native *n) {
  FetcherHg hg = {.name = SPAN("source")};
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  Buf url CLEANUP(buf_done) = BUF_INIT, rev CLEANUP(buf_done) = BUF_INIT, given CLEANUP(buf_done) = BUF_INIT,
          name CLEANUP(buf_done) = BUF_INIT;
  if (n->slot[HG_URL] == VALUE_NULL || str_span(n->slot[HG_URL]).len == 0)
    return eval_error(n->vm, EVAL_ERROR_EVAL, 0, "'url' argument required");
  // Copies: nothing of the heap is to be held where something is allocated.
  buf_put_span(&given, str_span(n->slot[HG_URL]));
  if (span_find(buf_span(&given), SPAN("://")) == SIZE_MAX) buf_put_cstr(&url, "file://");
  buf_put_span(&url, buf_span(&given));
  hg.url = buf_span(&url);
  if (n->slot[HG_NAME] != VALUE_NULL) {
    buf_put_span(&name, str_span(n->slot[HG_NAME]));
    hg.name = buf_span(&name);
  }
  if (n->slot[HG_REV] != VALUE_NULL) {
    uint8_t commit[20];
    // Either a commit or a name.
    if (base16_decode(str_span(n->slot[HG_REV]), commit, sizeof commit)) {
      base16_put(&rev, commit, sizeof commit);
      hg.rev = buf_span(&rev);
    } else {
      buf_put_span(&rev, str_span(n->slot[HG_REV]));
      hg.ref = buf_span(&rev);
    }
  }
  return hg_fetch(n, &hg, buf_span(&given), &arena);
}

static Step fetch_hg_step(Native *n) {
  Vm *vm = n->vm;
  NATIVE_BEGIN(n);
  n->slot[HG_URL] = n->slot[HG_REV] = n->slot[HG_NAME] = VALUE_NULL;
  n->slot[HG_FRAME] = value_raw(FRAME_NONE);
  NATIVE_FORCE(n, n->slot[HG_ARG]);
  n->slot[HG_ARG] = n->result;
  if (!value_is_attrs(n->result)) {
    n->args[0] = n->slot[HG_ARG];
    n->args[1] = value_raw(0);
    n->slot[HG_FRAME] = value_raw(FRAME_ARGUMENT);
    NATIVE_PUSH(n, &native_coerce_string);
    n->slot[HG_URL] = n->result;
    n->slot[HG_ARG] = VALUE_EMPTY_ATTRS;
  }
  n->slot[HG_ARG] = attrs_flatten(vm, n->slot[HG_ARG]);
  for (native_set(n, HG_I, 0); native_get(n, HG_I) < (int64_t)attrs_count(n->slot[HG_ARG]); native_add(n, HG_I, 1)) {
    if (span_eq_cstr(hg_attr_name(n), "url")) {
      n->args[0] = attrs_slot(vm, n->slot[HG_ARG], hg_slot(n));
      n->args[1] = value_raw(0);
      n->slot[HG_FRAME] = value_raw(FRAME_ARGUMENT);
      NATIVE_PUSH(n, &native_coerce_string);
      n->slot[HG_URL] = n->result;
      n->slot[HG_FRAME] = value_raw(FRAME_NONE);
      continue;
    }
    if (!span_eq_cstr(hg_attr_name(n), "rev") && !span_eq_cstr(hg_attr_name(n), "name")) {
      eval_error(vm, EVAL_ERROR_EVAL,
                 attrs_position(n->slot[HG_ARG], attrs_flat_shape(n->slot[HG_ARG])->names[hg_slot(n)]),
                 "unsupported argument '%.*s' to 'fetchMercurial'", SPAN_ARG(hg_attr_name(n)));
      return STEP_ERROR;
    }
    NATIVE_FORCE(n, attrs_slot(vm, n->slot[HG_ARG], hg_slot(n)));
    if (!keep_hg_string(n, n->result, hg_attr_name(n))) return STEP_ERROR;
  }
  n->slot[HG_FRAME] = value_raw(FRAME_NONE);
  while ((n->result = hg_finish(n)) == VALUE_PARK) NATIVE_PARK(n);
  return n->result == VALUE_ERROR ? STEP_ERROR : STEP_RETURN;
  NATIVE_END;
}

static void fetch_hg_trace(Native *n) {
  bool is_set = n->slot[HG_ARG] != VALUE_EMPTY_ATTRS && value_is_attrs(n->slot[HG_ARG]);
  if (n->slot[HG_FRAME] == value_raw(FRAME_ARGUMENT) && eval_error_is_refusal(n->vm))
    eval_error_trace(n->vm, 0,
                     is_set ? "while evaluating the `url` attribute passed to builtins.fetchMercurial"
                            : "while evaluating the first argument passed to builtins.fetchMercurial");
  if (n->slot[HG_FRAME] == value_raw(FRAME_INPUT))
    eval_error_trace(n->vm, 0, "while fetching the input '%.*s'", SPAN_ARG(str_span(n->slot[HG_INPUT])));
}

static const NativeDef native_fetch_hg = {
    .name = "fetchMercurial", .step = fetch_hg_step, .arg_count = 1, .slot_count = HG_SLOTS, .trace = fetch_hg_trace};

const Builtin fetch_repo_builtin_rows[FETCH_REPO_BUILTIN_COUNT] = {
    {.name = "fetchGit",
     .arity = 1,
     .strict = 0,
     .flags = BUILTIN_GLOBAL,
     .native = &native_fetch_git,
     .args = "args",
     .doc = "Fetch a tree from a Git repository while evaluating. The argument is the URL or path, or a set with "
            "`url`, and optionally `rev`, `ref`, "
            "`name`, `allRefs`, `shallow`, `submodules`, `exportIgnore`, `narHash`, `lastModified`, `revCount`. The "
            "result has `outPath`, `rev`, `shortRev`, `revCount`, "
            "`lastModified`, `lastModifiedDate`, `narHash`, `submodules`. The working tree is taken as it is (the "
            "files that Git "
            "tracks) where the argument is a path and neither `ref` nor `rev` is given."},
    {.name = "fetchMercurial",
     .arity = 1,
     .strict = 0,
     .flags = BUILTIN_GLOBAL,
     .native = &native_fetch_hg,
     .args = "args",
     .doc = "Fetch a tree from a Mercurial repository while evaluating. The argument is the URL or path, or a set with "
            "`url`, "
            "and optionally `rev` (a revision, branch or tag; `default`) and `name`. The result has `outPath`, "
            "`branch`, `rev`, "
            "`shortRev`, `revCount`."},
};
