// castore_nar_dump.c: the NAR of a tree on disk, in one walk. What counts is the number of system calls: four for a directory, four for a file, with names
// relative to the directory at hand. (Reading files ahead on other threads was tried: the longer paths and the switching cost more than they gave.)
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "castore/castore_nar.h"
#include "formats/nar_write.h"

#define NAR_DUMP_DEPTH_MAX 4096u
#define NAR_DUMP_BUFFER_BYTES ((size_t)256 << 10)
#define NAR_DUMP_SMALL_BYTES ((size_t)64 << 10) // larger pieces go to the sink without a copy

typedef struct NarDump {
  const ByteSink *sink;
  NarWrite nar;
  Buf buf;
  char *chunk;      // owned
  Buf where;        // of what failed, below the path that is dumped
  bool is_odd_file; // what failed has a type that no archive can hold
} NarDump;

static bool castore_nar_dump_drain(NarDump *dump, size_t above_bytes, Err *err) {
  if (dump->buf.len <= above_bytes) return true;
  bool ok = byte_stream_put(dump->sink, buf_span(&dump->buf), err);
  buf_clear(&dump->buf);
  return ok;
}

static ssize_t castore_nar_dump_read(int fd, char *data, size_t len) {
  for (;;) {
    ssize_t n = read(fd, data, len);
    if (n >= 0 || errno != EINTR) return n;
  }
}

static bool castore_nar_dump_file(NarDump *dump, int fd, const struct stat *st, Err *err) {
  uint64_t size = (uint64_t)st->st_size;
  nar_write_file(&dump->nar, (st->st_mode & 0100) != 0, size);
  for (uint64_t done = 0; done < size;) {
    size_t want = size - done < BYTE_STREAM_CHUNK_BYTES ? (size_t)(size - done) : BYTE_STREAM_CHUNK_BYTES;
    bool small = want <= NAR_DUMP_SMALL_BYTES;
    if (small) buf_reserve(&dump->buf, want + 1);
    ssize_t n = castore_nar_dump_read(fd, small ? dump->buf.data + dump->buf.len : dump->chunk, want);
    if (n < 0) return err_set_errno(err, errno, "reading");
    if (n == 0) return err_set(err, ERR_IO, "the file became shorter while it was read");
    done += (uint64_t)n;
    if (small) dump->buf.len += (size_t)n;
    else if (!castore_nar_dump_drain(dump, 0, err) ||
             !byte_stream_put(dump->sink, span_make(dump->chunk, (size_t)n), err))
      return false;
  }
  nar_write_file_end(&dump->nar);
  return castore_nar_dump_drain(dump, NAR_DUMP_BUFFER_BYTES, err);
}

static bool castore_nar_dump_symlink(NarDump *dump, int dir_fd, const char *name, Err *err) {
  char target[CASTORE_NODE_TARGET_MAX + 1];
  ssize_t len = readlinkat(dir_fd, name, target, sizeof(target));
  if (len < 0) return err_set_errno(err, errno, "reading the symbolic link");
  if ((size_t)len == sizeof(target))
    return err_set(err, ERR_LIMIT, "the symbolic link is longer than %u bytes", CASTORE_NODE_TARGET_MAX);
  nar_write_symlink(&dump->nar, span_make(target, (size_t)len));
  return true;
}

// An entry of the directory at hand: its type, then its name.
static int castore_nar_dump_cmp(const void *a, const void *b) {
  return strcmp(*(char *const *)a + 1, *(char *const *)b + 1);
}

// Entries sorted by name: owned pointers into `text`.
static bool castore_nar_dump_list(int fd, Buf *text, char ***ret, size_t *ret_count, Err *err) {
  FsDirReader reader;
  const char *name;
  uint8_t type;
  size_t count = 0;
  fs_dir_init(&reader, fd);
  for (;;) {
    if (!fs_dir_next(&reader, &name, &type, err)) return false;
    if (!name) break;
    buf_put_char(text, (char)type);
    buf_put(text, name, strlen(name) + 1);
    count++;
  }
  *ret = mem_alloc_array(count + 1, sizeof(**ret));
  char *at = text->data;
  for (size_t i = 0; i < count; i++, at += 1 + strlen(at + 1) + 1) (*ret)[i] = at;
  if (count > 1) qsort(*ret, count, sizeof(**ret), castore_nar_dump_cmp);
  *ret_count = count;
  return true;
}

static bool castore_nar_dump_at(NarDump *dump, int dir_fd, const char *name, uint8_t type, unsigned depth, Err *err);

static void castore_nar_dump_failed_in(NarDump *dump, const char *name) {
  CLEANUP(buf_done) Buf rest = dump->where;
  dump->where = (Buf)BUF_INIT;
  buf_printf(&dump->where, "/%s%.*s", name, (int)rest.len, rest.len ? rest.data : "");
}

static bool castore_nar_dump_dir(NarDump *dump, int fd, unsigned depth, Err *err) {
  if (depth > NAR_DUMP_DEPTH_MAX)
    return err_set(err, ERR_LIMIT, "directories are nested more than %u deep", NAR_DUMP_DEPTH_MAX);
  CLEANUP(buf_done) Buf text = BUF_INIT;
  char **entries = NULL;
  size_t count = 0;
  if (!castore_nar_dump_list(fd, &text, &entries, &count, err)) return false;
  nar_write_dir(&dump->nar);
  bool ok = true;
  for (size_t i = 0; ok && i < count; i++) {
    const char *name = entries[i] + 1;
    ok = nar_write_entry(&dump->nar, span_cstr(name), err) &&
         castore_nar_dump_at(dump, fd, name, (uint8_t)entries[i][0], depth + 1, err);
    if (!ok) castore_nar_dump_failed_in(dump, name);
  }
  mem_free(entries);
  if (ok) nar_write_dir_end(&dump->nar);
  return ok;
}

// `type` is what the listing said; what is opened decides.
static bool castore_nar_dump_at(NarDump *dump, int dir_fd, const char *name, uint8_t type, unsigned depth, Err *err) {
  if (type == DT_LNK) return castore_nar_dump_symlink(dump, dir_fd, name, err);
  bool is_dir = type == DT_DIR;
  CLEANUP(fs_close_fd)
  int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (is_dir ? O_DIRECTORY : 0));
  if (fd < 0 && errno == ELOOP) return castore_nar_dump_symlink(dump, dir_fd, name, err);
  struct stat st;
  dump->is_odd_file = fd < 0 && errno == ENXIO; // a socket
  if (fd < 0 || (!is_dir && fstat(fd, &st) != 0)) return err_set_errno(err, errno, "opening");
  if (is_dir || S_ISDIR(st.st_mode)) return castore_nar_dump_dir(dump, fd, depth, err);
  if (S_ISREG(st.st_mode)) return castore_nar_dump_file(dump, fd, &st, err);
  dump->is_odd_file = true;
  return err_set(err, ERR_OTHER, "the file has an unsupported type");
}

// Says which file, as C++ Nix does.
static bool castore_nar_dump_fail(const NarDump *dump, const char *path, Err *err) {
  if (!err) return false;
  CLEANUP(buf_done) Buf whole = BUF_INIT;
  char here[4096];
  if (path[0] == '/' || !getcwd(here, sizeof(here))) buf_put_cstr(&whole, path);
  else fs_path_canon(span_cstr(here), span_cstr(path), &whole);
  bool is_missing = err->sys_errno == ENOENT && !dump->where.len;
  buf_put_span(&whole, buf_span(&dump->where));
  if (!dump->is_odd_file && !is_missing) return err_wrap(err, "'%s'", buf_cstr(&whole));
  err_done(err);
  return is_missing ? err_set(err, ERR_NOT_FOUND, "path '%s' does not exist", buf_cstr(&whole))
                    : err_set(err, ERR_OTHER, "file '%s' has an unsupported type", buf_cstr(&whole));
}

bool castore_nar_dump_path(const char *path, const ByteSink *sink, Err *err) {
  NarDump dump = {.sink = sink, .chunk = mem_alloc(BYTE_STREAM_CHUNK_BYTES)};
  nar_write_init(&dump.nar, &dump.buf);
  bool ok =
      (castore_nar_dump_at(&dump, AT_FDCWD, path, DT_UNKNOWN, 0, err) || castore_nar_dump_fail(&dump, path, err)) &&
      castore_nar_dump_drain(&dump, 0, err);
  buf_done(&dump.where);
  nar_write_done(&dump.nar);
  buf_done(&dump.buf);
  mem_free(dump.chunk);
  return ok;
}
