// path_coerce.c: see path_coerce.h.
#include "eval/path_coerce.h"

#include "base/fs.h"
#include "eval/attrs.h"
#include "eval/str.h"
#include "formats/placeholder.h"

#define LINKS_MAX 1024

// ---- symbolic links ----

// `done` is resolved; `rest` begins with '/' or is empty.
static EvalIoStatus resolve_step(EvalIo *io, Span path, Buf *done, Buf *rest, bool follow_last, unsigned *links,
                                 EvalIoWait *ret_wait, Err *err) {
  Span todo = span_from(buf_span(rest), 1);
  size_t end = span_find_char(todo, '/');
  Span name = span_sub(todo, 0, end), behind = end == SIZE_MAX ? SPAN("") : span_from(todo, end);
  size_t parent_len = done->len;
  buf_put_char(done, '/');
  buf_put_span(done, name);
  EvalStat st = {.type = EVAL_FILE_REGULAR};
  if (behind.len || follow_last) {
    EvalIoStatus status = io->ops->lstat(io, buf_span(done), &st, ret_wait, err);
    if (status != EVAL_IO_OK) return status;
  }
  Buf next = BUF_INIT;
  if (st.type == EVAL_FILE_SYMLINK) {
    Buf target = BUF_INIT;
    EvalIoStatus status = io->ops->read_link(io, buf_span(done), &target, ret_wait, err);
    if (status == EVAL_IO_OK && ++*links > LINKS_MAX) {
      err_set(err, ERR_LIMIT, "infinite symlink recursion in path '%.*s'", SPAN_ARG(path));
      status = EVAL_IO_ERROR;
    }
    if (status != EVAL_IO_OK) {
      buf_done(&target);
      return status;
    }
    // The parent has no links any more, so ".." in the target can be taken as text. The result starts over at the root: its components
    // are asked for again, which an implementation answers from memory.
    done->len = parent_len;
    fs_path_canon(parent_len ? buf_span(done) : SPAN("/"), buf_span(&target), &next);
    buf_done(&target);
    if (next.len == 1) buf_clear(&next);
    done->len = 0;
  }
  buf_put_span(&next, behind);
  buf_done(rest);
  *rest = next;
  return EVAL_IO_OK;
}

EvalIoStatus path_coerce_resolve(EvalIo *io, Span path, bool follow_last, Buf *ret, EvalIoWait *ret_wait, Err *err) {
  Buf done = BUF_INIT, rest = BUF_INIT;
  unsigned links = 0;
  if (path.len > 1) buf_put_span(&rest, path);
  EvalIoStatus status = EVAL_IO_OK;
  while (rest.len && status == EVAL_IO_OK)
    status = resolve_step(io, path, &done, &rest, follow_last, &links, ret_wait, err);
  if (status == EVAL_IO_OK) buf_put_span(ret, done.len ? buf_span(&done) : SPAN("/"));
  buf_done(&done);
  buf_done(&rest);
  return status;
}

// ---- contexts ----

// Where the path of `element`, an output of a derivation, was not known when the string was made, its placeholder is replaced now.
static void replace_placeholder(Span element, Span store_dir, Span actual, Buf *path) {
  size_t mark = span_rfind_char(element, '!');
  if (element.data[0] != '!' || !actual.len) return;
  StorePath drv;
  if (!store_path_parse(span_from(element, mark + 1), store_dir, &drv, NULL) || !store_path_is_derivation(&drv)) return;
  Placeholder placeholder;
  placeholder_upstream(&drv, span_sub(element, 1, mark - 1), &placeholder);
  Buf text = BUF_INIT, replaced = BUF_INIT;
  placeholder_put(&placeholder, &text);
  Span rest = buf_span(path);
  for (size_t at; (at = span_find(rest, buf_span(&text))) != SIZE_MAX; rest = span_from(rest, at + text.len)) {
    buf_put_span(&replaced, span_sub(rest, 0, at));
    buf_put_span(&replaced, actual);
  }
  if (replaced.len) {
    buf_put_span(&replaced, rest);
    buf_done(path);
    *path = replaced;
    replaced = (Buf)BUF_INIT;
  }
  buf_done(&replaced);
  buf_done(&text);
}

// All of the context is asked for, also behind an element that is not there yet, so that what has to be built is built together.
static EvalIoStatus realise(Vm *vm, const Context *context, Buf *path, EvalIoWait *ret_wait, Err *err) {
  EvalIoStatus result = EVAL_IO_OK;
  Span store_dir = span_cstr(vm->settings.store_dir);
  Buf actual = BUF_INIT;
  for (uint32_t i = 0; context && i < context->count && result != EVAL_IO_ERROR; i++) {
    Span element = context_element_text(vm->contexts, context->elements[i]);
    EvalIoWait wait = 0;
    buf_clear(&actual);
    EvalIoStatus status = vm->io->ops->realise_context(vm->io, element, &actual, &wait, err);
    if (status == EVAL_IO_OK) {
      replace_placeholder(element, store_dir, buf_span(&actual), path);
    } else if (status == EVAL_IO_ERROR || result == EVAL_IO_OK) {
      result = status;
      *ret_wait = wait;
    }
  }
  buf_done(&actual);
  return result;
}

// ---- the native ----

enum { VALUE, FRAME, FLAGS, TRACED, STRING, SLOT_COUNT };

static void trace_frame(Native *n) {
  PosId pos = (PosId)(native_get(n, FLAGS) >> PATH_COERCE_POS_SHIFT);
  eval_error_trace(n->vm, pos, "%s", (const char *)value_get_raw_ptr(n->slot[FRAME]));
}

// The path of STRING, with everything it needs in place; VALUE_PARK after setting n->wait, or VALUE_ERROR.
static Value finish(Native *n) {
  Vm *vm = n->vm;
  bool resolve = native_get(n, FLAGS) & PATH_COERCE_RESOLVE;
  Buf path = BUF_INIT, canon = BUF_INIT, resolved = BUF_INIT;
  buf_put_span(&path, str_span(n->slot[STRING]));
  Err err = ERR_INIT;
  EvalIoWait wait = 0;
  EvalIoStatus status = realise(vm, str_context(n->slot[STRING]), &path, &wait, &err);
  if (status == EVAL_IO_OK) fs_path_canon(SPAN("/"), buf_span(&path), &canon);
  if (status == EVAL_IO_OK && resolve)
    status = path_coerce_resolve(vm->io, buf_span(&canon), true, &resolved, &wait, &err);
  Value result = VALUE_PARK;
  if (status == EVAL_IO_OK) {
    result = str_path(vm, buf_span(resolve ? &resolved : &canon));
  } else if (status == EVAL_IO_PENDING) {
    n->wait = wait;
  } else {
    result = eval_error_from_err(vm, EVAL_ERROR_IO, 0, &err);
    buf_clear(&canon);
    fs_path_canon(SPAN("/"), str_span(n->slot[STRING]), &canon);
    eval_error_trace(vm, 0, "while realising the context of path '%.*s'", SPAN_ARG(buf_span(&canon)));
  }
  buf_done(&path);
  buf_done(&canon);
  buf_done(&resolved);
  return result;
}

static Step path_coerce_step(Native *n) {
  NATIVE_BEGIN(n);
  native_set(n, TRACED, 1);
  NATIVE_FORCE(n, n->slot[VALUE]);
  native_set(n, TRACED, 0);
  n->slot[VALUE] = n->result;
  if (value_is_attrs(n->result) && attrs_has(n->result, SYM_to_string)) {
    NATIVE_FORCE(n, attrs_get(n->vm, n->slot[VALUE], SYM_to_string));
    NATIVE_CALL1(n, n->result, n->slot[VALUE]);
    n->args[0] = n->result;
    n->args[1] = n->slot[FRAME];
    n->args[2] = n->slot[FLAGS];
    NATIVE_PUSH(n, &path_coerce_native); // not in our place: the set may have returned itself
    return STEP_RETURN;
  }
  n->slot[STRING] = n->slot[VALUE];
  if (value_is_path(n->slot[VALUE])) {
    if (!(native_get(n, FLAGS) & PATH_COERCE_RESOLVE)) NATIVE_RETURN(n, n->slot[VALUE]);
  } else {
    n->args[0] = n->slot[VALUE];
    n->args[1] = value_raw(0);
    native_set(n, TRACED, 2);
    NATIVE_PUSH(n, &native_coerce_string);
    native_set(n, TRACED, 0);
    n->slot[STRING] = n->result;
    if (!span_has_prefix(str_span(n->result), SPAN("/"))) {
      eval_error(n->vm, EVAL_ERROR_EVAL, 0, "string '%.*s' doesn't represent an absolute path",
                 SPAN_ARG(str_span(n->result)));
      trace_frame(n);
      return STEP_ERROR;
    }
    if (native_get(n, FLAGS) & PATH_COERCE_NO_BUILD) NATIVE_RETURN(n, n->slot[STRING]);
  }
  while ((n->result = finish(n)) == VALUE_PARK) NATIVE_PARK(n);
  return n->result == VALUE_ERROR ? STEP_ERROR : STEP_RETURN;
  NATIVE_END;
}

static void path_coerce_trace(Native *n) {
  if (native_get(n, TRACED) == 1 || (native_get(n, TRACED) == 2 && eval_error_is_refusal(n->vm))) trace_frame(n);
}

const NativeDef path_coerce_native = {
    .name = "path", .step = path_coerce_step, .arg_count = 3, .slot_count = SLOT_COUNT, .trace = path_coerce_trace};
