// store_test.c: adding, registering, questions, reading, materialising, next to C++ Nix where it is installed.
#include "store/store.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../castore/random_tree.h"
#include "base/fs.h"
#include "castore/castore_nar.h"
#include "harness.h"
#include "store/store_lock.h"
#include "store/store_resolve.h"
#include "store/store_roots.h"
#include "store_fixture.h"

static void check_path(Store *store, const StorePath *path, const char *want) {
  CLEANUP(buf_done) Buf text = BUF_INIT;
  store_format_path(store, path, &text);
  CHECK_STR(buf_span(&text), want);
}

TEST(known_paths) { // computed by Nix
  Store *store = store_fixture_open("s");
  Err err = ERR_INIT;
  StorePath text = store_fixture_text(store, "hello.txt", "hello\n", NULL, 0), flat;
  check_path(store, &text, "/nix/store/qa1w9gdfrba6jl2r57mb3c43863gqywp-hello.txt");
  CHECK_OK(fs_write_file_atomic(test_temp_path("f"), SPAN("hello\n"), 0644, false, &err), &err);
  StoreAddOptions options = {.method = CA_FLAT, .algo = HASH_SHA1};
  CHECK_OK(store_add_path(store, SPAN("f"), test_temp_path("f"), &options, &flat, &err), &err);
  CHECK(store_fixture_valid(store, &flat));
  StorePath dry;
  options.dry_run = true;
  CHECK_OK(store_add_path(store, SPAN("f"), test_temp_path("f"), &options, &dry, &err), &err);
  CHECK(store_path_eq(&dry, &flat));
  store_free(store);
}

TEST(paths_are_those_of_nix) {
  uint64_t rng = test_seed();
  random_tree_make(test_temp_path("tree"), 80, &rng);
  CLEANUP(buf_done) Buf out = BUF_INIT;
  const char *const add[] = {"nix-store", "--store", test_temp_path("cpp"), "--add", test_temp_path("tree"), NULL};
  store_fixture_nix(add, &out);
  Store *store = store_fixture_open("s");
  StorePath path = store_fixture_tree(store, "tree", test_temp_path("tree"));
  CLEANUP(mem_free_ptr) char *want = span_dup(span_trim(buf_span(&out)));
  check_path(store, &path, want);
  store_free(store);
}

TEST(deferred_text_is_visible_and_survives) {
  Err err = ERR_INIT;
  Store *store = store_fixture_open("s");
  StorePath a = store_fixture_text(store, "a", "1", NULL, 0);
  StorePath b = store_fixture_text(store, "b.drv", "2", &a, 1);
  CHECK(store_fixture_valid(store, &b));
  CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *record = NULL;
  CHECK_OK(store_get(store, &b, &record, &err), &err);
  CHECK_EQ_INT(record->info.ref_count, 1);
  CHECK(store_path_eq(&record->info.refs[0], &a));
  CLEANUP(buf_done) Buf content = BUF_INIT;
  CLEANUP(store_resolve_done) StoreResolved file = STORE_RESOLVED_INIT;
  CHECK_OK(store_resolve(store, &b, SPAN(""), &file, &err), &err);
  CHECK_OK(store_resolve_read(store, &file, 0, &content, &err), &err);
  CHECK_STR(buf_span(&content), "2");
  store_free(store); // flushes
  store = store_fixture_open("s");
  CHECK(store_fixture_valid(store, &a));
  CHECK(store_fixture_valid(store, &b));
  StorePathList referrers = STORE_PATH_LIST_INIT;
  CHECK_OK(store_referrers(store, &a, &referrers, &err), &err);
  CHECK_EQ_INT(referrers.count, 1);
  CHECK(store_path_eq(&referrers.paths[0], &b));
  store_path_list_done(&referrers);
  store_free(store);
}

TEST(text_with_invalid_reference) {
  Err err = ERR_INIT;
  Store *store = store_fixture_open("s");
  StorePath other, path;
  CHECK_OK(store_path_parse_base(SPAN("00000000000000000000000000000000-nope"), &other, &err), &err);
  CHECK_OK(store_add_text(store, SPAN("a"), SPAN("1"), &other, 1, &path, &err), &err);
  CHECK_ERR(store_flush(store, &err), &err, ERR_NOT_FOUND,
            "00000000000000000000000000000000-nope', which is not valid");
  CHECK(!store_fixture_valid(store, &path));
  store_free(store);
}

TEST(closures) {
  Err err = ERR_INIT;
  enum { COUNT = 300 };
  Store *store = store_fixture_open("s");
  StorePath paths[COUNT];
  uint64_t rng = test_seed();
  bool reach[COUNT] = {false}; // from the last, by a naive search
  size_t refs_of[COUNT][4], ref_counts[COUNT];
  for (size_t i = 0; i < COUNT; i++) {
    StorePath refs[4];
    char name[32];
    ref_counts[i] = i < 4 ? 0 : (size_t)test_random_below(&rng, 4);
    for (size_t r = 0; r < ref_counts[i]; r++) {
      refs_of[i][r] = (size_t)test_random_below(&rng, i);
      refs[r] = paths[refs_of[i][r]];
    }
    snprintf(name, sizeof(name), "p%zu", i);
    paths[i] = store_fixture_text(store, name, name, refs, ref_counts[i]);
  }
  reach[COUNT - 1] = true;
  size_t want = 0;
  for (size_t i = COUNT; i-- > 0;) {
    want += reach[i];
    for (size_t r = 0; reach[i] && r < ref_counts[i]; r++) reach[refs_of[i][r]] = true;
  }
  StorePathList closure = STORE_PATH_LIST_INIT, ordered = STORE_PATH_LIST_INIT, back = STORE_PATH_LIST_INIT;
  CHECK_OK(store_closure(store, &paths[COUNT - 1], 1, NULL, &closure, &err), &err);
  CHECK_EQ_INT(closure.count, want);
  CHECK_OK(store_closure(store, &paths[COUNT - 1], 1, &(StoreClosureOptions){.topological = true}, &ordered, &err),
           &err);
  CHECK_EQ_INT(ordered.count, want);
  for (size_t i = 0; i < ordered.count; i++) { // references come first
    CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *record = NULL;
    CHECK_OK(store_get(store, &ordered.paths[i], &record, &err), &err);
    for (size_t r = 0; r < record->info.ref_count; r++) {
      bool before = false;
      for (size_t k = 0; k < i; k++) before = before || store_path_eq(&ordered.paths[k], &record->info.refs[r]);
      CHECK(before);
    }
  }
  uint64_t sizes[COUNT];
  CHECK_OK(store_closure_sizes(store, paths, COUNT, sizes, &err), &err);
  for (size_t i = 0; i < COUNT; i += 7) {
    uint64_t bytes;
    size_t count;
    CHECK_OK(store_closure_size(store, &paths[i], &bytes, &count, &err), &err);
    CHECK_EQ_INT(sizes[i], bytes);
  }
  CHECK_OK(store_closure(store, &paths[0], 1, &(StoreClosureOptions){.referrers = true}, &back, &err), &err);
  for (size_t i = 0; i < back.count; i++) {
    StorePathList forward = STORE_PATH_LIST_INIT;
    bool has = false;
    CHECK_OK(store_closure(store, &back.paths[i], 1, NULL, &forward, &err), &err);
    for (size_t k = 0; k < forward.count; k++) has = has || store_path_eq(&forward.paths[k], &paths[0]);
    CHECK(has);
    store_path_list_done(&forward);
  }
  store_path_list_done(&closure);
  store_path_list_done(&ordered);
  store_path_list_done(&back);
  store_free(store);
}

TEST(outputs_are_placed_and_linked) {
  Err err = ERR_INIT;
  Store *store = store_fixture_open("s");
  StorePath a = store_fixture_output(store, '0', "one", "#!/bin/sh\n", NULL, 0),
            b = store_fixture_output(store, '1', "two", "#!/bin/sh\n", &a, 1);
  struct stat one, two;
  CHECK(stat(test_temp_path("s/store/00000000000000000000000000000000-one/bin/run"), &one) == 0);
  CHECK(stat(test_temp_path("s/store/11111111111111111111111111111111-two/bin/run"), &two) == 0);
  CHECK_EQ_INT(one.st_ino, two.st_ino);
  CHECK_EQ_INT(one.st_mode & 07777, 0555);
  CHECK(stat(test_temp_path("s/store/00000000000000000000000000000000-one"), &one) == 0);
  CHECK_EQ_INT(one.st_mode & 07777, 0555);
  CHECK_EQ_INT(one.st_mtime, 1);
  // A second build of the same path changes nothing.
  StorePath again = store_fixture_output(store, '1', "two", "other content\n", &a, 1);
  CHECK(store_path_eq(&again, &b));
  CLEANUP(buf_done) Buf content = BUF_INIT;
  CHECK_OK(fs_read_file(test_temp_path("s/store/11111111111111111111111111111111-two/bin/run"), 0, &content, &err),
           &err);
  CHECK_STR(buf_span(&content), "#!/bin/sh\n");
  // Trees that somebody deleted come back from the objects.
  CHECK_OK(fs_remove_tree(test_temp_path("s/store/11111111111111111111111111111111-two"), &err), &err);
  store_free(store);
  store = store_fixture_open("s");
  CHECK_OK(store_materialise(store, &b, 1, &err), &err);
  CHECK(stat(test_temp_path("s/store/11111111111111111111111111111111-two/bin/run"), &one) == 0);
  CHECK_EQ_INT(one.st_ino, two.st_ino);
  store_free(store);
}

TEST(materialise_replaces_garbage) {
  Err err = ERR_INIT;
  Store *store = store_fixture_open("s");
  StorePath path = store_fixture_text(store, "t", "content", NULL, 0);
  CLEANUP(buf_done) Buf physical = BUF_INIT;
  CLEANUP(buf_done) Buf content = BUF_INIT;
  store_format_physical(store, &path, &physical);
  CHECK_OK(fs_mkdir_all(buf_cstr(&physical), 0755, &err), &err); // left by somebody who crashed
  CHECK_OK(store_materialise(store, &path, 1, &err), &err);
  CHECK_OK(fs_read_file(buf_cstr(&physical), 0, &content, &err), &err);
  CHECK_STR(buf_span(&content), "content");
  StorePath absent = path;
  absent.digest[3] ^= 1;
  CHECK_ERR(store_materialise(store, &absent, 1, &err), &err, ERR_NOT_FOUND, "is not valid");
  store_free(store);
}

// Small files get their trees with the commit; what stood at their place is replaced, and a process with another mask makes the same.
TEST(trees_with_the_commit) {
  Err err = ERR_INIT;
  Store *store = store_fixture_open("s");
  store_want_trees(store, true);
  umask(077);
  StorePath a = store_fixture_text(store, "a", "content of a", NULL, 0);
  StorePath b = store_fixture_text(store, "b", "content of b", &a, 1);
  CLEANUP(buf_done) Buf physical = BUF_INIT;
  CLEANUP(buf_done) Buf content = BUF_INIT;
  store_format_physical(store, &b, &physical);
  CHECK_OK(fs_mkdir_all(buf_cstr(&physical), 0755, &err), &err);
  CHECK_OK(store_flush(store, &err), &err);
  struct stat st;
  CHECK(lstat(buf_cstr(&physical), &st) == 0);
  CHECK_EQ_INT(st.st_mode, S_IFREG | 0444);
  CHECK_EQ_INT(st.st_mtime, 1);
  CHECK_OK(fs_read_file(buf_cstr(&physical), 0, &content, &err), &err);
  CHECK_STR(buf_span(&content), "content of b");
  CHECK_OK(fs_mkdir_all(test_temp_path("t/d"), 0755, &err), &err);
  StorePath tree = store_fixture_tree(store, "tree", test_temp_path("t"));
  StorePath paths[] = {a, b, tree};
  CHECK_OK(store_materialise(store, paths, ARRAY_LEN(paths), &err), &err);
  store_free(store);
  // The flags are in the database: nothing is made again, except what somebody has removed.
  store = store_fixture_open("s");
  ino_t before = st.st_ino;
  CHECK_OK(store_materialise(store, paths, ARRAY_LEN(paths), &err), &err);
  CHECK(lstat(buf_cstr(&physical), &st) == 0);
  CHECK_EQ_INT(st.st_ino, before);
  CHECK(unlink(buf_cstr(&physical)) == 0);
  store_free(store);
  store = store_fixture_open("s");
  CHECK_OK(store_materialise(store, paths, ARRAY_LEN(paths), &err), &err);
  CHECK(lstat(buf_cstr(&physical), &st) == 0);
  CHECK_EQ_INT(st.st_mode, S_IFREG | 0444);
  CHECK_EQ_INT(st.st_mtime, 1);
  store_free(store);
}

TEST(resolve_in_castore_and_on_disk) {
  Err err = ERR_INIT;
  CHECK_OK(fs_mkdir_all(test_temp_path("t/d"), 0755, &err), &err);
  CHECK_OK(fs_write_file_atomic(test_temp_path("t/d/f"), SPAN("deep"), 0755, false, &err), &err);
  CHECK(symlink("d", test_temp_path("t/l")) == 0);
  CLEANUP(buf_done) Buf out = BUF_INIT;
  const char *const add[] = {"nix-store", "--store", test_temp_path("cpp"), "--add", test_temp_path("t"), NULL};
  store_fixture_nix(add, &out); // the lower layer
  for (unsigned lower = 0; lower < 2; lower++) {
    Store *store = store_fixture_open(lower ? "cpp/nix" : "s");
    StorePath path;
    if (lower) CHECK_OK(store_parse_path(store, span_trim(buf_span(&out)), &path, &err), &err);
    else path = store_fixture_tree(store, "t", test_temp_path("t"));
    static const struct {
      const char *rest;
      bool found;
      CastoreKind kind;
      const char *left;
    } cases[] = {{"", true, CASTORE_DIRECTORY, ""},    {"/d/f", true, CASTORE_FILE, ""},
                 {"/l", true, CASTORE_SYMLINK, ""},    {"/l/f", true, CASTORE_SYMLINK, "/f"},
                 {"/d/f/x", true, CASTORE_FILE, "/x"}, {"/d/none", false, 0, NULL},
                 {"/none/x", false, 0, NULL}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
      CLEANUP(store_resolve_done) StoreResolved got = STORE_RESOLVED_INIT;
      test_note("%s %s", lower ? "lower" : "own", cases[i].rest);
      CHECK_OK(store_resolve(store, &path, span_cstr(cases[i].rest), &got, &err), &err);
      CHECK_EQ_INT(got.found, cases[i].found);
      if (!got.found) continue;
      CHECK_EQ_INT(got.kind, cases[i].kind);
      CHECK_STR(got.rest, cases[i].left);
      if (got.kind == CASTORE_SYMLINK) CHECK_STR(got.target, "d");
      if (got.kind == CASTORE_FILE && got.rest.len == 0) {
        CLEANUP(buf_done) Buf content = BUF_INIT;
        CHECK(got.executable);
        CHECK_OK(store_resolve_read(store, &got, 0, &content, &err), &err);
        CHECK_STR(buf_span(&content), "deep");
      }
      if (got.kind == CASTORE_DIRECTORY) {
        CLEANUP(arena_done) Arena arena = ARENA_INIT;
        StoreDirEntry *entries;
        size_t count;
        CHECK_OK(store_resolve_list(store, &got, &arena, &entries, &count, &err), &err);
        CHECK_EQ_INT(count, 2);
        CHECK_STR(entries[0].name, "d");
        CHECK_EQ_INT(entries[1].kind, CASTORE_SYMLINK);
      }
    }
    store_free(store);
  }
}

TEST(lower_layer_is_read_and_left_alone) {
  Err err = ERR_INIT;
  CHECK_OK(fs_write_file_atomic(test_temp_path("dep"), SPAN("lower content"), 0644, false, &err), &err);
  CLEANUP(buf_done) Buf out = BUF_INIT;
  const char *const add[] = {"nix-store", "--store", test_temp_path("cpp"), "--add", test_temp_path("dep"), NULL};
  store_fixture_nix(add, &out);
  Store *store = store_fixture_open("cpp/nix");
  StorePath lower, same;
  CHECK_OK(store_parse_path(store, span_trim(buf_span(&out)), &lower, &err), &err);
  CHECK(store_fixture_valid(store, &lower));
  same = store_fixture_tree(store, "dep", test_temp_path("dep"));
  CHECK(store_path_eq(&same, &lower));
  StorePath upper = store_fixture_output(store, '2', "upper", "uses it", &lower, 1);
  StorePathList closure = STORE_PATH_LIST_INIT;
  CHECK_OK(store_closure(store, &upper, 1, NULL, &closure, &err), &err);
  CHECK_EQ_INT(closure.count, 2);
  store_path_list_done(&closure);
  CLEANUP(buf_done) Buf nar = BUF_INIT;
  ByteSink sink = byte_stream_to_buf(&nar);
  CHECK_OK(store_dump(store, &lower, &sink, &err), &err);
  CHECK(nar.len > 100);
  CHECK_OK(store_materialise(store, &lower, 1, &err), &err);
  store_free(store);
  // The other Nix keeps what we depend on.
  CLEANUP(buf_done) Buf command = BUF_INIT;
  // It gives up where a process of the machine has a descriptor with an overlong name; then it has deleted nothing.
  buf_printf(&command, "nix-store --store '%s' --gc || test $? = 1", test_temp_path("cpp"));
  const char *const gc[] = {"sh", "-c", buf_cstr(&command), NULL};
  store_fixture_nix(gc, &out);
  store = store_fixture_open("cpp/nix");
  CHECK(store_fixture_valid(store, &lower));
  CHECK_OK(store_materialise(store, &upper, 1, &err), &err); // its tree was unknown to that collector
  CHECK(fs_exists(test_temp_path("cpp/nix/store/22222222222222222222222222222222-upper/bin/run")));
  store_free(store);
}

TEST(expected_hash) {
  Err err = ERR_INIT;
  Store *store = store_fixture_open("s");
  StorePath path;
  Hash wrong = {.algo = HASH_SHA256};
  Span rest = SPAN("downloaded");
  ByteSource source = byte_stream_from_span(&rest);
  StoreAddOptions options = {.method = CA_FLAT, .algo = HASH_SHA256, .expected = &wrong};
  CHECK_ERR(store_add_stream(store, SPAN("d"), &source, false, &options, &path, &err), &err, ERR_HASH_MISMATCH,
            "hash mismatch in path 'd'");
  Hash right;
  hash_of(HASH_SHA256, SPAN("downloaded"), &right);
  options.expected = &right;
  rest = SPAN("downloaded");
  CHECK_OK(store_add_stream(store, SPAN("d"), &source, false, &options, &path, &err), &err);
  CHECK(store_fixture_valid(store, &path));
  store_free(store);
}

TEST(add_nar_checks) {
  Err err = ERR_INIT;
  Store *from = store_fixture_open("from"), *to = store_fixture_open("to");
  StorePath path = store_fixture_output(from, '3', "x", "hello", NULL, 0);
  CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *record = NULL;
  CHECK_OK(store_get(from, &path, &record, &err), &err);
  CLEANUP(buf_done) Buf nar = BUF_INIT;
  ByteSink sink = byte_stream_to_buf(&nar);
  CHECK_OK(store_dump(from, &path, &sink, &err), &err);
  PathInfo bad = record->info;
  bad.nar_sha256[0] ^= 1;
  Span rest = buf_span(&nar);
  ByteSource source = byte_stream_from_span(&rest);
  CHECK_ERR(store_add_nar(to, &bad, &source, false, false, &err), &err, ERR_HASH_MISMATCH,
            "hash mismatch importing path");
  CHECK(!store_fixture_valid(to, &path));
  rest = buf_span(&nar);
  CHECK_OK(store_add_nar(to, &record->info, &source, false, false, &err), &err);
  CHECK(store_fixture_valid(to, &path));
  store_free(from);
  store_free(to);
}

TEST(locks_exclude) {
  Err err = ERR_INIT;
  Store *store = store_fixture_open("s");
  StorePath paths[2];
  CHECK_OK(store_path_parse_base(SPAN("00000000000000000000000000000000-a"), &paths[0], &err), &err);
  CHECK_OK(store_path_parse_base(SPAN("11111111111111111111111111111111-b"), &paths[1], &err), &err);
  StoreLock *lock, *other;
  CHECK_OK(store_lock_take(store, paths, 2, true, &lock, &err), &err);
  CHECK(lock != NULL);
  CHECK_OK(store_lock_take(store, &paths[1], 1, false, &other, &err), &err);
  CHECK(other == NULL);
  int ready[2];
  CHECK(pipe(ready) == 0);
  if (fork() == 0) { // waits for the lock, then finds it free
    CHECK(write(ready[1], "x", 1) == 1);
    CHECK_OK(store_lock_take(store, &paths[0], 1, true, &other, &err), &err);
    store_lock_release(other);
    _exit(0);
  }
  char c;
  CHECK(read(ready[0], &c, 1) == 1);
  usleep(20000);
  store_lock_release(lock);
  int status;
  CHECK(wait(&status) > 0);
  CHECK_EQ_INT(status, 0);
  CHECK(!fs_exists(test_temp_path("s/store/00000000000000000000000000000000-a.lock")));
  CHECK_OK(store_lock_take(store, paths, 2, false, &lock, &err), &err);
  CHECK(lock != NULL);
  store_lock_release(lock);
  store_free(store);
}

// The power has failed between the mark in a lock file and its deletion: the file is nobody's.
TEST(lock_files_left_by_a_failure_of_power) {
  Err err = ERR_INIT;
  Store *store = store_fixture_open("s");
  StorePath path;
  CHECK_OK(store_path_parse_base(SPAN("00000000000000000000000000000000-a"), &path, &err), &err);
  const char *file = test_temp_path("s/store/00000000000000000000000000000000-a.lock");
  StoreLock *lock;
  for (int wait_for_it = 0; wait_for_it < 2; wait_for_it++) {
    CHECK_OK(fs_write_file_atomic(file, SPAN("d"), 0600, false, &err), &err);
    alarm(20);
    CHECK_OK(store_lock_take(store, &path, 1, wait_for_it, &lock, &err), &err);
    alarm(0);
    CHECK(lock != NULL);
    StoreLock *other;
    CHECK_OK(store_lock_take(store, &path, 1, false, &other, &err), &err);
    CHECK(other == NULL);
    store_lock_release(lock);
    CHECK(!fs_exists(file));
  }
  store_free(store);
}

TEST(roots) {
  Err err = ERR_INIT;
  Store *store = store_fixture_open("s");
  StorePath path = store_fixture_output(store, '4', "rooted", "x", NULL, 0);
  CHECK_OK(store_roots_add(store, &path, test_temp_path("dir/result"), &err), &err);
  CHECK(fs_exists(test_temp_path("dir/result/bin/run"))); // the link leads there
  StoreRootList list = STORE_ROOT_LIST_INIT;
  CHECK_OK(store_roots_list(store, false, &list, &err), &err);
  CHECK_EQ_INT(list.count, 2); // the link, and this process's pin
  CHECK(store_path_eq(&list.roots[0].path, &path));
  store_roots_list_done(&list);
  CHECK(unlink(test_temp_path("dir/result")) == 0);
  CHECK_OK(store_roots_list(store, false, &list, &err), &err);
  CHECK_EQ_INT(list.count, 1);
  store_roots_list_done(&list);
  CHECK_OK(fs_write_file_atomic(test_temp_path("file"), SPAN("mine"), 0644, false, &err), &err);
  CHECK_ERR(store_roots_add(store, &path, test_temp_path("file"), &err), &err, ERR_OTHER, "already exists");
  store_free(store);
}

TEST(read_only) {
  Err err = ERR_INIT;
  Store *store = store_fixture_open("s");
  StorePath path = store_fixture_text(store, "t", "content", NULL, 0), other;
  store_free(store);
  CLEANUP(buf_done) Buf url = BUF_INIT;
  buf_printf(&url, "firn:%s?read-only=true", test_temp_path("s"));
  CHECK_OK(store_open(&(StoreOptions){.url = buf_span(&url)}, &store, &err), &err);
  CHECK(store_is_read_only(store));
  CHECK(store_fixture_valid(store, &path));
  CHECK_ERR(store_add_text(store, SPAN("u"), SPAN("x"), NULL, 0, &other, &err), &err, ERR_OTHER, "read-only");
  CHECK_ERR(store_materialise(store, &path, 1, &err), &err, ERR_OTHER, "read-only");
  store_free(store);
  CHECK_ERR(store_open(&(StoreOptions){.url = SPAN("nonsense")}, &store, &err), &err, ERR_USAGE, "nonsense");
}

TEST_MAIN()
