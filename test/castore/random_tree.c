// random_tree.c: trees on disk from a seed.
#include "random_tree.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "harness.h"

static void random_tree_file(const char *path, uint64_t *rng) {
  static const size_t sizes[] = {0, 1, 7, 8, 100, 5000, 70000, 1200000};
  size_t pick = (size_t)test_random_below(rng, 100);
  size_t size = sizes[pick < 98 ? pick % 6 : 6 + pick % 2];
  if (size > 8) size += (size_t)test_random_below(rng, size);
  CLEANUP(mem_free_ptr) char *data = mem_alloc(size + 1);
  if (test_random_below(rng, 4) == 0) memset(data, 'a', size); // equal contents
  else test_random_bytes(rng, data, size);
  Err err = ERR_INIT;
  CLEANUP(fs_close_fd) int fd = -1;
  CHECK_OK(fs_open(path, O_WRONLY | O_CREAT | O_EXCL, test_random_below(rng, 4) == 0 ? 0755 : 0644, &fd, &err), &err);
  CHECK_OK(fs_write_all(fd, span_make(data, size), &err), &err);
}

void random_tree_make(const char *path, size_t entries, uint64_t *rng) {
  static const char *const stems[] = {"a", "b.", "-c", "d e", "\xc3\xa9", "z~", "A", "a.b"};
  CHECK(mkdir(path, 0755) == 0);
  for (size_t i = 0; i < entries; i++) {
    CLEANUP(buf_done) Buf name = BUF_INIT;
    buf_printf(&name, "%s/%s%u", path, stems[test_random_below(rng, ARRAY_LEN(stems))],
               (unsigned)test_random_below(rng, 1000));
    if (fs_exists(buf_cstr(&name))) continue;
    uint64_t kind = test_random_below(rng, 10);
    if (kind < 2 && entries > 2) {
      size_t below = (size_t)test_random_below(rng, entries / 2 + 1);
      random_tree_make(buf_cstr(&name), below, rng);
      i += below;
    } else if (kind == 2) {
      CHECK(symlink("../some/where", buf_cstr(&name)) == 0);
    } else {
      random_tree_file(buf_cstr(&name), rng);
    }
  }
}

void random_tree_change(const char *path, uint64_t *rng) {
  CLEANUP(buf_done) Buf name = BUF_INIT;
  buf_printf(&name, "%s/changed-%u", path, (unsigned)test_random_below(rng, 1000000));
  if (!fs_exists(buf_cstr(&name))) random_tree_file(buf_cstr(&name), rng);
}
