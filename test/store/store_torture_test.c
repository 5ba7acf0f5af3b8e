// store_torture_test.c: many processes add, build, query, collect and check at once: no error about a busy database, no deadlock, no lost path.
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../castore/random_tree.h"
#include "base/fs.h"
#include "harness.h"
#include "store/store_check.h"
#include "store/store_gc.h"
#include "store/store_roots.h"
#include "store_fixture.h"

#define TORTURE_KEPT_MAX 64u

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

typedef struct Worker {
  unsigned number;
  uint64_t rng;
  Store *store;
  StorePath kept[TORTURE_KEPT_MAX]; // each with a root
  size_t kept_count;
} Worker;

static Store *open_real(void) {
  Err err = ERR_INIT;
  CLEANUP(buf_done) Buf url = BUF_INIT;
  Store *store;
  buf_printf(&url, "firn:%s", test_temp_path("s"));
  CHECK_OK(store_open(&(StoreOptions){.url = buf_span(&url)}, &store, &err), &err);
  return store;
}

static void keep(Worker *worker, const StorePath *path) {
  Err err = ERR_INIT;
  CLEANUP(buf_done) Buf link = BUF_INIT;
  size_t at = worker->kept_count < TORTURE_KEPT_MAX ? worker->kept_count++
                                                    : (size_t)test_random_below(&worker->rng, TORTURE_KEPT_MAX);
  buf_printf(&link, "%s/%u-%zu", test_temp_path("roots"), worker->number, at);
  CHECK_OK(store_roots_add(worker->store, path, buf_cstr(&link), &err), &err);
  worker->kept[at] = *path;
}

static void check_kept(Worker *worker) {
  if (worker->kept_count == 0) return;
  Err err = ERR_INIT;
  const StorePath *path = &worker->kept[test_random_below(&worker->rng, worker->kept_count)];
  StorePathList closure = STORE_PATH_LIST_INIT;
  CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *record = NULL;
  CLEANUP(buf_done) Buf physical = BUF_INIT;
  CHECK_OK(store_get(worker->store, path, &record, &err), &err);
  CHECK_OK(store_closure(worker->store, path, 1, NULL, &closure, &err), &err);
  store_format_physical(worker->store, path, &physical);
  if (!fs_exists(buf_cstr(&physical))) test_fail(__FILE__, __LINE__, "the tree '%s' is lost", buf_cstr(&physical));
  store_path_list_done(&closure);
}

static void add(Worker *worker) {
  Err err = ERR_INIT;
  StorePath text, top;
  char name[32], content[64];
  snprintf(name, sizeof(name), "text%u", (unsigned)test_random_below(&worker->rng, 50));
  snprintf(content, sizeof(content), "%u", (unsigned)test_random_below(&worker->rng, 4));
  text = store_fixture_text(worker->store, name, content, NULL, 0);
  top = store_fixture_text(worker->store, "top", name, &text, 1);
  CHECK_OK(store_flush(worker->store, &err), &err);
  if (test_random_below(&worker->rng, 2)) keep(worker, &top);
}

static void add_tree(Worker *worker) {
  char tree[32];
  snprintf(tree, sizeof(tree), "tree%u", (unsigned)test_random_below(&worker->rng, 4));
  StorePath path = store_fixture_tree(worker->store, "tree", test_temp_path(tree));
  if (test_random_below(&worker->rng, 2)) keep(worker, &path);
}

static void build(Worker *worker) {
  char script[128];
  StorePath path;
  CLEANUP(buf_done) Buf errors = BUF_INIT;
  // Few different ones, so that several want to build the same at once.
  snprintf(script, sizeof(script), "mkdir $out; echo %u > $out/x; echo same > $out/y",
           (unsigned)test_random_below(&worker->rng, 12));
  if (!store_fixture_build("s", "built", script, test_temp_path("roots/shared-build"), &path, &errors))
    test_fail(__FILE__, __LINE__, "a build failed: %s", buf_cstr(&errors));
}

static void collect(Worker *worker) {
  Err err = ERR_INIT;
  StoreGcResult result = STORE_GC_RESULT_INIT;
  CHECK_OK(store_gc_run(worker->store, &(StoreGcOptions){.action = STORE_GC_DELETE_DEAD}, &result, &err), &err);
  store_gc_result_done(&result);
}

static void reopen(Worker *worker) {
  store_free(worker->store); // and with it the pins
  worker->store = open_real();
}

static void work(unsigned number, uint64_t seed, int64_t end_ms) {
  Worker worker = {.number = number, .rng = seed, .store = open_real()};
  while (now_ms() < end_ms) {
    uint64_t pick = test_random_below(&worker.rng, 100);
    if (pick < 40) add(&worker);
    else if (pick < 55) add_tree(&worker);
    else if (pick < 62) build(&worker);
    else if (pick < 66) collect(&worker);
    else if (pick < 72) reopen(&worker);
    else check_kept(&worker);
  }
  for (size_t i = 0; i < worker.kept_count; i++) CHECK(store_fixture_valid(worker.store, &worker.kept[i]));
  store_free(worker.store);
}

// A new database that several processes turn to write-ahead logging at the same moment.
TEST(a_new_store_is_opened_by_many) {
  enum { ROUNDS = 20, OPENERS = 8 };
  Err err = ERR_INIT;
  for (unsigned round = 0; round < ROUNDS; round++) {
    int gate[2];
    CHECK(pipe(gate) == 0);
    pid_t pids[OPENERS];
    for (unsigned i = 0; i < OPENERS; i++) {
      pids[i] = fork();
      CHECK(pids[i] >= 0);
      if (pids[i] != 0) continue;
      char byte;
      close(gate[1]);
      while (read(gate[0], &byte, 1) > 0) {
      } // until all are there
      store_free(open_real());
      _exit(0);
    }
    close(gate[0]);
    close(gate[1]);
    unsigned failed = 0;
    for (unsigned i = 0; i < OPENERS; i++) {
      int status;
      CHECK(waitpid(pids[i], &status, 0) == pids[i]);
      failed += status != 0;
    }
    CHECK_EQ_INT(failed, 0);
    CHECK_OK(fs_remove_tree(test_temp_path("s"), &err), &err);
  }
}

TEST(many_at_once) {
  bool torture = getenv("FIRN_TORTURE") != NULL;
  unsigned workers = torture ? 16 : 6;
  int64_t end_ms = now_ms() + (torture ? 60000 : 3000);
  uint64_t rng = test_seed();
  Err err = ERR_INIT;
  for (unsigned i = 0; i < 4; i++) {
    char tree[32];
    snprintf(tree, sizeof(tree), "tree%u", i);
    random_tree_make(test_temp_path(tree), 60, &rng);
  }
  CHECK_OK(fs_mkdir_all(test_temp_path("roots"), 0755, &err), &err);
  pid_t pids[16];
  for (unsigned i = 0; i < workers; i++) {
    uint64_t seed = test_random(&rng);
    pids[i] = fork();
    CHECK(pids[i] >= 0);
    if (pids[i] == 0) {
      work(i, seed, end_ms);
      _exit(0);
    }
  }
  unsigned failed = 0;
  for (unsigned i = 0; i < workers; i++) {
    int status;
    CHECK(waitpid(pids[i], &status, 0) == pids[i]);
    failed += status != 0;
  }
  CHECK_EQ_INT(failed, 0);
  Store *store = open_real();
  StoreCheckResult result;
  CHECK_OK(store_check_run(store, &(StoreCheckOptions){.contents = true}, &result, &err), &err);
  CHECK_EQ_INT(result.problems, 0);
  test_note("%u processes; %llu paths and %llu objects are left", workers, (unsigned long long)result.paths,
            (unsigned long long)result.objects);
  store_free(store);
}

TEST_MAIN()
