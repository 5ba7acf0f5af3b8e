// source_hash.c: see source_hash.h.
#include "glue/source_hash.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "formats/nar_write.h"

enum { READ_BYTES = 64 << 10 };

typedef struct Walk {
  HashSha256 hash;
  NarWrite nar;
  Buf out;  // NAR bytes not hashed yet
  Buf path; // of the node, absolute
  size_t root_len;
  const SourceHashFilter *filter;
  unsigned depth;
} Walk;

static void drain(Walk *w) {
  hash_sha256_update(&w->hash, w->out.data, w->out.len);
  buf_clear(&w->out);
}

// The content of a regular file goes through `out`, so that a small one is hashed together with its frame.
static bool hash_content(Walk *w, int fd, uint64_t size_bytes, Err *err) {
  for (uint64_t rest = size_bytes; rest;) {
    size_t want = rest < READ_BYTES ? (size_t)rest : READ_BYTES, got;
    buf_reserve(&w->out, want);
    if (!fs_read_full(fd, w->out.data + w->out.len, want, &got, err))
      return err_wrap(err, "reading '%s'", buf_cstr(&w->path));
    if (got < want) return err_set(err, ERR_IO, "file '%s' changed while it was read", buf_cstr(&w->path));
    w->out.len += got;
    rest -= got;
    if (w->out.len >= READ_BYTES) drain(w);
  }
  return true;
}

static bool hash_file(Walk *w, const struct stat *st, Err *err) {
  int fd CLEANUP(fs_close_fd) = -1;
  if (!fs_open(buf_cstr(&w->path), O_RDONLY | O_NOFOLLOW, 0, &fd, err)) return false;
  nar_write_file(&w->nar, (st->st_mode & S_IXUSR) != 0, (uint64_t)st->st_size);
  if (!hash_content(w, fd, (uint64_t)st->st_size, err)) return false;
  nar_write_file_end(&w->nar);
  return true;
}

typedef struct Names {
  char **items;
  size_t count, cap;
} Names;

static void names_done(Names *names) {
  for (size_t i = 0; i < names->count; i++) mem_free(names->items[i]);
  mem_free(names->items);
}
static int compare_names(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool list_names(const char *path, Names *ret, Err *err) {
  DIR *dir = opendir(path);
  if (!dir) return err_set_errno(err, errno, "opening directory '%s'", path);
  struct dirent *entry;
  while ((errno = 0, entry = readdir(dir))) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    MEM_RESERVE(ret->items, ret->cap, ret->count + 1);
    ret->items[ret->count++] = span_dup(span_cstr(entry->d_name));
  }
  int failed = errno;
  closedir(dir);
  if (failed) return err_set_errno(err, failed, "reading directory '%s'", path);
  if (ret->count) qsort(ret->items, ret->count, sizeof(char *), compare_names);
  return true;
}

static bool kind_of(const Walk *w, const struct stat *st, CastoreKind *ret, Err *err) {
  if (S_ISREG(st->st_mode)) *ret = CASTORE_FILE;
  else if (S_ISDIR(st->st_mode)) *ret = CASTORE_DIRECTORY;
  else if (S_ISLNK(st->st_mode)) *ret = CASTORE_SYMLINK;
  else return err_set(err, ERR_OTHER, "file '%.*s' has an unsupported type", SPAN_ARG(buf_span(&w->path)));
  return true;
}

static bool hash_node(Walk *w, const struct stat *st, Err *err);

static bool hash_directory(Walk *w, Err *err) {
  if (++w->depth > SOURCE_HASH_DEPTH_MAX)
    return err_set(err, ERR_LIMIT, "directory '%s' is nested more than %u levels deep", buf_cstr(&w->path),
                   SOURCE_HASH_DEPTH_MAX);
  Names names CLEANUP(names_done) = {0};
  if (!list_names(buf_cstr(&w->path), &names, err)) return false;
  nar_write_dir(&w->nar);
  size_t len = w->path.len;
  for (size_t i = 0; i < names.count; i++) {
    buf_put_char(&w->path, '/');
    buf_put_cstr(&w->path, names.items[i]);
    struct stat st;
    if (lstat(buf_cstr(&w->path), &st) != 0)
      return err_set_errno(err, errno, "getting status of '%s'", buf_cstr(&w->path));
    bool keep = true;
    CastoreKind kind = CASTORE_FILE;
    if (w->filter && w->filter->keep) {
      if (!kind_of(w, &st, &kind, err) ||
          !w->filter->keep(w->filter->ctx, span_from(buf_span(&w->path), w->root_len + 1), kind, &keep, err))
        return false;
    }
    if (keep && (!nar_write_entry(&w->nar, span_cstr(names.items[i]), err) || !hash_node(w, &st, err))) return false;
    w->path.len = len;
  }
  nar_write_dir_end(&w->nar);
  w->depth--;
  return true;
}

static bool hash_node(Walk *w, const struct stat *st, Err *err) {
  CastoreKind kind = CASTORE_FILE;
  if (!kind_of(w, st, &kind, err)) return false;
  switch (kind) {
  case CASTORE_DIRECTORY: return hash_directory(w, err);
  case CASTORE_FILE: return hash_file(w, st, err);
  case CASTORE_SYMLINK: {
    Buf target CLEANUP(buf_done) = BUF_INIT;
    if (!fs_read_link(buf_cstr(&w->path), &target, err)) return false;
    nar_write_symlink(&w->nar, buf_span(&target));
    return true;
  }
  }
  return true;
}

bool source_hash_path(const char *path, CaMethod method, const SourceHashFilter *filter, uint8_t ret_sha256[32],
                      Err *err) {
  struct stat st;
  if (lstat(path, &st) != 0) return err_set_errno(err, errno, "getting status of '%s'", path);
  Walk w = {.filter = filter};
  hash_sha256_init(&w.hash);
  buf_put_cstr(&w.path, path);
  w.root_len = w.path.len;
  bool ok;
  if (method == CA_FLAT) {
    int fd CLEANUP(fs_close_fd) = -1;
    if (S_ISDIR(st.st_mode)) ok = err_set_errno(err, EISDIR, "reading from file '%s'", path);
    else ok = S_ISREG(st.st_mode) || err_set(err, ERR_OTHER, "path '%s' is not a regular file", path);
    ok = ok && fs_open(path, O_RDONLY | O_NOFOLLOW, 0, &fd, err) && hash_content(&w, fd, (uint64_t)st.st_size, err);
  } else {
    nar_write_init(&w.nar, &w.out);
    ok = hash_node(&w, &st, err);
    nar_write_done(&w.nar);
  }
  drain(&w);
  hash_sha256_final(&w.hash, ret_sha256);
  buf_done(&w.out);
  buf_done(&w.path);
  return ok;
}
