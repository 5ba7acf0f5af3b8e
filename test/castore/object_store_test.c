// object_store_test.c: what is not covered by the contracts: several processes, sweeping, packs, placing, damage.
#include "castore/object_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "castore/digest_set.h"
#include "castore/object_check.h"
#include "castore/object_sweep.h"
#include "harness.h"

static ObjectStore *open_store(void) {
  Err err = ERR_INIT;
  ObjectStore *store;
  CHECK_OK(object_store_open(test_temp_path("store"), &(ObjectStoreOptions){.no_sync = true}, &store, &err), &err);
  return store;
}

static CastoreDigest digest_of(Span data) {
  CastoreDigest digest;
  hash_blake3(data, digest.bytes);
  return digest;
}

static CastoreDigest put(ObjectStore *store, Span data) {
  Err err = ERR_INIT;
  CastoreDigest digest = digest_of(data);
  CHECK_OK(object_store_put(store, &digest, PACK_BLOB, data, &err), &err);
  return digest;
}

static bool has(ObjectStore *store, const CastoreDigest *digest) {
  Err err = ERR_INIT;
  ObjectRef ref;
  CHECK_OK(object_store_find(store, digest, PACK_BLOB, &ref, &err), &err);
  bool found = ref.found;
  object_store_release(&ref);
  return found;
}

static void number_text(unsigned i, char ret[32]) {
  snprintf(ret, 32, "content %u", i);
}

TEST(many_flushes_make_few_packs) {
  Err err = ERR_INIT;
  ObjectStore *store = open_store();
  char text[32];
  for (unsigned i = 0; i < 200; i++) {
    number_text(i, text);
    put(store, span_cstr(text));
    CHECK_OK(object_store_flush(store, &err), &err);
  }
  ObjectStoreStats stats;
  CHECK_OK(object_store_stats(store, &stats, &err), &err);
  CHECK_EQ_INT(stats.packed_count, 200);
  CHECK(stats.pack_count <= OBJECT_SWEEP_FAN_IN + 1);
  ObjectStore *other = open_store();
  for (unsigned i = 0; i < 200; i++) {
    number_text(i, text);
    CastoreDigest digest = digest_of(span_cstr(text));
    CHECK(has(store, &digest));
    CHECK(has(other, &digest));
  }
  object_store_free(other);
  object_store_free(store);
}

TEST(processes_share_and_merge) {
  enum { PROCESSES = 6, OBJECTS = 60 };
  Err err = ERR_INIT;
  object_store_free(open_store());
  for (unsigned p = 0; p < PROCESSES; p++) {
    if (fork() != 0) continue;
    ObjectStore *store = open_store();
    char text[32];
    for (unsigned i = 0; i < OBJECTS; i++) {
      number_text((p % 3) * 1000 + i, text); // some share contents
      put(store, span_cstr(text));
      if (i % 3 == 0) CHECK_OK(object_store_flush(store, &err), &err);
      number_text((p % 3) * 1000 + i / 2, text);
      CastoreDigest digest = digest_of(span_cstr(text));
      CHECK(has(store, &digest));
    }
    CHECK_OK(object_store_flush(store, &err), &err);
    object_store_free(store);
    _exit(0);
  }
  for (unsigned p = 0; p < PROCESSES; p++) {
    int status;
    CHECK(wait(&status) > 0);
    CHECK_EQ_INT(status, 0);
  }
  ObjectStore *store = open_store();
  char text[32];
  for (unsigned p = 0; p < 3; p++)
    for (unsigned i = 0; i < OBJECTS; i++) {
      number_text(p * 1000 + i, text);
      CastoreDigest digest = digest_of(span_cstr(text));
      CHECK(has(store, &digest));
    }
  object_store_free(store);
}

static bool is_live(void *ctx, const CastoreDigest *digest, PackKind kind) {
  return digest_set_has(ctx, digest, kind);
}

static bool no_refresh(void *ctx, Err *err) {
  return true;
}

TEST(sweep_removes_exactly_the_dead) {
  Err err = ERR_INIT;
  ObjectStore *store = open_store();
  DigestSet live = DIGEST_SET_INIT;
  CLEANUP(mem_free_ptr) char *large = mem_alloc_zero(100000);
  char text[32];
  for (unsigned i = 0; i < 100; i++) {
    number_text(i, text);
    CastoreDigest digest = put(store, span_cstr(text));
    if (i % 3 == 0) (void)digest_set_add(&live, &digest, PACK_BLOB);
    if (i >= 10) continue;
    memcpy(large, text, strlen(text));
    digest = put(store, span_make(large, 100000));
    if (i % 2 == 0) (void)digest_set_add(&live, &digest, PACK_BLOB);
  }
  CHECK_OK(object_store_flush(store, &err), &err);
  ObjectSweep sweep = {.is_live = is_live, .refresh = no_refresh, .ctx = &live};
  CHECK_OK(object_sweep_run(store, &sweep, &err), &err);
  CHECK(!sweep.busy);
  CHECK_EQ_INT(sweep.freed_count, 66 + 5);
  for (unsigned i = 0; i < 100; i++) {
    number_text(i, text);
    CastoreDigest digest = digest_of(span_cstr(text));
    CHECK_EQ_INT(has(store, &digest), i % 3 == 0);
    if (i >= 10) continue;
    memcpy(large, text, strlen(text));
    digest = digest_of(span_make(large, 100000));
    CHECK_EQ_INT(has(store, &digest), i % 2 == 0);
  }
  CHECK_OK(object_sweep_run(store, &sweep, &err), &err);
  CHECK_EQ_INT(sweep.freed_count, 0);
  digest_set_done(&live);
  object_store_free(store);
}

TEST(place_links_one_file_per_content_and_mode) {
  Err err = ERR_INIT;
  ObjectStore *store = open_store();
  CastoreDigest small = put(store, SPAN("tiny"));
  CHECK_OK(object_store_flush(store, &err), &err);
  CLEANUP(fs_close_fd) int dir = -1;
  CHECK_OK(fs_open(test_temp_dir(), O_RDONLY | O_DIRECTORY, 0, &dir, &err), &err);
  static const char *const names[] = {"a", "b", "x", "y"};
  struct stat st[4];
  for (unsigned i = 0; i < 4; i++) CHECK_OK(object_store_place(store, &small, i >= 2, 4, dir, names[i], &err), &err);
  CHECK_OK(object_store_flush(store, &err), &err);
  for (unsigned i = 0; i < 4; i++) {
    CHECK(stat(test_temp_path(names[i]), &st[i]) == 0);
    CHECK_EQ_INT(st[i].st_mode & 07777, i >= 2 ? 0555 : 0444);
    CHECK_EQ_INT(st[i].st_mtime, 1);
    CHECK_EQ_INT(st[i].st_nlink, 3); // two names and the object
  }
  CHECK_EQ_INT(st[0].st_ino, st[1].st_ino);
  CHECK_EQ_INT(st[2].st_ino, st[3].st_ino);
  CastoreDigest absent = digest_of(SPAN("absent"));
  CHECK_ERR(object_store_place(store, &absent, false, 6, dir, "d", &err), &err, ERR_NOT_FOUND, "missing");
  object_store_free(store);
}

TEST(leftovers_of_dead_processes_go) {
  Err err = ERR_INIT;
  ObjectStore *store = open_store();
  CLEANUP(buf_done) Buf mine = BUF_INIT;
  CHECK_OK(object_store_scratch(store, SPAN("-mine"), &mine, &err), &err);
  CHECK_OK(fs_mkdir_all(buf_cstr(&mine), 0755, &err), &err);
  int pipe_fds[2];
  CHECK(pipe(pipe_fds) == 0);
  if (fork() == 0) {
    ObjectStore *other = open_store();
    CLEANUP(buf_done) Buf theirs = BUF_INIT;
    put(other, SPAN("never flushed"));
    CHECK_OK(object_store_scratch(other, SPAN("-theirs"), &theirs, &err), &err);
    CHECK_OK(fs_mkdir_all(buf_cstr(&theirs), 0755, &err), &err);
    CHECK(write(pipe_fds[1], theirs.data, theirs.len) == (ssize_t)theirs.len);
    _exit(9); // without cleaning up
  }
  char theirs[512] = {0};
  CHECK(read(pipe_fds[0], theirs, sizeof(theirs) - 1) > 0);
  int status;
  CHECK(wait(&status) > 0);
  CHECK(fs_exists(theirs));
  object_store_free(open_store());
  CHECK(!fs_exists(theirs));
  CHECK(fs_exists(buf_cstr(&mine)));
  object_store_free(store);
}

static bool count_problem(void *ctx, const ObjectCheckProblem *problem, Err *err) {
  ++*(unsigned *)ctx;
  return true;
}

TEST(check_finds_damage) {
  Err err = ERR_INIT;
  ObjectStore *store = open_store();
  CLEANUP(mem_free_ptr) char *large = mem_alloc_zero(100000);
  ObjectCheckStats stats;
  unsigned problems = 0;
  CastoreDigest digest = put(store, span_make(large, 100000));
  put(store, SPAN("small"));
  CHECK_OK(object_store_flush(store, &err), &err);
  CHECK_OK(object_check_run(store, true, 2, count_problem, &problems, &stats, &err), &err);
  CHECK_EQ_INT(problems, 0);
  CHECK_EQ_INT(stats.count, 2);
  CLEANUP(buf_done) Buf path = BUF_INIT;
  object_store_format_path(store, &digest, false, &path);
  CHECK(chmod(buf_cstr(&path), 0644) == 0);
  CHECK_OK(object_check_run(store, false, 1, count_problem, &problems, &stats, &err), &err);
  CHECK_EQ_INT(problems, 1);
  CHECK_OK(object_check_fix_mode(buf_cstr(&path), false, &err), &err);
  problems = 0;
  CHECK(chmod(buf_cstr(&path), 0644) == 0);
  {
    CLEANUP(fs_close_fd) int fd = open(buf_cstr(&path), O_WRONLY);
    CHECK(pwrite(fd, "!", 1, 5000) == 1);
  }
  CHECK_OK(object_check_fix_mode(buf_cstr(&path), false, &err), &err);
  CHECK_OK(object_check_run(store, false, 1, count_problem, &problems, &stats, &err), &err);
  CHECK_EQ_INT(problems, 0);
  CHECK_OK(object_check_run(store, true, 1, count_problem, &problems, &stats, &err), &err);
  CHECK_EQ_INT(problems, 1);
  object_store_free(store);
}

// Who has mapped a pack before a repair took an object out of it must not believe that it still has the object.
TEST(what_repair_drops_is_written_again) {
  Err err = ERR_INIT;
  ObjectStore *repairing = open_store();
  CastoreDigest dropped = put(repairing, SPAN("damaged")), kept = put(repairing, SPAN("sound"));
  CHECK_OK(object_store_flush(repairing, &err), &err);
  ObjectStore *importing = open_store();
  CHECK(has(importing, &dropped));
  ObjectRef ref;
  CHECK_OK(object_store_find(repairing, &dropped, PACK_BLOB, &ref, &err), &err);
  ObjectCheckProblem problem = {.digest = dropped, .kind = PACK_BLOB, .in_pack = true, .path = pack_path(ref.pack)};
  CHECK_OK(object_check_remove(repairing, &problem, &err), &err);
  object_store_release(&ref);
  CHECK(!has(repairing, &dropped) && has(repairing, &kept));
  CHECK_OK(object_store_begin(importing, &err), &err);
  put(importing, SPAN("damaged"));
  CHECK_OK(object_store_flush(importing, &err), &err);
  object_store_end(importing);
  object_store_free(importing);
  importing = open_store();
  CHECK(has(importing, &dropped) && has(importing, &kept));
  object_store_free(importing);
  object_store_free(repairing);
}

TEST(read_only_store_writes_nothing) {
  Err err = ERR_INIT;
  object_store_free(open_store());
  ObjectStore *store;
  CHECK_OK(object_store_open(test_temp_path("store"), &(ObjectStoreOptions){.read_only = true}, &store, &err), &err);
  CastoreDigest digest = digest_of(SPAN("x"));
  CHECK_ERR(object_store_put(store, &digest, PACK_BLOB, SPAN("x"), &err), &err, ERR_OTHER, "read-only");
  object_store_free(store);
}

TEST_MAIN()
