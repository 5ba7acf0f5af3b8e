// memory_io.c: see memory_io.h.
#include "memory_io.h"

static MemoryIo *memory_io_of(EvalIo *io) {
  return (MemoryIo *)io;
}

static ptrdiff_t memory_io_find(const MemoryIo *m, Span path) {
  for (size_t i = 0; i < m->file_count; i++)
    if (span_eq_cstr(path, m->files[i].path)) return (ptrdiff_t)i;
  return -1;
}

static bool memory_io_is_dir(const MemoryIo *m, Span path) {
  for (size_t i = 0; i < m->file_count; i++) {
    Span file = span_cstr(m->files[i].path);
    if (path.len == 1 || (file.len > path.len && span_has_prefix(file, path) && file.data[path.len] == '/'))
      return true;
  }
  return false;
}

// Starts or continues the wait for a built file.
static EvalIoStatus memory_io_ready(MemoryIo *m, ptrdiff_t i, EvalIoWait *ret_wait, Err *err) {
  if (i < 0 || !m->files[i].built) return EVAL_IO_OK;
  if (!m->wait_of[i]) {
    m->wait_of[i] = ++m->next_wait;
    m->pending[m->pending_count++] = m->wait_of[i];
  }
  if (!m->complete[i]) {
    *ret_wait = m->wait_of[i];
    return EVAL_IO_PENDING;
  }
  if (m->files[i].text) return EVAL_IO_OK;
  err_set(err, ERR_BUILD_FAILED, "builder for '%s' failed", m->files[i].path);
  return EVAL_IO_ERROR;
}

static EvalIoStatus memory_io_lstat(EvalIo *io, Span path, EvalStat *ret, EvalIoWait *ret_wait, Err *err) {
  MemoryIo *m = memory_io_of(io);
  ptrdiff_t i = memory_io_find(m, path);
  EvalIoStatus status = memory_io_ready(m, i, ret_wait, err);
  *ret = (EvalStat){EVAL_FILE_ABSENT};
  if (i >= 0) ret->type = m->files[i].target ? EVAL_FILE_SYMLINK : EVAL_FILE_REGULAR;
  else if (memory_io_is_dir(m, path)) ret->type = EVAL_FILE_DIRECTORY;
  return status;
}

static EvalIoStatus memory_io_read_file(EvalIo *io, Span path, Buf *ret, EvalIoWait *ret_wait, Err *err) {
  MemoryIo *m = memory_io_of(io);
  ptrdiff_t i = memory_io_find(m, path);
  EvalIoStatus status = memory_io_ready(m, i, ret_wait, err);
  if (status != EVAL_IO_OK) return status;
  if (i < 0) {
    err_set(err, ERR_NOT_FOUND, "opening file '%.*s': No such file or directory", SPAN_ARG(path));
    return EVAL_IO_ERROR;
  }
  buf_put_cstr(ret, m->files[i].text);
  return EVAL_IO_OK;
}

static EvalIoStatus memory_io_read_dir(EvalIo *io, Span path, EvalDirList *ret, EvalIoWait *ret_wait, Err *err) {
  (void)io;
  (void)ret;
  (void)ret_wait;
  err_set(err, ERR_NOT_FOUND, "reading directory '%.*s'", SPAN_ARG(path));
  return EVAL_IO_ERROR;
}

static EvalIoStatus memory_io_read_link(EvalIo *io, Span path, Buf *ret, EvalIoWait *ret_wait, Err *err) {
  MemoryIo *m = memory_io_of(io);
  ptrdiff_t i = memory_io_find(m, path);
  EvalIoStatus status = memory_io_ready(m, i, ret_wait, err);
  if (status == EVAL_IO_OK && i >= 0) buf_put_cstr(ret, m->files[i].target);
  return status;
}

static EvalIoStatus memory_io_realise_context(EvalIo *io, Span context, Buf *ret_path, EvalIoWait *ret_wait, Err *err) {
  (void)io;
  (void)context;
  (void)ret_path;
  (void)ret_wait;
  (void)err;
  return EVAL_IO_OK;
}

static EvalIoStatus memory_io_copy(EvalIo *io, Span path, Span name, Buf *ret, EvalIoWait *ret_wait, Err *err) {
  (void)io;
  (void)path;
  (void)ret_wait;
  (void)err;
  buf_printf(ret, "/nix/store/00000000000000000000000000000000-%.*s", SPAN_ARG(name));
  return EVAL_IO_OK;
}

static EvalIoStatus memory_io_write_text(EvalIo *io, Span name, Span content, const Span *references,
                                         size_t reference_count, Buf *ret, Err *err) {
  (void)content;
  (void)references;
  (void)reference_count;
  return memory_io_copy(io, name, name, ret, NULL, err);
}

static bool memory_io_get_env(EvalIo *io, Span name, Buf *ret) {
  (void)io;
  (void)name;
  (void)ret;
  return false;
}

static bool memory_io_check_path(EvalIo *io, Span path, Err *err) {
  (void)io;
  (void)path;
  (void)err;
  return true;
}

// Completes one wait a call, the oldest first, and only when somebody blocks: evaluation must have run out of other work.
static size_t memory_io_poll(EvalIo *io, bool block, EvalIoWait *ret, size_t cap, Err *err) {
  MemoryIo *m = memory_io_of(io);
  if (!block || !cap) return 0;
  if (!m->pending_count) {
    err_set(err, ERR_OTHER, "nothing to wait for");
    return 0;
  }
  m->block_count++;
  if (m->pending_count > m->largest_pending_count) m->largest_pending_count = m->pending_count;
  *ret = m->pending[0];
  memmove(m->pending, m->pending + 1, --m->pending_count * sizeof *m->pending);
  for (size_t i = 0; i < m->file_count; i++)
    if (m->wait_of[i] == *ret) m->complete[i] = true;
  return 1;
}

static const EvalIoOps memory_io_ops = {
    .lstat = memory_io_lstat,
    .read_file = memory_io_read_file,
    .read_dir = memory_io_read_dir,
    .read_link = memory_io_read_link,
    .realise_context = memory_io_realise_context,
    .copy_to_store = memory_io_copy,
    .write_text = memory_io_write_text,
    .get_env = memory_io_get_env,
    .check_path = memory_io_check_path,
    .poll = memory_io_poll,
};

void memory_io_init(MemoryIo *io, const MemoryFile *files, size_t file_count) {
  *io = (MemoryIo){.io = {&memory_io_ops}, .files = files, .file_count = file_count};
}
