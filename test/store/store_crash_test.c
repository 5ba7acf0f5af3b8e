// store_crash_test.c: processes are killed at random moments; what they reported as done is whole, check is clean, and a rerun succeeds.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../castore/random_tree.h"
#include "base/fs.h"
#include "harness.h"
#include "store/store_check.h"
#include "store/store_gc.h"
#include "store/store_roots.h"
#include "store_fixture.h"

// Adds trees, texts and outputs, collects, and writes each finished path to the pipe.
static void busy_process(int report, uint64_t seed) {
  Err err = ERR_INIT;
  uint64_t rng = seed;
  CLEANUP(buf_done) Buf url = BUF_INIT;
  Store *store;
  buf_printf(&url, "firn:%s", test_temp_path("s"));
  CHECK_OK(store_open(&(StoreOptions){.url = buf_span(&url)}, &store, &err),
           &err); // with sync: its order is what is tested
  for (unsigned i = 0;; i++) {
    char name[32];
    StorePath path;
    snprintf(name, sizeof(name), "n%u", (unsigned)test_random_below(&rng, 1000000));
    switch (i % 5) {
    case 0:
      path = store_fixture_text(store, name, name, NULL, 0);
      CHECK_OK(store_flush(store, &err), &err);
      break;
    case 1: path = store_fixture_tree(store, "tree", test_temp_path("tree")); break;
    case 2:
      path = store_fixture_output(store, "0123456789"[test_random_below(&rng, 10)], "out", "content", NULL, 0);
      break;
    case 3: {
      CLEANUP(buf_done) Buf link = BUF_INIT;
      buf_printf(&link, "%s/roots/built", test_temp_dir());
      CLEANUP(buf_done) Buf builder = BUF_INIT;
      buf_printf(&builder, "mkdir $out; echo %s > $out/x; echo same > $out/y", name);
      if (!store_fixture_build("s", "built", buf_cstr(&builder), buf_cstr(&link), &path, NULL)) continue;
      break;
    }
    default: {
      StoreGcResult result = STORE_GC_RESULT_INIT;
      CHECK_OK(store_gc_run(store, &(StoreGcOptions){.action = STORE_GC_DELETE_DEAD}, &result, &err), &err);
      store_gc_result_done(&result);
      continue;
    }
    }
    CHECK_OK(store_materialise(store, &path, 1, &err), &err);
    // From here on it must be there; a root keeps it from later collections.
    CLEANUP(buf_done) Buf link = BUF_INIT;
    buf_printf(&link, "%s/roots/%s", test_temp_dir(), path.name);
    CHECK_OK(store_roots_add(store, &path, buf_cstr(&link), &err), &err);
    if (write(report, &path, sizeof(path)) != (ssize_t)sizeof(path)) _exit(1);
  }
}

TEST(kill_at_random_moments) {
  // FIRN_TORTURE: as the promise is worded, two hundred times, at leisure.
  bool torture = getenv("FIRN_TORTURE") != NULL;
  unsigned rounds = torture ? 200 : 40;
  uint64_t rng = test_seed();
  Err err = ERR_INIT;
  random_tree_make(test_temp_path("tree"), 150, &rng);
  CHECK_OK(fs_mkdir_all(test_temp_path("roots"), 0755, &err), &err);
  StorePathList done = STORE_PATH_LIST_INIT;
  for (unsigned round = 0; round < rounds; round++) {
    int report[2];
    CHECK(pipe(report) == 0);
    pid_t pid = fork();
    if (pid == 0) {
      setpgid(0, 0); // killed with the builds that it starts
      close(report[0]);
      busy_process(report[1], test_random(&rng) + round);
    }
    close(report[1]);
    setpgid(pid, pid);
    usleep((useconds_t)test_random_below(&rng, torture ? 400000 : 80000));
    kill(-pid, SIGKILL);
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status));
    StorePath path;
    while (read(report[0], &path, sizeof(path)) == (ssize_t)sizeof(path)) {
      // A root of the same name (other content) has replaced this one: then it may be collected.
      for (size_t i = 0; i < done.count; i++)
        if (strcmp(done.paths[i].name, path.name) == 0) done.paths[i--] = done.paths[--done.count];
      store_path_list_add(&done, &path);
    }
    close(report[0]);
    Store *store = store_fixture_open("s");
    StoreCheckResult result;
    CHECK_OK(store_check_run(store, &(StoreCheckOptions){.contents = true}, &result, &err), &err);
    CHECK_EQ_INT(result.problems, 0);
    for (size_t i = 0; i < done.count; i++) CHECK(store_fixture_valid(store, &done.paths[i]));
    store_free(store);
  }
  test_note("%zu paths were reported", done.count);
  Store *store = store_fixture_open("s");
  store_fixture_tree(store, "tree", test_temp_path("tree"));
  store_free(store);
  store_path_list_done(&done);
}

TEST(full_disk) {
  if (geteuid() != 0) test_skip("mounting a small file system needs root");
  Err err = ERR_INIT;
  uint64_t rng = test_seed();
  random_tree_make(test_temp_path("tree"), 400, &rng);
  CHECK_OK(fs_mkdir_all(test_temp_path("small"), 0755, &err), &err);
  if (mount("tmpfs", test_temp_path("small"), "tmpfs", 0, "size=3m,nr_inodes=2000") != 0)
    test_skip("no tmpfs can be mounted here");
  Store *store = store_fixture_open("small/s");
  StorePath text = store_fixture_text(store, "before", "fits", NULL, 0), path;
  CHECK_OK(store_flush(store, &err), &err);
  bool filled = false;
  for (unsigned i = 0; i < 50 && !filled; i++) {
    random_tree_change(test_temp_path("tree"), &rng);
    char name[20];
    snprintf(name, sizeof(name), "tree%u", i);
    filled = !store_add_path(store, span_cstr(name), test_temp_path("tree"), NULL, &path, &err) ||
             !store_materialise(store, &path, 1, &err);
  }
  CHECK(filled);
  CHECK_CONTAINS(span_cstr(err_message(&err)), "No space left on device");
  err_done(&err);
  store_free(store);
  store = store_fixture_open("small/s");
  StoreCheckResult result;
  CHECK_OK(store_check_run(store, &(StoreCheckOptions){.contents = true}, &result, &err), &err);
  CHECK_EQ_INT(result.problems, 0);
  CHECK(store_fixture_valid(store, &text));
  // Collecting must work on a full disk, and makes room.
  StoreGcResult gc = STORE_GC_RESULT_INIT;
  CHECK_OK(store_gc_run(store, &(StoreGcOptions){.action = STORE_GC_DELETE_DEAD}, &gc, &err), &err);
  CHECK(gc.freed_bytes > 0);
  store_gc_result_done(&gc);
  store_free(store);
  CHECK(umount2(test_temp_path("small"), MNT_DETACH) == 0);
}

TEST_MAIN()
