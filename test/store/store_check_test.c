// store_check_test.c: each kind of damage is found, and repaired where the content is somewhere.
#include "store/store_check.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "harness.h"
#include "store_fixture.h"

static void note_problem(void *ctx, const char *problem, bool repaired) {
  test_note("%s%s", problem, repaired ? " (repaired)" : "");
}

static StoreCheckResult check(Store *store, bool repair) {
  Err err = ERR_INIT;
  StoreCheckResult result;
  CHECK_OK(store_check_run(store, &(StoreCheckOptions){.contents = true, .repair = repair, .report = note_problem},
                           &result, &err),
           &err);
  return result;
}

static void overwrite(const char *path) {
  struct stat st;
  CHECK(stat(path, &st) == 0 && chmod(path, 0644) == 0);
  CLEANUP(fs_close_fd) int fd = open(path, O_WRONLY);
  CHECK(fd >= 0 && pwrite(fd, "!!!!", 4, 2) == 4 && fchmod(fd, st.st_mode & 07777) == 0);
  CHECK(futimens(fd, (struct timespec[2]){{1, 0}, {1, 0}}) == 0);
}

#define RUN "s/store/88888888888888888888888888888888-x/bin/run"

static Store *make(StorePath *ret_output, StorePath *ret_text) {
  Store *store = store_fixture_open("s");
  *ret_text = store_fixture_text(store, "t", "some text that is only in a pack", NULL, 0);
  *ret_output = store_fixture_output(store, '8', "x", "#!/bin/sh\necho hello\n", ret_text, 1);
  CHECK_EQ_INT(check(store, false).problems, 0);
  return store;
}

TEST(sound_store) {
  StorePath output, text;
  Store *store = make(&output, &text);
  StoreCheckResult result = check(store, false);
  CHECK_EQ_INT(result.paths, 2);
  CHECK_EQ_INT(result.trees, 1);
  store_free(store);
}

TEST(wrong_mode) {
  StorePath output, text;
  Store *store = make(&output, &text);
  CHECK(chmod(test_temp_path(RUN), 0755) == 0);
  CHECK(check(store, false).problems > 0);
  check(store, true);
  CHECK_EQ_INT(check(store, false).problems, 0);
  store_free(store);
}

TEST(changed_tree) {
  StorePath output, text;
  Store *store = make(&output, &text);
  Err err = ERR_INIT;
  CHECK(chmod(test_temp_path("s/store/88888888888888888888888888888888-x/bin"), 0755) == 0);
  CHECK_OK(fs_write_file_atomic(test_temp_path("s/store/88888888888888888888888888888888-x/bin/more"), SPAN(""), 0444,
                                false, &err),
           &err);
  CHECK(chmod(test_temp_path("s/store/88888888888888888888888888888888-x/bin"), 0555) == 0);
  CHECK(check(store, false).problems > 0);
  StoreCheckResult result = check(store, true);
  CHECK_EQ_INT(result.repaired, result.problems);
  CHECK(!fs_exists(test_temp_path("s/store/88888888888888888888888888888888-x/bin/more")));
  CHECK_EQ_INT(check(store, false).problems, 0);
  store_free(store);
}

TEST(bit_rot_in_a_shared_file) { // tree and object are one file: only another place can help
  StorePath output, text;
  Store *store = make(&output, &text);
  Err err = ERR_INIT;
  Store *other = store_fixture_open("other");
  store_fixture_output(other, '8', "x", "#!/bin/sh\necho hello\n", NULL, 0);
  overwrite(test_temp_path(RUN));
  CHECK(check(store, false).problems > 0);
  StoreCheckResult result;
  CHECK_OK(
      store_check_run(store,
                      &(StoreCheckOptions){
                          .contents = true, .repair = true, .source = store_castore(other), .report = note_problem},
                      &result, &err),
      &err);
  CHECK_EQ_INT(check(store, false).problems, 0);
  CLEANUP(buf_done) Buf content = BUF_INIT;
  CHECK_OK(fs_read_file(test_temp_path(RUN), 0, &content, &err), &err);
  CHECK_STR(buf_span(&content), "#!/bin/sh\necho hello\n");
  store_free(other);
  store_free(store);
}

TEST(lost_object_comes_back_from_the_tree) {
  StorePath output, text;
  Store *store = make(&output, &text);
  Err err = ERR_INIT;
  CLEANUP(buf_done) Buf path = BUF_INIT;
  CastoreDigest digest;
  hash_blake3(SPAN("#!/bin/sh\necho hello\n"), digest.bytes);
  object_store_format_path(store_objects(store), &digest, true, &path);
  CHECK(unlink(buf_cstr(&path)) == 0);
  CHECK(check(store, false).problems > 0);
  check(store, true);
  CHECK_EQ_INT(check(store, false).problems, 0);
  CHECK_OK(fs_remove_tree(test_temp_path("s/store/88888888888888888888888888888888-x"), &err), &err);
  CHECK_OK(store_materialise(store, &output, 1, &err), &err);
  store_free(store);
}

// The file of one path's tree is the object that another path, without a tree, needs.
TEST(shared_with_a_path_without_tree) {
  Err err = ERR_INIT;
  Store *store = store_fixture_open("s");
  CLEANUP(mem_free_ptr) char *large = mem_alloc_zero(100000);
  CHECK_OK(fs_mkdir_all(test_temp_path("a"), 0755, &err), &err);
  CHECK_OK(fs_mkdir_all(test_temp_path("b"), 0755, &err), &err);
  CHECK_OK(fs_write_file_atomic(test_temp_path("a/f"), span_make(large, 100000), 0644, false, &err), &err);
  CHECK_OK(fs_write_file_atomic(test_temp_path("b/g"), span_make(large, 100000), 0644, false, &err), &err);
  StorePath tree = store_fixture_tree(store, "a", test_temp_path("a"));
  store_fixture_tree(store, "b", test_temp_path("b"));
  CHECK_OK(store_materialise(store, &tree, 1, &err), &err);
  for (int contents = 0; contents < 2; contents++) {
    StoreCheckResult result;
    CHECK_OK(store_check_run(store, &(StoreCheckOptions){.contents = contents, .report = note_problem}, &result, &err),
             &err);
    CHECK_EQ_INT(result.problems, 0);
    CHECK_EQ_INT(result.trees, 1);
    CHECK(result.bytes >= 100000);
  }
  store_free(store);
}

TEST(one_path) {
  StorePath output, text;
  Store *store = make(&output, &text);
  Err err = ERR_INIT;
  bool ok;
  CLEANUP(buf_done) Buf why = BUF_INIT;
  CHECK_OK(store_check_path(store, &output, &ok, &why, &err), &err);
  CHECK(ok);
  CHECK_OK(store_check_path(store, &text, &ok, &why, &err), &err);
  CHECK(ok);
  overwrite(test_temp_path(RUN));
  CHECK_OK(store_check_path(store, &output, &ok, &why, &err), &err);
  CHECK(!ok);
  CHECK_CONTAINS(buf_span(&why), "was modified! expected hash 'sha256:");
  store_free(store);
}

TEST_MAIN()
