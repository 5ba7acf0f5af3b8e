// eval_fixture.c: see eval_fixture.h.
#include "eval_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "eval/print.h"
#include "eval/str.h"
#include "formats/hash.h"
#include "formats/store_path.h"
#include "harness.h"

static EvalFixture *fixture_of(EvalIo *io) {
  return (EvalFixture *)io;
}

static Buf *fixture_file(EvalFixture *f, Span path) {
  return map_get(&f->files, path);
}

// Is `path` a directory because something in memory is below it?
static bool fixture_is_dir(EvalFixture *f, Span path) {
  for (MapEntry *e = map_first(&f->files); e; e = map_next(&f->files, e)) {
    Span key = span_make(e->key, e->key_len);
    if (path.len == 1 || (key.len > path.len && span_has_prefix(key, path) && key.data[path.len] == '/')) return true;
  }
  return false;
}

static bool fixture_waits(EvalFixture *f, Span path, EvalIoWait *ret_wait) {
  if (!f->slow || map_has(&f->asked, path)) return false;
  map_set(&f->asked, path, NULL);
  *ret_wait = ++f->next_wait;
  return true;
}

static EvalIoStatus fixture_lstat(EvalIo *io, Span path, EvalStat *ret, EvalIoWait *ret_wait, Err *err) {
  EvalFixture *f = fixture_of(io);
  if (fixture_waits(f, path, ret_wait)) return EVAL_IO_PENDING;
  *ret = (EvalStat){.type = EVAL_FILE_ABSENT};
  Buf *file = fixture_file(f, path);
  if (file) {
    *ret = (EvalStat){.type = EVAL_FILE_REGULAR, .size_bytes = file->len};
  } else if (fixture_is_dir(f, path)) {
    ret->type = EVAL_FILE_DIRECTORY;
  } else if (f->disk) {
    char *name = span_dup(path);
    struct stat st;
    if (lstat(name, &st) == 0)
      ret->type = S_ISREG(st.st_mode)   ? EVAL_FILE_REGULAR
                  : S_ISDIR(st.st_mode) ? EVAL_FILE_DIRECTORY
                  : S_ISLNK(st.st_mode) ? EVAL_FILE_SYMLINK
                                        : EVAL_FILE_UNKNOWN;
    mem_free(name);
  }
  return EVAL_IO_OK;
}

static EvalIoStatus fixture_read_file(EvalIo *io, Span path, Buf *ret, EvalIoWait *ret_wait, Err *err) {
  EvalFixture *f = fixture_of(io);
  if (fixture_waits(f, path, ret_wait)) return EVAL_IO_PENDING;
  Buf *file = fixture_file(f, path);
  if (file) {
    buf_put_span(ret, buf_span(file));
    return EVAL_IO_OK;
  }
  if (!f->disk) {
    err_set(err, ERR_NOT_FOUND, "opening file '%.*s': No such file or directory", SPAN_ARG(path));
    return EVAL_IO_ERROR;
  }
  char *name = span_dup(path);
  bool ok = fs_read_file(name, 0, ret, err);
  mem_free(name);
  return ok ? EVAL_IO_OK : EVAL_IO_ERROR;
}

static int compare_entries(const void *a, const void *b) {
  return strcmp(((const EvalDirEntry *)a)->name, ((const EvalDirEntry *)b)->name);
}

static void add_entry(EvalDirList *list, size_t *cap, Span name, EvalFileType type) {
  for (size_t i = 0; i < list->count; i++)
    if (span_eq_cstr(name, list->entries[i].name)) return;
  MEM_RESERVE(list->entries, *cap, list->count + 1);
  list->entries[list->count++] = (EvalDirEntry){span_dup(name), type};
}

static EvalIoStatus fixture_read_dir(EvalIo *io, Span path, EvalDirList *ret, EvalIoWait *ret_wait, Err *err) {
  EvalFixture *f = fixture_of(io);
  if (fixture_waits(f, path, ret_wait)) return EVAL_IO_PENDING;
  size_t cap = 0;
  for (MapEntry *e = map_first(&f->files); e; e = map_next(&f->files, e)) {
    Span key = span_make(e->key, e->key_len);
    if (key.len <= path.len || !span_has_prefix(key, path) || key.data[path.len] != '/') continue;
    Span below = span_from(key, path.len + 1);
    size_t slash = span_find_char(below, '/');
    add_entry(ret, &cap, span_sub(below, 0, slash), slash == SIZE_MAX ? EVAL_FILE_REGULAR : EVAL_FILE_DIRECTORY);
  }
  char *name = span_dup(path);
  DIR *dir = f->disk && !ret->count ? opendir(name) : NULL;
  mem_free(name);
  if (!dir && !ret->count) {
    err_set(err, ERR_NOT_FOUND, "reading directory '%.*s': No such file or directory", SPAN_ARG(path));
    return EVAL_IO_ERROR;
  }
  for (struct dirent *d; dir && (d = readdir(dir));) {
    if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0) continue;
    add_entry(ret, &cap, span_cstr(d->d_name),
              d->d_type == DT_REG   ? EVAL_FILE_REGULAR
              : d->d_type == DT_DIR ? EVAL_FILE_DIRECTORY
              : d->d_type == DT_LNK ? EVAL_FILE_SYMLINK
                                    : EVAL_FILE_UNKNOWN);
  }
  if (dir) closedir(dir);
  qsort(ret->entries, ret->count, sizeof *ret->entries, compare_entries);
  return EVAL_IO_OK;
}

static EvalIoStatus fixture_read_link(EvalIo *io, Span path, Buf *ret, EvalIoWait *ret_wait, Err *err) {
  char *name = span_dup(path);
  bool ok = fs_read_link(name, ret, err);
  mem_free(name);
  return ok ? EVAL_IO_OK : EVAL_IO_ERROR;
}

static EvalIoStatus fixture_realise(EvalIo *io, Span context, Buf *ret_path, EvalIoWait *ret_wait, Err *err) {
  return fixture_waits(fixture_of(io), context, ret_wait) ? EVAL_IO_PENDING : EVAL_IO_OK;
}

// A store path that depends on name and content, not the one Nix would compute.
static void fixture_store_path(Span name, Span content, Buf *ret) {
  uint8_t digest[32];
  hash_sha256(content, digest);
  StorePath path;
  if (!store_path_make(SPAN("source"), digest, STORE_PATH_DIR, name, &path, NULL)) abort();
  store_path_format(&path, STORE_PATH_DIR, ret);
}

static EvalIoStatus fixture_copy(EvalIo *io, Span path, Span name, Buf *ret, EvalIoWait *ret_wait, Err *err) {
  if (fixture_waits(fixture_of(io), path, ret_wait)) return EVAL_IO_PENDING;
  fixture_store_path(name, path, ret);
  return EVAL_IO_OK;
}

static EvalIoStatus fixture_write_text(EvalIo *io, Span name, Span content, const Span *references,
                                       size_t reference_count, Buf *ret, Err *err) {
  fixture_store_path(name, content, ret);
  return EVAL_IO_OK;
}

static bool fixture_get_env(EvalIo *io, Span name, Buf *ret) {
  const char *value = map_get(&fixture_of(io)->env, name);
  if (value) buf_put_cstr(ret, value);
  return value != NULL;
}

static bool fixture_check_path(EvalIo *io, Span path, Err *err) {
  if (!span_has_prefix(path, SPAN("/forbidden"))) return true;
  return err_set(err, ERR_EVAL, "access to absolute path '%.*s' is forbidden in restricted mode", SPAN_ARG(path));
}

// Every wait is over at once.
static size_t fixture_poll(EvalIo *io, bool block, EvalIoWait *ret, size_t cap, Err *err) {
  EvalFixture *f = fixture_of(io);
  size_t n = 0;
  for (EvalIoWait w = 1; w <= f->next_wait && n < cap; w++) ret[n++] = w;
  return n;
}

static const EvalIoOps fixture_ops = {
    .lstat = fixture_lstat,
    .read_file = fixture_read_file,
    .read_dir = fixture_read_dir,
    .read_link = fixture_read_link,
    .realise_context = fixture_realise,
    .copy_to_store = fixture_copy,
    .write_text = fixture_write_text,
    .get_env = fixture_get_env,
    .check_path = fixture_check_path,
    .poll = fixture_poll,
};

static void fixture_message(void *ctx, VmMessage kind, Span text) {
  EvalFixture *f = ctx;
  buf_put_span(&f->messages, text);
  buf_put_char(&f->messages, '\n');
}

void eval_fixture_init(EvalFixture *f) {
  *f = (EvalFixture){.io = {&fixture_ops}};
  f->settings = (VmSettings){.allow_import_from_derivation = true,
                             .current_system = "x86_64-linux",
                             .store_dir = "/nix/store",
                             .home_dir = "/home/test",
                             .current_time = 1700000000,
                             .message = fixture_message,
                             .message_ctx = f};
}

void eval_fixture_done(EvalFixture *f) {
  vm_free(f->vm);
  for (MapEntry *e = map_first(&f->files); e; e = map_next(&f->files, e)) {
    buf_done(e->value);
    mem_free(e->value);
  }
  map_done(&f->files);
  map_done(&f->env);
  map_done(&f->asked);
  buf_done(&f->messages);
}

void eval_fixture_add(EvalFixture *f, const char *path, const char *content) {
  Buf *file = mem_alloc_zero(sizeof *file);
  buf_put_cstr(file, content);
  map_set(&f->files, span_cstr(path), file);
}

Vm *eval_fixture_vm(EvalFixture *f) {
  if (!f->vm) f->vm = vm_new(&f->io, &f->settings, NULL, 0);
  return f->vm;
}

static void fixture_finish(EvalFixture *f, HeapRoot *root, bool ok, bool strict, Buf *ret) {
  Vm *vm = f->vm;
  HeapRoot *args[] = {root};
  if (ok && strict) ok = vm_run_native(vm, &native_deep_force, args, 1, root);
  if (ok) {
    print_plain(vm, root->value, ret);
  } else {
    EvalErrorFormat format = {.show_trace = true};
    eval_error_format(vm, eval_error_pending(vm), &format, ret);
  }
}

void eval_fixture_eval(EvalFixture *f, const char *expression, bool strict, Buf *ret) {
  Vm *vm = eval_fixture_vm(f);
  HeapRoot root;
  heap_add_root(&vm->heap, &root, VALUE_NULL);
  bool ok = vm_eval_text(vm, span_cstr(expression), SPAN("/base"), SPAN("«string»"), &root);
  fixture_finish(f, &root, ok, strict, ret);
  heap_remove_root(&vm->heap, &root);
}

void eval_fixture_eval_file(EvalFixture *f, const char *path, bool strict, Buf *ret) {
  Vm *vm = eval_fixture_vm(f);
  HeapRoot root;
  heap_add_root(&vm->heap, &root, VALUE_NULL);
  bool ok = vm_eval_file(vm, span_cstr(path), &root);
  fixture_finish(f, &root, ok, strict, ret);
  heap_remove_root(&vm->heap, &root);
}

void eval_fixture_check(const char *file, int line, const char *expression, const char *expected, bool strict) {
  EvalFixture f;
  eval_fixture_init(&f);
  Buf got = BUF_INIT;
  eval_fixture_eval(&f, expression, strict, &got);
  test_check_span(file, line, expression, buf_span(&got), span_cstr(expected));
  buf_done(&got);
  eval_fixture_done(&f);
}

void eval_fixture_check_error(const char *file, int line, const char *expression, const char *expected) {
  EvalFixture f;
  eval_fixture_init(&f);
  Buf got = BUF_INIT;
  eval_fixture_eval(&f, expression, true, &got);
  if (!f.vm->error) test_fail(file, line, "%s: no error but %s", expression, buf_cstr(&got));
  test_check_span(file, line, expression, buf_span(&f.vm->error->message), span_cstr(expected));
  buf_done(&got);
  eval_fixture_done(&f);
}
