// fetch_builtin.c: the language side of fetcher.h. Behaviour and wording: Nix 2.26, fetchTree.cc.
#include "glue/fetch_builtin.h"

#include "base/fs.h"
#include "base/log.h"
#include "eval/attrs.h"
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

static bool check_sha256(Vm *vm, Span text) {
  Err err = ERR_INIT;
  Hash hash;
  HashAlgo algo = HASH_SHA256;
  bool assumed;
  if (!hash_parse_or_empty(text, &algo, &hash, &assumed, &err))
    return eval_error_from_err(vm, EVAL_ERROR_EVAL, 0, &err), false;
  if (!assumed) return true;
  Buf sri CLEANUP(buf_done) = BUF_INIT;
  hash_format(&hash, HASH_FORMAT_SRI, true, &sri);
  log_warn("found empty hash, assuming '%s'", buf_cstr(&sri));
  return true;
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
  if (!access_check_uri(store_io_access(io), buf_span(&url), &err))
    return eval_error_from_err(vm, EVAL_ERROR_RESTRICTED, 0, &err);

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
      if (fetch_attr(n) == SYM_sha256 && !check_sha256(vm, str_span(n->result))) return STEP_ERROR;
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
};
