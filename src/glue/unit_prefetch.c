// unit_prefetch.c: see unit_prefetch.h.
#include "glue/unit_prefetch.h"

#include <pthread.h>
#include <time.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "formats/hash.h"

#define LIST_MAX_BYTES ((size_t)4 << 20)
#define LISTS_MAX 512                          // lists in the folder; then all are forgotten
#define LARGE_FILE_BYTES ((uint64_t)64 * 1024) // takes long enough that the evaluator would wait for it

typedef enum FileState { FILE_WAITING, FILE_RUNNING, FILE_COMPILED, FILE_DROPPED } FileState;

// One file of the list.
typedef struct PrefetchFile {
  FileState state;
  const char *path;
  EvalStat stat;
  uint32_t *image; // owned
  size_t image_bytes;
} PrefetchFile;

struct UnitPrefetch {
  UnitStore base; // first
  Vm *vm;
  UnitCache *cache;
  char *dir, *list_path; // owned
  Buf old_list, new_large, new_small;
  PrefetchFile *files; // paths in old_list
  size_t file_count, file_cap;
  size_t next_small;     // for the evaluator while it waits; those before it are begun
  Map by_path;           // -> PrefetchFile
  pthread_mutex_t mutex; // of states and images
  pthread_cond_t compiled;
  pthread_t thread;
  bool is_begun, has_thread, stop;
};

// ---- the thread

static void stat_of(const struct stat *st, EvalStat *ret) {
  *ret = (EvalStat){.type = EVAL_FILE_REGULAR,
                    .size_bytes = (uint64_t)st->st_size,
                    .dev = st->st_dev,
                    .ino = st->st_ino,
                    .mtime_ns = (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec,
                    .ctime_ns = (uint64_t)st->st_ctim.tv_sec * 1000000000u + (uint64_t)st->st_ctim.tv_nsec};
}

static bool same_stat(const EvalStat *a, const EvalStat *b) {
  return a->size_bytes == b->size_bytes && a->dev == b->dev && a->ino == b->ino && a->mtime_ns == b->mtime_ns &&
         a->ctime_ns == b->ctime_ns;
}

static bool is_racy(const EvalStat *st) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return st->ctime_ns + UNIT_CACHE_RACY_NS > (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// Opens the file if it is worth compiling.
static bool open_file(const UnitPrefetch *prefetch, const char *path, EvalStat *ret_stat, int *ret_fd) {
  struct stat st;
  if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode)) return false;
  stat_of(&st, ret_stat);
  if (is_racy(ret_stat) || (prefetch->cache && unit_cache_has(prefetch->cache, ret_stat))) return false;
  return fs_open(path, O_RDONLY | O_NOFOLLOW, 0, ret_fd, NULL);
}

// The identity before and after reading is that of what was read: a change in between would have changed ctime.
static bool compile_file(UnitPrefetch *prefetch, PrefetchFile *file) {
  int fd CLEANUP(fs_close_fd) = -1;
  Buf text CLEANUP(buf_done) = BUF_INIT, image CLEANUP(buf_done) = BUF_INIT;
  struct stat st;
  EvalStat after;
  if (!open_file(prefetch, file->path, &file->stat, &fd)) return false;
  buf_reserve(&text, file->stat.size_bytes + 1);
  if (!fs_read_fd(fd, 0, &text, NULL) || fstat(fd, &st) != 0) return false;
  stat_of(&st, &after);
  if (!same_stat(&file->stat, &after) || text.len != after.size_bytes) return false;
  if (!vm_compile(prefetch->vm, buf_span(&text), &image)) return false;
  file->image_bytes = image.len;
  file->image = mem_realloc(buf_take(&image), file->image_bytes);
  return true;
}

// Called and returns with the mutex held.
static void compile_waiting(UnitPrefetch *prefetch, PrefetchFile *file) {
  if (file->state != FILE_WAITING) return; // somebody has come there before
  file->state = FILE_RUNNING;
  pthread_mutex_unlock(&prefetch->mutex);
  bool ok = compile_file(prefetch, file);
  pthread_mutex_lock(&prefetch->mutex);
  file->state = ok ? FILE_COMPILED : FILE_DROPPED;
  pthread_cond_signal(&prefetch->compiled);
}

static void *run(void *ctx) {
  UnitPrefetch *prefetch = ctx;
  pthread_mutex_lock(&prefetch->mutex);
  for (size_t i = 0; i < prefetch->file_count && !prefetch->stop; i++) compile_waiting(prefetch, &prefetch->files[i]);
  pthread_mutex_unlock(&prefetch->mutex);
  return NULL;
}

static void read_list(UnitPrefetch *prefetch) {
  Span path;
  if (!fs_read_file(prefetch->list_path, LIST_MAX_BYTES, &prefetch->old_list, NULL)) return;
  size_t len = prefetch->old_list.len;
  for (size_t i = 0, start = 0; i < len; i++) {
    if (prefetch->old_list.data[i] != '\n') continue;
    prefetch->old_list.data[i] = 0;
    path = span_make(prefetch->old_list.data + start, i - start);
    start = i + 1;
    if (!path.len) {
      prefetch->next_small = prefetch->file_count;
      continue;
    }
    MEM_RESERVE(prefetch->files, prefetch->file_cap, prefetch->file_count + 1);
    prefetch->files[prefetch->file_count++] = (PrefetchFile){.path = path.data};
  }
  for (size_t i = 0; i < prefetch->file_count; i++)
    map_set(&prefetch->by_path, span_cstr(prefetch->files[i].path), &prefetch->files[i]);
}

// The first file that is not in the cache: more will follow.
static void begin(UnitPrefetch *prefetch) {
  prefetch->is_begun = true;
  read_list(prefetch);
  if (prefetch->file_count) prefetch->has_thread = pthread_create(&prefetch->thread, NULL, run, prefetch) == 0;
}

// ---- the store

// Waits for a file that the thread is at. Meanwhile there are others to compile, which take less time than is lost by waiting.
static void await(UnitPrefetch *prefetch, const PrefetchFile *file) {
  while (file->state == FILE_RUNNING) {
    if (prefetch->next_small < prefetch->file_count)
      compile_waiting(prefetch, &prefetch->files[prefetch->next_small++]);
    else pthread_cond_wait(&prefetch->compiled, &prefetch->mutex);
  }
}

static uint32_t *take_compiled(UnitPrefetch *prefetch, Span path, const EvalStat *st) {
  PrefetchFile *file = map_get(&prefetch->by_path, path);
  if (!file) return NULL;
  pthread_mutex_lock(&prefetch->mutex);
  await(prefetch, file);
  bool ok = file->state == FILE_COMPILED && same_stat(&file->stat, st);
  file->state = FILE_DROPPED; // nobody asks twice
  pthread_mutex_unlock(&prefetch->mutex);
  if (!ok) return NULL;
  UnitStore *inner = prefetch->cache ? unit_cache_store(prefetch->cache) : NULL;
  if (inner) inner->ops->put(inner, path, st, span_make(file->image, file->image_bytes));
  return file->image;
}

static uint32_t *find(UnitStore *store, Span path, const EvalStat *st) {
  UnitPrefetch *prefetch = (UnitPrefetch *)store;
  UnitStore *inner = prefetch->cache ? unit_cache_store(prefetch->cache) : NULL;
  if (!st->ino) return NULL; // it comes with the program
  if (span_find_char(path, '\n') == SIZE_MAX) {
    Buf *list = st->size_bytes >= LARGE_FILE_BYTES ? &prefetch->new_large : &prefetch->new_small;
    buf_put_span(list, path);
    buf_put_char(list, '\n');
  }
  uint32_t *image = inner ? inner->ops->find(inner, path, st) : NULL;
  if (image) return image;
  if (!prefetch->is_begun) begin(prefetch);
  return take_compiled(prefetch, path, st);
}

static void put(UnitStore *store, Span path, const EvalStat *st, Span image) {
  UnitPrefetch *prefetch = (UnitPrefetch *)store;
  UnitStore *inner = prefetch->cache ? unit_cache_store(prefetch->cache) : NULL;
  if (inner) inner->ops->put(inner, path, st, image);
}

static const UnitStoreOps unit_prefetch_ops = {.find = find, .put = put};

// ---- beginning and end

UnitPrefetch *unit_prefetch_start(Vm *vm, UnitCache *cache, Span dir, Span question) {
  UnitPrefetch *prefetch = mem_alloc_zero(sizeof *prefetch);
  uint8_t digest[32];
  Buf path = BUF_INIT;
  prefetch->base.ops = &unit_prefetch_ops;
  prefetch->vm = vm;
  prefetch->cache = cache;
  prefetch->dir = span_dup(dir);
  hash_blake3(question, digest);
  buf_printf(&path, "%.*s/", SPAN_ARG(dir));
  for (size_t i = 0; i < 16; i++) buf_printf(&path, "%02x", digest[i]);
  prefetch->list_path = buf_take(&path);
  pthread_mutex_init(&prefetch->mutex, NULL);
  pthread_cond_init(&prefetch->compiled, NULL);
  return prefetch;
}

UnitStore *unit_prefetch_store(UnitPrefetch *prefetch) {
  return &prefetch->base;
}

static bool write_list(UnitPrefetch *prefetch, Span list, Err *err) {
  FsList lists CLEANUP(fs_list_done) = FS_LIST_INIT;
  Err list_err = ERR_INIT;
  if (!fs_mkdir_all(prefetch->dir, 0700, err)) return false;
  if (fs_list_dir(prefetch->dir, &lists, &list_err) && lists.count >= LISTS_MAX && !fs_remove_tree(prefetch->dir, err))
    return false;
  err_done(&list_err);
  return fs_mkdir_all(prefetch->dir, 0700, err) && fs_write_file_atomic(prefetch->list_path, list, 0600, false, err);
}

void unit_prefetch_finish(UnitPrefetch *prefetch) {
  if (prefetch->has_thread) {
    pthread_mutex_lock(&prefetch->mutex);
    prefetch->stop = true;
    pthread_mutex_unlock(&prefetch->mutex);
    pthread_join(prefetch->thread, NULL);
    prefetch->has_thread = false;
  }
  if (!prefetch->is_begun) return; // all is in the cache: nothing to remember
  Err err = ERR_INIT;
  for (size_t i = 0; i < prefetch->old_list.len; i++)
    if (!prefetch->old_list.data[i]) prefetch->old_list.data[i] = '\n';
  Buf *list = &prefetch->new_large;
  buf_put_char(list, '\n');
  buf_put_span(list, buf_span(&prefetch->new_small));
  bool same = span_eq(buf_span(&prefetch->old_list), buf_span(list));
  if (!same && list->len > 1 && list->len <= LIST_MAX_BYTES && !write_list(prefetch, buf_span(list), &err))
    log_msg(LOG_DEBUG, "the list of files is not kept: %s", err_message(&err));
  err_done(&err);
}

void unit_prefetch_free(UnitPrefetch *prefetch) {
  if (!prefetch) return;
  for (size_t i = 0; i < prefetch->file_count; i++) mem_free(prefetch->files[i].image);
  map_done(&prefetch->by_path);
  mem_free(prefetch->files);
  buf_done(&prefetch->old_list);
  buf_done(&prefetch->new_large);
  buf_done(&prefetch->new_small);
  pthread_mutex_destroy(&prefetch->mutex);
  pthread_cond_destroy(&prefetch->compiled);
  mem_free(prefetch->dir);
  mem_free(prefetch->list_path);
  mem_free(prefetch);
}
