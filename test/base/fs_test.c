#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"

static void write_file(const char *path, const char *text) {
  Err err = ERR_INIT;
  CHECK_OK(fs_write_file_atomic(path, span_cstr(text), 0644, false, &err), &err);
}

static void make_small_tree(const char *path) {
  Err err = ERR_INIT;
  Buf sub = BUF_INIT;
  fs_path_join(&sub, span_cstr(path), SPAN("a/b"));
  CHECK_OK(fs_mkdir_all(buf_cstr(&sub), 0755, &err), &err);
  buf_put_cstr(&sub, "/file");
  write_file(buf_cstr(&sub), "x");
  buf_done(&sub);
}

TEST(write_then_read) {
  Err err = ERR_INIT;
  Buf content = BUF_INIT;
  const char *path = test_temp_path("file");
  CHECK_OK(fs_write_file_atomic(path, SPAN("a\0b"), 0640, true, &err), &err);
  buf_put_cstr(&content, "kept|");
  CHECK_OK(fs_read_file(path, 0, &content, &err), &err);
  CHECK_SPAN(buf_span(&content), SPAN("kept|a\0b"));
  struct stat st;
  CHECK(stat(path, &st) == 0);
  CHECK_EQ_INT(st.st_mode & 07777, 0640);
  CHECK_OK(fs_write_file_atomic(path, SPAN(""), 0600, false, &err), &err);
  buf_clear(&content);
  CHECK_OK(fs_read_file(path, 0, &content, &err), &err);
  CHECK_EQ_INT(content.len, 0);
  buf_done(&content);
}

TEST(failed_atomic_write_leaves_nothing) {
  Err err = ERR_INIT;
  const char *dir = test_temp_path("d");
  CHECK_OK(fs_mkdir_all(test_temp_path("d/target"), 0755, &err), &err);
  // A directory cannot be replaced by a file, so the last step fails.
  CHECK_ERR(fs_write_file_atomic(test_temp_path("d/target"), SPAN("x"), 0644, false, &err), &err, ERR_IO, "renaming");
  CHECK(rmdir(test_temp_path("d/target")) == 0);
  CHECK(rmdir(dir) == 0);
}

// Whatever call fails: the file has its old or its new content, and no temporary file stays. Only with the last steps (syncing
// the folder) failing may the content be new and the result an error.
static bool attempt_atomic_write(void *ctx) {
  Err err = ERR_INIT;
  const char *path = ctx;
  bool ok = fs_write_file_atomic(path, SPAN("new"), 0644, true, &err);
  fault_pause();
  CHECK(ok != err_is_set(&err));
  Buf content = BUF_INIT;
  err_done(&err);
  CHECK_OK(fs_read_file(path, 0, &content, &err), &err);
  if (ok) CHECK_STR(buf_span(&content), "new");
  else CHECK(span_eq(buf_span(&content), SPAN("old")) || span_eq(buf_span(&content), SPAN("new")));
  buf_done(&content);
  DIR *dir = opendir(test_temp_path("d"));
  int entries = 0;
  while (readdir(dir)) entries++;
  closedir(dir);
  CHECK_EQ_INT(entries, 3);
  write_file(path, "old");
  return ok;
}

TEST(every_call_of_an_atomic_write_may_fail) {
  Err err = ERR_INIT;
  CHECK_OK(fs_mkdir_all(test_temp_path("d"), 0755, &err), &err);
  const char *path = test_temp_path("d/file");
  write_file(path, "old");
  CHECK(fault_each(ENOSPC, attempt_atomic_write, (void *)path) >= 5);
  CHECK(fault_each(EINTR, attempt_atomic_write, (void *)path) >= 5);
}

static bool attempt_remove(void *ctx) {
  Err err = ERR_INIT;
  const char *path = ctx;
  bool ok = fs_remove_tree(path, &err);
  fault_pause();
  CHECK(ok != err_is_set(&err));
  CHECK(ok == !fs_exists(path));
  // The message names something in the tree that it was about, or the tree.
  if (!ok) CHECK_CONTAINS(span_cstr(err_message(&err)), "tree");
  err_done(&err);
  make_small_tree(path);
  return ok;
}

TEST(every_call_of_a_removal_may_fail) {
  const char *path = test_temp_path("tree");
  make_small_tree(path);
  CHECK(fault_each(EIO, attempt_remove, (void *)path) >= 6);
}

TEST(errors_name_the_path) {
  Err err = ERR_INIT;
  Buf content = BUF_INIT;
  CHECK_ERR(fs_read_file(test_temp_path("absent"), 0, &content, &err), &err, ERR_NOT_FOUND, "absent': No such file");
  CHECK_ERR(fs_read_file(test_temp_dir(), 0, &content, &err), &err, ERR_IO, "firn-test");
  CHECK_ERR(fs_read_link(test_temp_path("absent"), &content, &err), &err, ERR_NOT_FOUND, "absent");
  buf_done(&content);
}

TEST(limits_hold_for_files_and_streams) {
  Err err = ERR_INIT;
  Buf content = BUF_INIT;
  const char *path = test_temp_path("file");
  write_file(path, "12345");
  CHECK_OK(fs_read_file(path, 5, &content, &err), &err);
  CHECK_ERR(fs_read_file(path, 4, &content, &err), &err, ERR_LIMIT, "limit of 4 bytes");
  // /proc files have no size: the limit must hold while reading.
  CHECK_ERR(fs_read_file("/proc/self/maps", 10, &content, &err), &err, ERR_LIMIT, "limit of 10 bytes");
  buf_clear(&content);
  CHECK_OK(fs_read_file("/proc/self/maps", 0, &content, &err), &err);
  CHECK(content.len > 10);
  buf_done(&content);
}

TEST(read_full_stops_at_the_end) {
  Err err = ERR_INIT;
  write_file(test_temp_path("file"), "12345");
  CLEANUP(fs_close_fd) int fd = -1;
  CHECK_OK(fs_open(test_temp_path("file"), O_RDONLY, 0, &fd, &err), &err);
  char data[8];
  size_t len;
  CHECK_OK(fs_read_full(fd, data, 3, &len, &err), &err);
  CHECK_SPAN(span_make(data, len), SPAN("123"));
  CHECK_OK(fs_read_full(fd, data, 8, &len, &err), &err);
  CHECK_SPAN(span_make(data, len), SPAN("45"));
}

TEST(a_full_device_is_an_error) {
  Err err = ERR_INIT;
  CLEANUP(fs_close_fd) int fd = -1;
  CHECK_OK(fs_open("/dev/full", O_WRONLY, 0, &fd, &err), &err);
  CHECK_ERR(fs_write_all(fd, SPAN("x"), &err), &err, ERR_IO, "No space left");
}

TEST(mkdir_all) {
  Err err = ERR_INIT;
  CHECK_OK(fs_mkdir_all(test_temp_path("a/b//c/"), 0755, &err), &err);
  CHECK_OK(fs_mkdir_all(test_temp_path("a/b/c"), 0755, &err), &err);
  CHECK(fs_exists(test_temp_path("a/b/c")));
  CHECK(symlink("a", test_temp_path("link")) == 0);
  CHECK_OK(fs_mkdir_all(test_temp_path("link"), 0755, &err), &err);
  CHECK_OK(fs_mkdir_all(test_temp_path("link/b/d"), 0755, &err), &err);
  CHECK(fs_exists(test_temp_path("a/b/d")));
  write_file(test_temp_path("file"), "");
  CHECK_ERR(fs_mkdir_all(test_temp_path("file"), 0755, &err), &err, ERR_IO, "file': File exists");
  CHECK_ERR(fs_mkdir_all(test_temp_path("file/x"), 0755, &err), &err, ERR_IO, "Not a directory");
}

TEST(remove_follows_no_link) {
  Err err = ERR_INIT;
  CHECK_OK(fs_mkdir_all(test_temp_path("tree/sub"), 0755, &err), &err);
  CHECK_OK(fs_mkdir_all(test_temp_path("outside"), 0755, &err), &err);
  write_file(test_temp_path("outside/kept"), "x");
  CHECK(symlink("../outside", test_temp_path("tree/link")) == 0);
  CHECK(symlink("nowhere", test_temp_path("tree/sub/dangling")) == 0);
  CHECK(mkfifo(test_temp_path("tree/fifo"), 0600) == 0);
  CHECK_OK(fs_remove_tree(test_temp_path("tree"), &err), &err);
  CHECK(!fs_exists(test_temp_path("tree")));
  CHECK(fs_exists(test_temp_path("outside/kept")));
  CHECK_OK(fs_remove_tree(test_temp_path("tree"), &err), &err);
  CHECK(symlink("outside", test_temp_path("top-link")) == 0);
  CHECK_OK(fs_remove_tree(test_temp_path("top-link"), &err), &err);
  CHECK(fs_exists(test_temp_path("outside/kept")));
}

static void drop_privileges(void) {
  CHECK(chown(test_temp_dir(), 65534, 65534) == 0);
  CHECK(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
}

// As root permissions do not matter; so the test gives them up where it has them.
TEST(remove_makes_directories_writable) {
  Err err = ERR_INIT;
  if (geteuid() == 0) drop_privileges();
  CHECK_OK(fs_mkdir_all(test_temp_path("tree/unreadable/x"), 0755, &err), &err);
  CHECK_OK(fs_mkdir_all(test_temp_path("tree/unwritable"), 0755, &err), &err);
  write_file(test_temp_path("tree/unwritable/file"), "");
  CHECK(chmod(test_temp_path("tree/unwritable/file"), 0) == 0);
  CHECK(chmod(test_temp_path("tree/unwritable"), 0555) == 0);
  CHECK(chmod(test_temp_path("tree/unreadable"), 0) == 0);
  CHECK(chmod(test_temp_path("tree"), 0500) == 0);
  CHECK_OK(fs_remove_tree(test_temp_path("tree"), &err), &err);
  CHECK(!fs_exists(test_temp_path("tree")));
}

TEST(remove_reports_what_it_could_not) {
  Err err = ERR_INIT;
  if (geteuid() == 0) drop_privileges();
  CHECK_ERR(fs_remove_tree("/proc/self/status", &err), &err, ERR_IO, "status");
}

// Deeper than any path limit and than any number of descriptors: 1,200 levels, two branches at each hundredth.
TEST(remove_a_deep_tree) {
  Err err = ERR_INIT;
  CLEANUP(fs_close_fd) int at = -1;
  CHECK_OK(fs_mkdir_all(test_temp_path("tree"), 0755, &err), &err);
  CHECK_OK(fs_open(test_temp_path("tree"), O_RDONLY | O_DIRECTORY, 0, &at, &err), &err);
  for (int level = 0; level < 1200; level++) {
    CHECK(mkdirat(at, "deep", 0755) == 0);
    if (level % 100 == 0) CHECK(mkdirat(at, "e", 0755) == 0);
    int next = openat(at, "deep", O_RDONLY | O_DIRECTORY);
    CHECK(next >= 0);
    close(at);
    at = next;
  }
  CHECK_OK(fs_remove_tree(test_temp_path("tree"), &err), &err);
  CHECK(!fs_exists(test_temp_path("tree")));
}

TEST(listings_are_sorted_and_typed) {
  Err err = ERR_INIT;
  CHECK_OK(fs_mkdir_all(test_temp_path("d/Sub"), 0755, &err), &err);
  for (int i = 0; i < 500; i++) {
    char name[32];
    snprintf(name, sizeof name, "d/f%d", i);
    write_file(test_temp_path(name), "");
  }
  CHECK(symlink("x", test_temp_path("d/\xff")) == 0);
  FsList list = FS_LIST_INIT;
  CHECK_OK(fs_list_dir(test_temp_path("d"), &list, &err), &err);
  CHECK_EQ_INT(list.count, 502);
  CHECK_STR(span_cstr(list.entries[0].name), "Sub");
  CHECK_EQ_INT(list.entries[0].type, DT_DIR);
  CHECK_STR(span_cstr(list.entries[1].name), "f0");
  CHECK_STR(span_cstr(list.entries[2].name), "f1");
  CHECK_STR(span_cstr(list.entries[3].name), "f10");
  CHECK_EQ_INT(list.entries[501].type, DT_LNK);
  for (size_t i = 1; i < list.count; i++) CHECK(strcmp(list.entries[i - 1].name, list.entries[i].name) < 0);
  fs_list_done(&list);
  // By descriptor, again and again.
  CLEANUP(fs_close_fd) int fd = -1;
  CHECK_OK(fs_open(test_temp_path("d"), O_RDONLY | O_DIRECTORY, 0, &fd, &err), &err);
  for (int i = 0; i < 2; i++) {
    CHECK_OK(fs_list_dir_fd(fd, "d", &list, &err), &err);
    CHECK_EQ_INT(list.count, 502);
    fs_list_done(&list);
  }
  CHECK_ERR(fs_list_dir(test_temp_path("absent"), &list, &err), &err, ERR_NOT_FOUND, "absent");
  CHECK_ERR(fs_list_dir(test_temp_path("d/f0"), &list, &err), &err, ERR_IO, "f0': Not a directory");
  CHECK_ERR(fs_list_dir_fd(-1, "closed", &list, &err), &err, ERR_IO, "listing 'closed'");
}

TEST(read_link_of_any_length) {
  Err err = ERR_INIT;
  static const size_t lengths[] = {1, 255, 256, 257, 511, 512, 4000};
  for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
    Buf target = BUF_INIT, seen = BUF_INIT;
    buf_put_repeat(&target, 't', lengths[i]);
    const char *path = test_temp_path("link");
    CHECK(symlink(buf_cstr(&target), path) == 0);
    CHECK_OK(fs_read_link(path, &seen, &err), &err);
    CHECK_SPAN(buf_span(&seen), buf_span(&target));
    CHECK(unlink(path) == 0);
    buf_done(&target);
    buf_done(&seen);
  }
}

TEST(temp_dirs_differ_and_are_private) {
  Err err = ERR_INIT;
  Buf a = BUF_INIT, b = BUF_INIT;
  CHECK_OK(fs_make_temp_dir(test_temp_dir(), "x", &a, &err), &err);
  CHECK_OK(fs_make_temp_dir(test_temp_dir(), "x", &b, &err), &err);
  CHECK(!span_eq(buf_span(&a), buf_span(&b)));
  struct stat st;
  CHECK(stat(buf_cstr(&a), &st) == 0);
  CHECK_EQ_INT(st.st_mode & 07777, 0700);
  buf_clear(&b);
  CHECK_ERR(fs_make_temp_dir(test_temp_path("absent"), "x", &b, &err), &err, ERR_NOT_FOUND, "absent");
  buf_done(&a);
  buf_done(&b);
}

static void check_canon(const char *base, const char *path, const char *want) {
  Buf canon = BUF_INIT;
  buf_put_cstr(&canon, "../before"); // what is there already is not touched
  fs_path_canon(span_cstr(base), span_cstr(path), &canon);
  CHECK_STR(span_from(buf_span(&canon), strlen("../before")), want);
  buf_done(&canon);
}

TEST(canonical_paths) {
  check_canon("/", "/", "/");
  check_canon("/", "", "/");
  check_canon("/b", "", "/b");
  check_canon("/b", "x", "/b/x");
  check_canon("/b/c/", "../x", "/b/x");
  check_canon("/b", "../../../x", "/x");
  check_canon("/b", "..", "/");
  check_canon("/b", "/..", "/");
  check_canon("/b", "//a/./b//c/../d/", "/a/b/d");
  check_canon("/b", "/...", "/...");
  check_canon("/b", "/.a/..b", "/.a/..b");
}

TEST(path_text) {
  CHECK_STR(fs_path_base(SPAN("/a/b")), "b");
  CHECK_STR(fs_path_base(SPAN("b")), "b");
  CHECK_STR(fs_path_dir(SPAN("/a/b")), "/a");
  CHECK_STR(fs_path_dir(SPAN("/a")), "/");
  CHECK_STR(fs_path_dir(SPAN("a")), ".");
  Buf joined = BUF_INIT;
  fs_path_join(&joined, SPAN("/a/"), SPAN("/b"));
  CHECK_STR(buf_span(&joined), "/a/b");
  buf_clear(&joined);
  fs_path_join(&joined, SPAN("/"), SPAN("b"));
  CHECK_STR(buf_span(&joined), "/b");
  buf_done(&joined);
}

TEST_MAIN()
