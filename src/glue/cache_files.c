// cache_files.c: see cache_files.h.
#include "glue/cache_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"

void cache_files_done(CacheFiles *files) {
  for (size_t i = 0; i < files->count; i++) mem_free(files->items[i].path);
  mem_free(files->items);
}

void cache_files_read(Span dir, CacheFiles *ret) {
  char *dir_path = span_dup(dir);
  DIR *d = opendir(dir_path);
  mem_free(dir_path);
  if (!d) return;
  for (struct dirent *e; (e = readdir(d));) {
    struct stat st;
    // Temporary files of writers that were killed count, too.
    if (e->d_name[0] == '.' && (e->d_name[1] == 0 || (e->d_name[1] == '.' && e->d_name[2] == 0))) continue;
    if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) continue;
    Buf path = BUF_INIT;
    fs_path_join(&path, dir, span_cstr(e->d_name));
    MEM_RESERVE(ret->items, ret->cap, ret->count + 1);
    ret->items[ret->count++] = (CacheFile){.path = buf_take(&path),
                                           .size = (uint64_t)st.st_size,
                                           .disk_bytes = (uint64_t)st.st_blocks * 512,
                                           .used_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec};
  }
  closedir(d);
}

static int compare_used(const void *a, const void *b) {
  int64_t x = ((const CacheFile *)a)->used_ns, y = ((const CacheFile *)b)->used_ns;
  return (x > y) - (x < y);
}

void cache_files_sort(CacheFiles *files) {
  if (files->count) qsort(files->items, files->count, sizeof *files->items, compare_used);
}

bool cache_files_is_due(const struct stat *st) {
  return st->st_mtim.tv_sec + CACHE_FILES_TOUCH_SECONDS < time(NULL);
}

bool cache_files_remove(const CacheFile *file, Err *err) {
  return unlink(file->path) == 0 || errno == ENOENT || err_set_errno(err, errno, "deleting '%s'", file->path);
}
