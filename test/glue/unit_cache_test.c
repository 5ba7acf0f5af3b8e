// unit_cache_test.c: compiled files kept between runs: found again when nothing changed, never when anything is doubtful.
#include "glue/unit_cache.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "eval/code.h"
#include "harness.h"

#define WORDS 64u

typedef struct Image {
  _Alignas(8) uint32_t words[WORDS];
} Image;

// What is stored is told apart by its body.
static void make_image(Image *ret, uint32_t seed) {
  memset(ret, 0, sizeof *ret);
  CodeImage *head = (CodeImage *)(void *)ret->words;
  head->unit = UINT64_C(0x1234567890); // of this process: must not matter
  head->magic = CODE_MAGIC;
  head->version = CODE_VERSION;
  head->word_count = WORDS;
  for (size_t i = sizeof(CodeImage) / 4; i < WORDS; i++) ret->words[i] = seed * 2654435761u + (uint32_t)i;
}

static Span image_span(const Image *image) {
  return span_make(image->words, sizeof image->words);
}

static EvalStat stat_of(uint64_t n) {
  return (EvalStat){
      .type = EVAL_FILE_REGULAR, .size_bytes = 10, .dev = 7, .ino = n + 1, .mtime_ns = 1000 + n, .ctime_ns = 2000};
}

static UnitCache *open_cache(uint64_t max_bytes) {
  return unit_cache_open(span_cstr(test_temp_path("units")), SPAN("print"), max_bytes);
}

static uint32_t *find(UnitCache *cache, const EvalStat *st) {
  UnitStore *store = unit_cache_store(cache);
  return store->ops->find(store, SPAN("/x.nix"), st);
}

static void put(UnitCache *cache, const EvalStat *st, const Image *image) {
  UnitStore *store = unit_cache_store(cache);
  store->ops->put(store, SPAN("/x.nix"), st, image_span(image));
}

static bool holds(const uint32_t *found, uint32_t seed) {
  Image want;
  make_image(&want, seed);
  // All but the process's own word.
  return found && memcmp(found + 2, want.words + 2, sizeof want.words - 8) == 0;
}

// Writes images `from`... with these numbers as seeds.
static void write_images(uint32_t from, uint32_t count, uint64_t max_bytes) {
  UnitCache *cache = open_cache(max_bytes);
  Image *images = mem_alloc_array(count, sizeof(Image));
  for (uint32_t i = 0; i < count; i++) {
    make_image(&images[i], from + i);
    EvalStat st = stat_of(from + i);
    put(cache, &st, &images[i]);
  }
  unit_cache_flush(cache);
  unit_cache_close(cache);
  mem_free(images);
}

TEST(found_again) {
  write_images(0, 20, UNIT_CACHE_MAX_BYTES);
  write_images(20, 5, UNIT_CACHE_MAX_BYTES);
  UnitCache *cache = open_cache(UNIT_CACHE_MAX_BYTES);
  for (uint32_t i = 0; i < 25; i++) {
    EvalStat st = stat_of(i);
    CHECK(holds(find(cache, &st), i));
  }
  unit_cache_close(cache);
  UnitCacheInfo info;
  unit_cache_info(span_cstr(test_temp_path("units")), &info);
  CHECK_EQ_INT(info.entry_count, 25);
  CHECK_EQ_INT(info.pack_bytes, 25 * sizeof(Image));
  Err err = ERR_INIT;
  CHECK_OK(unit_cache_clear(span_cstr(test_temp_path("units")), &err), &err);
  unit_cache_info(span_cstr(test_temp_path("units")), &info);
  CHECK_EQ_INT(info.file_count, 0);
}

TEST(another_fingerprint_sees_nothing) {
  write_images(0, 1, UNIT_CACHE_MAX_BYTES);
  UnitCache *cache = unit_cache_open(span_cstr(test_temp_path("units")), SPAN("other"), UNIT_CACHE_MAX_BYTES);
  EvalStat st = stat_of(0);
  CHECK(!find(cache, &st));
  unit_cache_close(cache);
}

TEST(changed_file_is_not_found) {
  write_images(0, 3, UNIT_CACHE_MAX_BYTES);
  UnitCache *cache = open_cache(UNIT_CACHE_MAX_BYTES);
  EvalStat same = stat_of(1);
  CHECK(find(cache, &same));
  for (int field = 0; field < 5; field++) {
    EvalStat st = same;
    uint64_t *fields[] = {&st.dev, &st.ino, &st.size_bytes, &st.mtime_ns, &st.ctime_ns};
    ++*fields[field];
    CHECK(!find(cache, &st));
  }
  unit_cache_close(cache);
}

// Changed a moment ago: it may change again without a trace.
TEST(racy_file_is_not_remembered) {
  const char *path = test_temp_path("fresh.nix");
  Err err = ERR_INIT;
  CHECK_OK(fs_write_file_atomic(path, SPAN("1"), 0644, false, &err), &err);
  struct stat fresh;
  CHECK(stat(path, &fresh) == 0);
  EvalStat st = stat_of(1), no_inode = stat_of(2);
  st.ctime_ns = (uint64_t)fresh.st_ctim.tv_sec * 1000000000u + (uint64_t)fresh.st_ctim.tv_nsec;
  no_inode.ino = 0;
  UnitCache *cache = open_cache(UNIT_CACHE_MAX_BYTES);
  Image image;
  make_image(&image, 1);
  put(cache, &st, &image);
  put(cache, &no_inode, &image);
  unit_cache_flush(cache);
  unit_cache_close(cache);
  UnitCacheInfo info;
  unit_cache_info(span_cstr(test_temp_path("units")), &info);
  CHECK_EQ_INT(info.entry_count, 0);
}

static void damage(uint64_t *rng, const char *path) {
  Buf content CLEANUP(buf_done) = BUF_INIT;
  Err err = ERR_INIT;
  CHECK_OK(fs_read_file(path, 0, &content, &err), &err);
  if (test_random_below(rng, 4) == 0) content.len = test_random_below(rng, content.len + 1);
  for (uint64_t n = test_random_below(rng, 4); n-- && content.len;)
    content.data[test_random_below(rng, content.len)] ^= (char)(1 + test_random_below(rng, 255));
  CHECK_OK(fs_write_file_atomic(path, buf_span(&content), 0644, false, &err), &err);
}

// Whatever happens to the files, what is found is what was put.
TEST(damage_is_ignored) {
  uint64_t rng = test_seed();
  Err err = ERR_INIT;
  for (int round = 0; round < 300; round++) {
    CHECK_OK(unit_cache_clear(span_cstr(test_temp_path("units")), &err), &err);
    write_images(0, 8, UNIT_CACHE_MAX_BYTES);
    damage(&rng, test_random_below(&rng, 2) ? test_temp_path("units/print.pack") : test_temp_path("units/print.index"));
    // Also after somebody appended to it.
    if (test_random_below(&rng, 2)) write_images(8, 2, UNIT_CACHE_MAX_BYTES);
    UnitCache *cache = open_cache(UNIT_CACHE_MAX_BYTES);
    for (uint32_t i = 0; i < 10; i++) {
      EvalStat st = stat_of(i);
      const uint32_t *found = find(cache, &st);
      CHECK(!found || holds(found, i));
    }
    unit_cache_close(cache);
  }
}

TEST(two_writers) {
  pid_t pids[4];
  for (uint32_t w = 0; w < 4; w++) {
    if ((pids[w] = fork()) == 0) {
      for (uint32_t i = 0; i < 50; i++) write_images(w * 1000 + i, 1, UNIT_CACHE_MAX_BYTES);
      _exit(0);
    }
  }
  for (uint32_t w = 0; w < 4; w++) {
    int status;
    CHECK(waitpid(pids[w], &status, 0) == pids[w] && status == 0);
  }
  UnitCache *cache = open_cache(UNIT_CACHE_MAX_BYTES);
  uint32_t found_count = 0;
  for (uint32_t w = 0; w < 4; w++)
    for (uint32_t i = 0; i < 50; i++) {
      EvalStat st = stat_of(w * 1000 + i);
      const uint32_t *found = find(cache, &st);
      CHECK(!found || holds(found, w * 1000 + i));
      found_count += found != NULL;
    }
  // A writer that finds the lock taken leaves it be.
  test_note("%u of 200 were written", found_count);
  CHECK(found_count >= 50);
  unit_cache_close(cache);
}

TEST(what_is_used_survives_generations) {
  const uint64_t limit = 20 * sizeof(Image); // a generation: ten images
  EvalStat kept = stat_of(5), unused = stat_of(6);
  write_images(0, 12, limit);
  for (uint32_t round = 1; round < 6; round++) {
    UnitCache *cache = open_cache(limit);
    CHECK(holds(find(cache, &kept), 5));
    unit_cache_flush(cache);
    unit_cache_close(cache);
    write_images(round * 100, 12, limit);
    UnitCacheInfo info;
    unit_cache_info(span_cstr(test_temp_path("units")), &info);
    CHECK(info.pack_bytes <= limit + 14 * sizeof(Image));
  }
  UnitCache *cache = open_cache(limit);
  CHECK(holds(find(cache, &kept), 5));
  CHECK(!find(cache, &unused));
  unit_cache_close(cache);
}

// What programs of the past have left goes when there is not room for all, the least recently used first.
TEST(other_fingerprints_go) {
  const uint64_t limit = 40 * sizeof(Image);
  static const char *const names[] = {"old", "older", "recent"};
  static const time_t used[] = {2000, 1000, 3000};
  CHECK(mkdir(test_temp_path("units"), 0755) == 0);
  for (size_t i = 0; i < ARRAY_LEN(names); i++) {
    UnitCache *cache = unit_cache_open(span_cstr(test_temp_path("units")), span_cstr(names[i]), limit);
    Image images[10];
    EvalStat st = stat_of(i);
    for (uint32_t k = 0; k < ARRAY_LEN(images); k++) {
      make_image(&images[k], k);
      st.ino = k + 1;
      put(cache, &st, &images[k]);
    }
    unit_cache_flush(cache);
    unit_cache_close(cache);
    struct timespec times[2] = {{used[i], 0}, {used[i], 0}};
    for (int index = 0; index < 2; index++) {
      Buf path = BUF_INIT;
      buf_printf(&path, "%s/%s.%s", test_temp_path("units"), names[i], index ? "index" : "pack");
      CHECK(utimensat(AT_FDCWD, buf_cstr(&path), times, 0) == 0);
      buf_done(&path);
    }
  }
  write_images(0, 12, limit);
  UnitCacheInfo info;
  unit_cache_info(span_cstr(test_temp_path("units")), &info);
  CHECK(info.pack_bytes <= limit);
  CHECK(access(test_temp_path("units/older.pack"), F_OK) != 0);
  CHECK(access(test_temp_path("units/recent.pack"), F_OK) == 0);
  CHECK(access(test_temp_path("units/print.pack"), F_OK) == 0);
  UnitCache *cache = unit_cache_open(span_cstr(test_temp_path("units")), SPAN("recent"), limit);
  struct stat st;
  CHECK(stat(test_temp_path("units/recent.index"), &st) == 0);
  CHECK(st.st_mtim.tv_sec > 3000); // it is in use again
  unit_cache_close(cache);
}

TEST_MAIN()
