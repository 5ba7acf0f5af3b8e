// store_gc_test.c: what is reachable stays, what is not goes, also while others work.
#include "store/store_gc.h"
#include "store/store_lock.h"

#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "harness.h"
#include "store/store_check.h"
#include "store/store_roots.h"
#include "store_fixture.h"

static const StoreGcOptions delete_dead = {.action = STORE_GC_DELETE_DEAD, .keep_derivations = true};

static size_t collect(Store *store, const StoreGcOptions *options) {
  Err err = ERR_INIT;
  StoreGcResult result = STORE_GC_RESULT_INIT;
  CHECK_OK(store_gc_run(store, options, &result, &err), &err);
  size_t count = result.paths.count;
  store_gc_result_done(&result);
  return count;
}

static void check_clean(Store *store) {
  Err err = ERR_INIT;
  StoreCheckResult result;
  CHECK_OK(store_check_run(store, &(StoreCheckOptions){.contents = true}, &result, &err), &err);
  CHECK_EQ_INT(result.problems, 0);
}

TEST(reachable_stays) {
  Err err = ERR_INIT;
  Store *store = store_fixture_open("s");
  StorePath dep = store_fixture_text(store, "dep", "1", NULL, 0),
            dead = store_fixture_text(store, "dead", "2", &dep, 1);
  StorePath top = store_fixture_output(store, '5', "top", "refers", &dep, 1),
            gone = store_fixture_output(store, '6', "gone", "large", &dead, 1);
  CHECK_OK(store_roots_add(store, &top, test_temp_path("result"), &err), &err);
  store_free(store); // pins end here
  store = store_fixture_open("s");
  CHECK_EQ_INT(collect(store, &(StoreGcOptions){.action = STORE_GC_PRINT_DEAD}), 2);
  CHECK_EQ_INT(collect(store, &(StoreGcOptions){.action = STORE_GC_PRINT_LIVE}), 2);
  CHECK_EQ_INT(collect(store, &delete_dead), 2);
  CHECK(store_fixture_valid(store, &dep) && store_fixture_valid(store, &top));
  CHECK(!store_fixture_valid(store, &dead) && !store_fixture_valid(store, &gone));
  CHECK(fs_exists(test_temp_path("s/store/55555555555555555555555555555555-top")));
  CHECK(!fs_exists(test_temp_path("s/store/66666666666666666666666666666666-gone")));
  CHECK_OK(store_materialise(store, &dep, 1, &err), &err);
  check_clean(store);
  CLEANUP(buf_done) Buf root = BUF_INIT;
  StorePathList chain = STORE_PATH_LIST_INIT;
  bool alive;
  CHECK_OK(store_gc_why_alive(store, &dep, &root, &chain, &alive, &err), &err);
  CHECK(alive);
  CHECK_CONTAINS(buf_span(&root), "result");
  CHECK_EQ_INT(chain.count, 2);
  CHECK(store_path_eq(&chain.paths[0], &top));
  store_path_list_done(&chain);
  CHECK(unlink(test_temp_path("result")) == 0);
  store_free(store);
  store = store_fixture_open("s");
  CHECK_EQ_INT(collect(store, &delete_dead), 2);
  ObjectStoreStats stats;
  CHECK_OK(object_store_stats(store_objects(store), &stats, &err), &err);
  CHECK_EQ_INT(stats.file_count, 0);
  CHECK_EQ_INT(stats.packed_count, 0);
  store_free(store);
}

TEST(pins_protect) {
  Store *user = store_fixture_open("s");
  StorePath dep = store_fixture_text(user, "dep", "1", NULL, 0), path = store_fixture_text(user, "path", "2", &dep, 1);
  Err err = ERR_INIT;
  CHECK_OK(store_flush(user, &err), &err);
  Store *collector = store_fixture_open("s");
  CHECK_EQ_INT(collect(collector, &delete_dead), 0);
  CHECK(store_fixture_valid(collector, &path));
  store_free(user);
  CHECK_EQ_INT(collect(collector, &delete_dead), 2);
  store_free(collector);
}

TEST(specific_paths) {
  Err err = ERR_INIT;
  Store *store = store_fixture_open("s");
  StorePath dep = store_fixture_text(store, "dep", "1", NULL, 0),
            top = store_fixture_output(store, '7', "top", "x", &dep, 1);
  CHECK_OK(store_roots_add(store, &top, test_temp_path("result"), &err), &err);
  store_free(store);
  store = store_fixture_open("s");
  StoreGcResult result = STORE_GC_RESULT_INIT;
  StoreGcOptions options = {.action = STORE_GC_DELETE_SPECIFIC, .paths = &dep, .path_count = 1};
  CHECK_ERR(store_gc_run(store, &options, &result, &err), &err, ERR_OTHER, "still alive");
  store_gc_result_done(&result);
  CHECK(unlink(test_temp_path("result")) == 0);
  // Not before what refers to it, as in C++ Nix; together they may go.
  CHECK_ERR(store_gc_run(store, &options, &result, &err), &err, ERR_OTHER, "still alive");
  store_gc_result_done(&result);
  StorePath both[] = {dep, top};
  options.paths = both;
  options.path_count = 2;
  CHECK_EQ_INT(collect(store, &options), 2);
  store_free(store);
}

TEST(optimise_drops_second_copies) {
  Err err = ERR_INIT;
  Store *store = store_fixture_open("s");
  CHECK_OK(fs_mkdir_all(test_temp_path("dir"), 0755, &err), &err);
  CHECK_OK(fs_write_file_atomic(test_temp_path("dir/f"), SPAN("small enough for a pack"), 0644, false, &err), &err);
  StorePath path = store_fixture_tree(store, "t", test_temp_path("dir"));
  CHECK_OK(store_materialise(store, &path, 1, &err), &err);
  ObjectStoreStats stats;
  CHECK_OK(object_store_stats(store_objects(store), &stats, &err), &err);
  CHECK_EQ_INT(stats.packed_count, 2); // the file and its directory
  CHECK_EQ_INT(stats.file_count, 1);
  uint64_t freed;
  CHECK_OK(store_gc_optimise(store, &freed, &err), &err);
  CHECK_OK(object_store_stats(store_objects(store), &stats, &err), &err);
  CHECK_EQ_INT(stats.packed_count, 1);
  CHECK_EQ_INT(stats.file_count, 1);
  check_clean(store);
  store_free(store);
}

// A killed process leaves its lock file, which must not keep the tree for ever; one that is held does.
TEST(lock_files) {
  Err err = ERR_INIT;
  Store *store = store_fixture_open("s"), *other = store_fixture_open("s");
  StorePath left = store_fixture_text(store, "left", "a", NULL, 0),
            held = store_fixture_text(store, "held", "b", NULL, 0);
  StorePath both[] = {left, held};
  CHECK_OK(store_flush(store, &err), &err);
  CHECK_OK(store_materialise(store, both, 2, &err), &err);
  CLEANUP(buf_done) Buf left_tree = BUF_INIT;
  CLEANUP(buf_done) Buf held_tree = BUF_INIT;
  CLEANUP(buf_done) Buf left_lock = BUF_INIT;
  store_format_physical(store, &left, &left_tree);
  store_format_physical(store, &held, &held_tree);
  buf_printf(&left_lock, "%s.lock", buf_cstr(&left_tree));
  CHECK_OK(fs_write_file_atomic(buf_cstr(&left_lock), SPAN(""), 0600, false, &err), &err);
  StoreLock *lock;
  CHECK_OK(store_lock_take(other, &held, 1, false, &lock, &err), &err);
  store_free(store); // and with it the pins
  store = store_fixture_open("s");
  collect(store, &(StoreGcOptions){.action = STORE_GC_DELETE_DEAD});
  CHECK(!fs_exists(buf_cstr(&left_tree)) && !fs_exists(buf_cstr(&left_lock)));
  CHECK(fs_exists(buf_cstr(&held_tree)));
  store_lock_release(lock);
  collect(store, &(StoreGcOptions){.action = STORE_GC_DELETE_DEAD});
  CHECK(!fs_exists(buf_cstr(&held_tree)));
  store_free(store);
  store_free(other);
}

TEST(max_freed) {
  Err err = ERR_INIT;
  Store *store = store_fixture_open("s");
  for (unsigned i = 0; i < 50; i++) {
    char text[3000];
    memset(text, 'a', sizeof(text));
    snprintf(text, 20, "%u", i);
    text[sizeof(text) - 1] = 0;
    text[strlen(text)] = 'b';
    store_fixture_text(store, "big", text, NULL, 0);
  }
  CHECK_OK(store_flush(store, &err), &err);
  store_free(store);
  store = store_fixture_open("s");
  CHECK_EQ_INT(collect(store, &(StoreGcOptions){.action = STORE_GC_DELETE_DEAD, .has_max_freed = true}), 0);
  size_t count = collect(
      store, &(StoreGcOptions){.action = STORE_GC_DELETE_DEAD, .has_max_freed = true, .max_freed_bytes = 10000});
  CHECK(count >= 3 && count <= 5);
  store_free(store);
}

// Processes add, query, materialise and collect at once. Whatever a process was told is valid and has pinned must stay whole.
static void worker(unsigned number, int seconds) {
  Err err = ERR_INIT;
  uint64_t rng = number * 7919 + 1;
  Store *store = store_fixture_open("s");
  time_t end = time(NULL) + seconds;
  while (time(NULL) < end) {
    StorePath refs[3];
    size_t ref_count = 0;
    for (unsigned i = 0; i < 3; i++) {
      char name[32];
      snprintf(name, sizeof(name), "t%u", (unsigned)test_random_below(&rng, 40));
      refs[ref_count++] = store_fixture_text(store, name, name, NULL, 0);
    }
    char name[32];
    snprintf(name, sizeof(name), "u%u-%u", number % 3, (unsigned)test_random_below(&rng, 40));
    StorePath top = store_fixture_text(store, name, name, refs, ref_count);
    CHECK_OK(store_flush(store, &err), &err);
    CHECK_OK(store_materialise(store, &top, 1, &err), &err);
    CHECK_OK(store_materialise(store, refs, ref_count, &err), &err);
    CLEANUP(buf_done) Buf nar = BUF_INIT;
    ByteSink sink = byte_stream_to_buf(&nar);
    for (size_t i = 0; i < ref_count; i++) CHECK_OK(store_dump(store, &refs[i], &sink, &err), &err);
    StorePathList closure = STORE_PATH_LIST_INIT;
    CHECK_OK(store_closure(store, &top, 1, NULL, &closure, &err), &err);
    store_path_list_done(&closure);
    if (number % 4 == 0) collect(store, &delete_dead);
    if (test_random_below(&rng, 5) == 0) { // pins end, so that there is garbage
      store_free(store);
      store = store_fixture_open("s");
    }
  }
  store_free(store);
}

TEST(many_processes_at_once) {
  enum { PROCESSES = 8 };
  store_free(store_fixture_open("s"));
  for (unsigned i = 0; i < PROCESSES; i++) {
    if (fork() != 0) continue;
    worker(i, 4);
    _exit(0);
  }
  for (unsigned i = 0; i < PROCESSES; i++) {
    int status;
    CHECK(wait(&status) > 0);
    CHECK_EQ_INT(status, 0);
  }
  Store *store = store_fixture_open("s");
  check_clean(store);
  collect(store, &delete_dead);
  check_clean(store);
  store_free(store);
}

TEST_MAIN()
