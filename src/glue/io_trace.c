// io_trace.c: see io_trace.h.
#include "glue/io_trace.h"

#include <time.h>

#include "base/mem.h"

struct IoTrace {
  EvalIo base; // first
  EvalIo *inner;
  EvalIoOps ops; // those that `inner` has
  void (*line)(void *ctx, Span text);
  void *ctx;
  uint64_t start_ns;
};

static IoTrace *trace_of(EvalIo *io) {
  return (IoTrace *)io;
}

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void tell(IoTrace *trace, uint64_t begin_ns, const char *question, Span path, const char *answer) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  uint64_t end_ns = now_ns();
  buf_printf(&text, "%9llu %6llu %s %.*s: %s", (unsigned long long)(begin_ns - trace->start_ns) / 1000,
             (unsigned long long)(end_ns - begin_ns) / 1000, question, SPAN_ARG(path), answer);
  trace->line(trace->ctx, buf_span(&text));
}

static const char *status_text(EvalIoStatus status) {
  switch (status) {
  case EVAL_IO_OK: return "done";
  case EVAL_IO_ERROR: return "error";
  case EVAL_IO_PENDING: return "pending";
  }
  return "?";
}

static const char *type_text(EvalFileType type) {
  switch (type) {
  case EVAL_FILE_ABSENT: return "absent";
  case EVAL_FILE_REGULAR: return "regular";
  case EVAL_FILE_DIRECTORY: return "directory";
  case EVAL_FILE_SYMLINK: return "symlink";
  case EVAL_FILE_UNKNOWN: break;
  }
  return "special";
}

// Asks `op` of the inner evaluator's world with the arguments behind `subject`, and tells what came of it.
#define TRACED(io, op, question, subject, ...)                                 \
  __extension__({                                                              \
    IoTrace *trace_ = trace_of(io);                                            \
    uint64_t begin_ = now_ns();                                                \
    EvalIoStatus status_ = trace_->inner->ops->op(trace_->inner, __VA_ARGS__); \
    tell(trace_, begin_, question, subject, status_text(status_));             \
    status_;                                                                   \
  })

static EvalIoStatus trace_lstat(EvalIo *io, Span path, EvalStat *ret, EvalIoWait *ret_wait, Err *err) {
  IoTrace *trace = trace_of(io);
  uint64_t begin = now_ns();
  EvalIoStatus status = trace->inner->ops->lstat(trace->inner, path, ret, ret_wait, err);
  tell(trace, begin, "lstat", path, status == EVAL_IO_OK ? type_text(ret->type) : status_text(status));
  return status;
}

static EvalIoStatus trace_read_file(EvalIo *io, Span path, Buf *ret, EvalIoWait *ret_wait, Err *err) {
  return TRACED(io, read_file, "read_file", path, path, ret, ret_wait, err);
}

static EvalIoStatus trace_read_dir(EvalIo *io, Span path, EvalDirList *ret, EvalIoWait *ret_wait, Err *err) {
  return TRACED(io, read_dir, "read_dir", path, path, ret, ret_wait, err);
}

static EvalIoStatus trace_read_link(EvalIo *io, Span path, Buf *ret, EvalIoWait *ret_wait, Err *err) {
  return TRACED(io, read_link, "read_link", path, path, ret, ret_wait, err);
}

static EvalIoStatus trace_realise_context(EvalIo *io, Span context, Buf *ret_path, EvalIoWait *ret_wait, Err *err) {
  return TRACED(io, realise_context, "realise", context, context, ret_path, ret_wait, err);
}

static EvalIoStatus trace_copy_to_store(EvalIo *io, Span path, Span name, Buf *ret_store_path, EvalIoWait *ret_wait,
                                        Err *err) {
  return TRACED(io, copy_to_store, "copy_to_store", path, path, name, ret_store_path, ret_wait, err);
}

static EvalIoStatus trace_write_text(EvalIo *io, Span name, Span content, const Span *references,
                                     size_t reference_count, Buf *ret_store_path, Err *err) {
  return TRACED(io, write_text, "write_text", name, name, content, references, reference_count, ret_store_path, err);
}

static bool trace_get_env(EvalIo *io, Span name, Buf *ret) {
  IoTrace *trace = trace_of(io);
  uint64_t begin = now_ns();
  bool found = trace->inner->ops->get_env(trace->inner, name, ret);
  tell(trace, begin, "get_env", name, found ? "set" : "unset");
  return found;
}

static bool trace_check_path(EvalIo *io, Span path, Err *err) {
  return trace_of(io)->inner->ops->check_path(trace_of(io)->inner, path, err);
}

static EvalIoStatus trace_list_references(EvalIo *io, Span path, Buf *ret, EvalIoWait *ret_wait, Err *err) {
  return trace_of(io)->inner->ops->list_references(trace_of(io)->inner, path, ret, ret_wait, err);
}

static EvalIoStatus trace_read_derivation(EvalIo *io, Span path, Buf *ret, EvalIoWait *ret_wait, Err *err) {
  return TRACED(io, read_derivation, "read_derivation", path, path, ret, ret_wait, err);
}

static EvalIoStatus trace_resolve_search_entry(EvalIo *io, Span entry, Buf *ret_path, EvalIoWait *ret_wait, Err *err) {
  return TRACED(io, resolve_search_entry, "resolve_search_entry", entry, entry, ret_path, ret_wait, err);
}

static size_t trace_poll(EvalIo *io, bool block, EvalIoWait *ret, size_t cap, Err *err) {
  return trace_of(io)->inner->ops->poll(trace_of(io)->inner, block, ret, cap, err);
}

IoTrace *io_trace_new(EvalIo *inner, void (*line)(void *ctx, Span text), void *ctx) {
  IoTrace *trace = mem_alloc_zero(sizeof *trace);
  trace->ops = (EvalIoOps){.lstat = trace_lstat,
                           .read_file = trace_read_file,
                           .read_dir = trace_read_dir,
                           .read_link = trace_read_link,
                           .realise_context = trace_realise_context,
                           .copy_to_store = trace_copy_to_store,
                           .write_text = trace_write_text,
                           .get_env = trace_get_env,
                           .check_path = trace_check_path,
                           .poll = trace_poll};
  if (inner->ops->list_references) trace->ops.list_references = trace_list_references;
  if (inner->ops->read_derivation) trace->ops.read_derivation = trace_read_derivation;
  if (inner->ops->resolve_search_entry) trace->ops.resolve_search_entry = trace_resolve_search_entry;
  trace->base.ops = &trace->ops;
  trace->inner = inner;
  trace->line = line;
  trace->ctx = ctx;
  trace->start_ns = now_ns();
  return trace;
}

void io_trace_free(IoTrace *trace) {
  mem_free(trace);
}

EvalIo *io_trace_eval(IoTrace *trace) {
  return &trace->base;
}
