// spill.c: see spill.h.
#include "base/spill.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t)1 << 20)

void spill_init(Spill *spill, const char *dir, size_t limit_bytes) {
  *spill = (Spill){.arena = ARENA_INIT, .dir = dir, .limit_bytes = limit_bytes, .fd = -1};
}

void spill_done(Spill *spill) {
  arena_done(&spill->arena);
  if (spill->map) munmap(spill->map, SPILL_MAX_BYTES);
  if (spill->fd >= 0) close(spill->fd);
  spill->map = NULL;
  spill->fd = -1;
}

bool spill_has_file(const Spill *spill) {
  return spill->map != NULL;
}

// A file in a file system of memory would gain nothing.
static bool open_file(Spill *spill, const char *dir) {
  struct statfs fs;
  if (statfs(dir, &fs) != 0 || fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC) return false;
  spill->fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  return spill->fd >= 0;
}

static void make_file(Spill *spill) {
  spill->is_tried = true;
  const char *dir = spill->dir ? spill->dir : getenv("TMPDIR");
  if (!(dir && *dir && open_file(spill, dir)) && (spill->dir || !open_file(spill, "/var/tmp"))) return;
  void *map = mmap(NULL, SPILL_MAX_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, spill->fd, 0);
  if (map == MAP_FAILED) {
    close(spill->fd);
    spill->fd = -1;
    return;
  }
  spill->map = map;
}

// Blocks are allocated before they are written to: a full disk is found here, and not by a signal.
static bool has_room(Spill *spill, size_t len) {
  if (len > SPILL_MAX_BYTES - spill->used) return false;
  if (spill->used + len <= spill->ready) return true;
  size_t grow = (spill->used + len - spill->ready + CHUNK_BYTES - 1) / CHUNK_BYTES * CHUNK_BYTES;
  if (grow > SPILL_MAX_BYTES - spill->ready || fallocate(spill->fd, 0, (off_t)spill->ready, (off_t)grow) != 0)
    return false;
  spill->ready += grow;
  return true;
}

// The pages stay in the kernel's cache until it writes them out.
static void release_full(Spill *spill) {
  size_t full = spill->used / CHUNK_BYTES * CHUNK_BYTES;
  if (full <= spill->released) return;
  madvise(spill->map + spill->released, full - spill->released, MADV_DONTNEED);
  spill->released = full;
}

void spill_release(Spill *spill) {
  if (spill->map && spill->ready) madvise(spill->map, spill->ready, MADV_DONTNEED);
}

Span spill_dup(Spill *spill, Span text) {
  size_t len = text.len + 1;
  if (spill->arena_bytes + len > spill->limit_bytes && !spill->is_tried) make_file(spill);
  if (spill->arena_bytes + len <= spill->limit_bytes || !spill->map || !has_room(spill, len)) {
    spill->arena_bytes += len;
    return arena_dup(&spill->arena, text);
  }
  char *place = spill->map + spill->used;
  memcpy(place, text.data, text.len);
  place[text.len] = 0;
  spill->used += len;
  release_full(spill);
  return span_make(place, text.len);
}
