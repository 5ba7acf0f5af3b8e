// store_damage_test.c: a database that is damaged in any page, and a store that belongs to somebody else: an error that says so, or an answer; nothing outside
// of the store is touched.
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "harness.h"
#include "store/store_check.h"
#include "store/store_gc.h"
#include "store_fixture.h"

#define DB "s/var/firn/db.sqlite"
#define FLIPS_PER_PAGE 6u
#define PAGE_BYTES 4096u
#define NOBODY 65534u

// A store with a few hundred rows, so that each table and index has several pages. Closing it empties the log.
static void make_store(StorePath *ret_kept) {
  Err err = ERR_INIT;
  Store *store = store_fixture_open("s");
  StorePath last = store_fixture_text(store, "first", "1", NULL, 0);
  for (unsigned i = 0; i < 300; i++) {
    char name[32], content[32];
    snprintf(name, sizeof(name), "text-%u", i);
    snprintf(content, sizeof(content), "content %u", i);
    last = store_fixture_text(store, name, content, &last, 1);
  }
  *ret_kept = store_fixture_output(store, '5', "output", "refers", &last, 1);
  CHECK_OK(store_sync(store, &err), &err);
  store_free(store);
  CHECK(!fs_exists(test_temp_path(DB "-wal")));
}

// A failure is fine if it says something.
static bool said(bool ok, Err *err) {
  if (ok) return true;
  CHECK(err_is_set(err) && strlen(err_message(err)) > 10);
  err_done(err);
  return false;
}

// Everything that people do with a store, on whatever is there.
static void use(Store *store, const StorePath *kept, unsigned round) {
  Err err = ERR_INIT;
  StorePathList list = STORE_PATH_LIST_INIT;
  StoreCheckResult check;
  StoreGcResult gc = STORE_GC_RESULT_INIT;
  StorePath path;
  char name[32];
  bool valid;
  uint64_t bytes;
  size_t count;
  (void)said(store_is_valid(store, kept, &valid, &err), &err);
  (void)said(store_all(store, &list, &err), &err);
  store_path_list_done(&list);
  (void)said(store_closure(store, kept, 1, &(StoreClosureOptions){.topological = true}, &list, &err), &err);
  store_path_list_done(&list);
  (void)said(store_closure_size(store, kept, &bytes, &count, &err), &err);
  (void)said(store_check_run(store, &(StoreCheckOptions){.contents = round % 4 == 0}, &check, &err), &err);
  snprintf(name, sizeof(name), "new-%u", round);
  if (said(store_add_text(store, span_cstr(name), SPAN("new"), NULL, 0, &path, &err), &err) &&
      said(store_flush(store, &err), &err) && said(store_is_valid(store, &path, &valid, &err), &err))
    CHECK(valid); // what was said to be added is there
  (void)said(store_gc_run(store, &(StoreGcOptions){.action = STORE_GC_PRINT_DEAD}, &gc, &err), &err);
  store_gc_result_done(&gc);
  (void)said(store_sync(store, &err), &err);
}

static void try_database(Span content, const StorePath *kept, unsigned round, unsigned *opened) {
  Err err = ERR_INIT;
  Store *store;
  CHECK_OK(fs_remove_tree(test_temp_path(DB "-wal"), &err), &err);
  CHECK_OK(fs_remove_tree(test_temp_path(DB "-shm"), &err), &err);
  CHECK_OK(fs_write_file_atomic(test_temp_path(DB), content, 0644, false, &err), &err);
  CLEANUP(buf_done) Buf url = BUF_INIT;
  buf_printf(&url, "firn:%s", test_temp_path("s"));
  if (!said(store_open(&(StoreOptions){.url = buf_span(&url), .no_sync = true}, &store, &err), &err)) return;
  ++*opened;
  use(store, kept, round);
  store_free(store);
}

TEST(flipped_database) {
  Err err = ERR_INIT;
  StorePath kept;
  uint64_t rng = test_seed();
  unsigned opened = 0, rounds = 0;
  CLEANUP(buf_done) Buf original = BUF_INIT;
  CLEANUP(buf_done) Buf sentinel = BUF_INIT;
  make_store(&kept);
  CHECK_OK(fs_write_file_atomic(test_temp_path("sentinel"), SPAN("untouched"), 0644, false, &err), &err);
  CHECK_OK(fs_read_file(test_temp_path(DB), 0, &original, &err), &err);
  for (size_t page = 0; page < original.len / PAGE_BYTES; page++)
    for (unsigned flip = 0; flip < FLIPS_PER_PAGE; flip++, rounds++) {
      CLEANUP(buf_done) Buf damaged = BUF_INIT;
      buf_put_span(&damaged, buf_span(&original));
      char *at = damaged.data + page * PAGE_BYTES;
      // The head of a page is its structure, the rest its cells; then noise, zeros, and a file that ends here.
      if (flip < 2) at[test_random_below(&rng, 12)] ^= (char)(1u << test_random_below(&rng, 8));
      else if (flip < 3) at[test_random_below(&rng, PAGE_BYTES)] ^= (char)(1u << test_random_below(&rng, 8));
      else if (flip < 4) memset(at, 0, PAGE_BYTES);
      else if (flip < 5)
        for (unsigned i = 0; i < PAGE_BYTES; i++) at[i] = (char)test_random(&rng);
      else damaged.len = page * PAGE_BYTES + (size_t)test_random_below(&rng, PAGE_BYTES);
      try_database(buf_span(&damaged), &kept, rounds, &opened);
    }
  test_note("%u damaged databases, %u could be opened", rounds, opened);
  CHECK_OK(fs_read_file(test_temp_path("sentinel"), 0, &sentinel, &err), &err);
  CHECK_STR(buf_span(&sentinel), "untouched");
  try_database(buf_span(&original), &kept, 1, &opened);
}

TEST(something_else_than_a_database) {
  StorePath kept;
  unsigned opened = 0;
  make_store(&kept);
  try_database(SPAN("this is a letter to somebody, and it is long enough to be taken for the head of a file of SQLite, "
                    "which has a hundred bytes"),
               &kept, 0, &opened);
  CHECK_EQ_INT(opened, 0);
  try_database(SPAN("SQLite format 3"), &kept, 0, &opened);
  CHECK_EQ_INT(opened, 0);
}

// In a child, which has become somebody else: *body* with the store's URL, 0 for success.
static int as_nobody(int (*body)(const char *url)) {
  CLEANUP(buf_done) Buf url = BUF_INIT;
  buf_printf(&url, "firn:%s", test_temp_path("s"));
  pid_t pid = fork();
  if (pid == 0) _exit(setresuid(NOBODY, NOBODY, NOBODY) == 0 ? body(buf_cstr(&url)) : 99);
  int status = -1;
  CHECK(waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int write_to_it(const char *url) {
  Err err = ERR_INIT;
  Store *store;
  StorePath path;
  bool ok = store_open(&(StoreOptions){.url = span_cstr(url)}, &store, &err);
  if (ok) {
    ok = store_add_text(store, SPAN("intruder"), SPAN("x"), NULL, 0, &path, &err) && store_sync(store, &err);
    store_free(store);
  }
  if (ok) return 1;
  const char *text = err_message(&err);
  bool clear = strstr(text, "ermission denied") || strstr(text, "ead-only") || strstr(text, "readonly");
  if (!clear) test_note("%s", text);
  err_done(&err);
  return clear ? 0 : 2;
}

static int read_it(const char *url) {
  Err err = ERR_INIT;
  Store *store;
  StorePathList list = STORE_PATH_LIST_INIT;
  CLEANUP(buf_done) Buf read_only = BUF_INIT;
  buf_printf(&read_only, "%s?read-only=true", url);
  if (!store_open(&(StoreOptions){.url = buf_span(&read_only)}, &store, &err) || !store_all(store, &list, &err)) {
    test_note("%s", err_message(&err));
    return 1;
  }
  size_t count = list.count;
  store_path_list_done(&list);
  store_free(store);
  return count == 302 ? 0 : 2;
}

TEST(somebody_elses_store) {
  if (geteuid() != 0) test_skip("becoming somebody else needs root");
  StorePath kept;
  Err err = ERR_INIT;
  make_store(&kept);
  CHECK(chmod(test_temp_dir(), 0755) == 0);
  CHECK_EQ_INT(as_nobody(write_to_it), 0);
  CHECK_EQ_INT(as_nobody(read_it), 0);
  Store *store = store_fixture_open("s");
  StorePathList list = STORE_PATH_LIST_INIT;
  StoreCheckResult result;
  CHECK_OK(store_all(store, &list, &err), &err);
  CHECK_EQ_INT(list.count, 302);
  CHECK_OK(store_check_run(store, &(StoreCheckOptions){.contents = true}, &result, &err), &err);
  CHECK_EQ_INT(result.problems, 0);
  store_path_list_done(&list);
  store_free(store);
}

TEST(read_only_file_system) {
  if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
    test_skip("mounting needs root");
  StorePath kept;
  Err err = ERR_INIT;
  Store *store;
  make_store(&kept);
  const char *place = test_temp_path("s");
  CHECK(mount(place, place, NULL, MS_BIND, NULL) == 0);
  CHECK(mount(NULL, place, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) == 0);
  CLEANUP(buf_done) Buf url = BUF_INIT;
  buf_printf(&url, "firn:%s", place);
  CHECK_EQ_INT(write_to_it(buf_cstr(&url)), 0);
  CHECK_EQ_INT(read_it(buf_cstr(&url)), 0);
  CHECK(umount2(place, MNT_DETACH) == 0);
  CHECK_OK(store_open(&(StoreOptions){.url = buf_span(&url)}, &store, &err), &err);
  CHECK(store_fixture_valid(store, &kept));
  store_free(store);
}

TEST_MAIN()
