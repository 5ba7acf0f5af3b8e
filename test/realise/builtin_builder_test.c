// builtin:fetchurl and builtin:buildenv, through the scheduler. Most start no process, so these tests also run under ThreadSanitizer.
#include "realise/builtin_builder.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "castore/castore_nar.h"
#include "harness.h"
#include "realise_fixture.h"
#include "store/store_add.h"

static RealiseFixture fixture;

static void write_file(const char *path, const char *text) {
  Err err = ERR_INIT;
  CHECK_OK(fs_write_file_atomic(path, span_cstr(text), 0644, false, &err), &err);
}

static const FixtureDrv *fetch(const char *name, const char *url, const char *fixed, const char *more) {
  return realise_fixture_drv(&fixture, &(FixtureSpec){.name = name,
                                                      .builder = "builtin:fetchurl",
                                                      .system = "builtin",
                                                      .fixed = fixed,
                                                      .env = {arena_printf(&fixture.arena, "url=%s", url), more}});
}

#define HELLO "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03" // "hello\n"

TEST(fetchurl_of_a_file) {
  realise_fixture_init(&fixture);
  write_file(test_temp_path("a file"), "hello\n");
  const FixtureDrv *drv =
      fetch("x", arena_printf(&fixture.arena, "file://%s", test_temp_path("a%20file")), HELLO, NULL);
  realise_fixture_build(&fixture, drv);
  CHECK_STR(realise_fixture_read(&fixture, drv->out_text, ""), "hello\n");
  realise_fixture_done(&fixture);
}

TEST(fetchurl_failures) {
  realise_fixture_init(&fixture);
  write_file(test_temp_path("other"), "other\n");
  const char *other = arena_printf(&fixture.arena, "file://%s", test_temp_path("other"));
  realise_fixture_fails(&fixture, fetch("a", other, HELLO, NULL), ERR_HASH_MISMATCH,
                        "hash mismatch in fixed-output derivation '");
  realise_fixture_fails(&fixture, fetch("b", "file:///does/not/exist", HELLO, NULL), ERR_BUILD_FAILED,
                        "/does/not/exist': No such file");
  realise_fixture_fails(&fixture, fetch("c", other, NULL, NULL), ERR_BUILD_FAILED,
                        "'builtin:fetchurl' must be a fixed-output or impure derivation");
  const FixtureDrv *unknown =
      realise_fixture_drv(&fixture, &(FixtureSpec){.name = "d", .builder = "builtin:nonsense", .system = "builtin"});
  realise_fixture_fails(&fixture, unknown, ERR_BUILD_FAILED, "unsupported builtin builder 'nonsense'");
  realise_fixture_done(&fixture);
}

TEST(fetchurl_can_make_it_executable) {
  realise_fixture_init(&fixture);
  write_file(test_temp_path("prog"), "hello\n");
  // NAR hash of an executable file "hello\n"
  const FixtureDrv *drv =
      fetch("x", arena_printf(&fixture.arena, "file://%s", test_temp_path("prog")),
            "r:sha256:0000000000000000000000000000000000000000000000000000000000000000", "executable=1");
  Err err = ERR_INIT;
  bool ok = realise_fixture_wait(&fixture, realise_fixture_want(&fixture, drv), &err);
  CHECK(!ok);
  CHECK_EQ_INT(err.kind, ERR_HASH_MISMATCH);
  // The hash of the NAR, as nix-hash --type sha256 --sri of such a file says.
  CHECK_CONTAINS(span_cstr(err_message(&err)), "got:    sha256-");
  err_done(&err);
  realise_fixture_done(&fixture);
}

static void run(const char *command) {
  Err err = ERR_INIT;
  const char *argv[] = {"/bin/sh", "-c", command, NULL};
  ProcessSpec spec = PROCESS_SPEC_INIT;
  spec.argv = argv;
  int status;
  CHECK_OK(process_run(&spec, NULL, NULL, &status, &err), &err);
  CHECK_EQ_INT(status, 0);
}

TEST(fetchurl_unpacks_compressed_archives) {
  realise_fixture_init(&fixture);
  Err err = ERR_INIT;
  CHECK_OK(fs_mkdir_all(test_temp_path("tree/sub"), 0755, &err), &err);
  write_file(test_temp_path("tree/sub/file"), "hello\n");
  CLEANUP(fs_close_fd) int fd = -1;
  CHECK_OK(fs_open(test_temp_path("tree.nar"), O_WRONLY | O_CREAT, 0644, &fd, &err), &err);
  ByteSink sink = byte_stream_to_fd(&fd);
  CHECK_OK(castore_nar_dump_path(test_temp_path("tree"), &sink, &err), &err);
  Buf nar = BUF_INIT;
  Hash hash;
  CHECK_OK(fs_read_file(test_temp_path("tree.nar"), 0, &nar, &err), &err);
  hash_of(HASH_SHA256, buf_span(&nar), &hash);
  Buf text = BUF_INIT;
  buf_put_cstr(&text, "r:");
  hash_format(&hash, HASH_FORMAT_BASE16, true, &text);
  run(arena_printf(&fixture.arena, "xz %s", test_temp_path("tree.nar")));
  const FixtureDrv *drv =
      fetch("x", arena_printf(&fixture.arena, "file://%s", test_temp_path("tree.nar.xz")), buf_cstr(&text), "unpack=1");
  realise_fixture_build(&fixture, drv);
  CHECK_STR(realise_fixture_read(&fixture, drv->out_text, "/sub/file"), "hello\n");
  write_file(test_temp_path("bad.nar.xz"), "no archive");
  const FixtureDrv *bad =
      fetch("y", arena_printf(&fixture.arena, "file://%s", test_temp_path("bad.nar.xz")), buf_cstr(&text), "unpack=1");
  realise_fixture_fails(&fixture, bad, ERR_BUILD_FAILED, "error: ");
  buf_done(&nar);
  buf_done(&text);
  realise_fixture_done(&fixture);
}

// A server of one file, made of what busybox has.
TEST(fetchurl_over_http) {
  if (access("/usr/bin/busybox", X_OK) != 0 || access("/usr/bin/curl", X_OK) != 0) test_skip("needs busybox and curl");
  realise_fixture_init(&fixture);
  Err err = ERR_INIT;
  CHECK_OK(fs_mkdir_all(test_temp_path("www"), 0755, &err), &err);
  write_file(test_temp_path("www/file"), "hello\n");
  uint64_t rng = test_seed();
  int port = 20000 + (int)test_random_below(&rng, 20000);
  const char *place = arena_printf(&fixture.arena, "127.0.0.1:%d", port);
  const char *argv[] = {"busybox", "httpd", "-f", "-p", place, "-h", test_temp_path("www"), NULL};
  ProcessSpec spec = PROCESS_SPEC_INIT;
  spec.argv = argv;
  spec.die_with_parent = true;
  Process server;
  CHECK_OK(process_spawn(&spec, &server, &err), &err);
  run(arena_printf(
      &fixture.arena,
      "for i in 1 2 3 4 5 6 7 8 9; do curl -s http://%s/ >/dev/null; test $? = 7 || exit 0; sleep 0.1; done", place));
  const FixtureDrv *drv = fetch("x", arena_printf(&fixture.arena, "http://%s/file", place), HELLO, NULL);
  realise_fixture_build(&fixture, drv);
  const FixtureDrv *none = fetch("y", arena_printf(&fixture.arena, "http://%s/none", place), HELLO, NULL);
  realise_fixture_fails(&fixture, none, ERR_BUILD_FAILED, "unable to download 'http://127.0.0.1:");
  process_kill(&server, SIGKILL, false);
  int status;
  CHECK_OK(process_wait(&server, &status, &err), &err);
  realise_fixture_done(&fixture);
}

TEST(unpack_channel) {
  realise_fixture_init(&fixture);
  Err err = ERR_INIT;
  CHECK_OK(fs_mkdir_all(test_temp_path("c/nixpkgs-1"), 0755, &err), &err);
  write_file(test_temp_path("c/nixpkgs-1/default.nix"), "{ }");
  run(arena_printf(&fixture.arena, "tar -C %s -czf %s nixpkgs-1", test_temp_path("c"),
                   test_temp_path("nixexprs.tar.gz")));
  StorePath src;
  StoreAddOptions options = STORE_ADD_OPTIONS_INIT;
  CHECK_OK(
      store_add_path(fixture.store, SPAN("nixexprs.tar.gz"), test_temp_path("nixexprs.tar.gz"), &options, &src, &err),
      &err);
  Buf path = BUF_INIT;
  store_format_path(fixture.store, &src, &path);
  FixtureSpec spec = {.name = "channel",
                      .builder = "builtin:unpack-channel",
                      .system = "builtin",
                      .sources = {src},
                      .source_count = 1,
                      .env = {"channelName=nixos", arena_printf(&fixture.arena, "src=%s", buf_cstr(&path))}};
  const FixtureDrv *drv = realise_fixture_drv(&fixture, &spec);
  realise_fixture_build(&fixture, drv);
  CHECK_STR(realise_fixture_read(&fixture, drv->out_text, "/nixos/default.nix"), "{ }");
  spec.env[0] = "channelName=../x";
  realise_fixture_fails(&fixture, realise_fixture_drv(&fixture, &spec), ERR_BUILD_FAILED,
                        "channelName is not allowed to contain filesystem separators");
  buf_done(&path);
  realise_fixture_done(&fixture);
}

// --- buildenv

static StorePath add_package(const char *name, const char *const files[]) {
  Err err = ERR_INIT;
  StorePath path;
  const char *dir = test_temp_path(name);
  for (size_t i = 0; files[i]; i++) {
    const char *file = arena_printf(&fixture.arena, "%s/%s", dir, files[i]);
    Buf parent = BUF_INIT;
    buf_put_span(&parent, fs_path_dir(span_cstr(file)));
    CHECK_OK(fs_mkdir_all(buf_cstr(&parent), 0755, &err), &err);
    buf_done(&parent);
    write_file(file, name);
  }
  StoreAddOptions options = STORE_ADD_OPTIONS_INIT;
  CHECK_OK(store_add_path(fixture.store, span_cstr(name), dir, &options, &path, &err), &err);
  return path;
}

static const char *text_of(const StorePath *path) {
  Buf buf = BUF_INIT;
  store_format_path(fixture.store, path, &buf);
  const char *ret = arena_dup(&fixture.arena, buf_span(&buf)).data;
  buf_done(&buf);
  return ret;
}

static const FixtureDrv *make_env(const char *name, const StorePath *a, int priority_a, const StorePath *b,
                                  int priority_b) {
  return realise_fixture_drv(
      &fixture, &(FixtureSpec){.name = name,
                               .builder = "builtin:buildenv",
                               .system = "builtin",
                               .sources = {*a, *b},
                               .source_count = 2,
                               .env = {arena_printf(&fixture.arena, "derivations=true %d 1 %s true %d 1 %s", priority_a,
                                                    text_of(a), priority_b, text_of(b)),
                                       "manifest=/nix/store/manifest"}});
}

static void check_link(const FixtureDrv *drv, const char *rest, const char *want) {
  Err err = ERR_INIT;
  Buf path = BUF_INIT, target = BUF_INIT;
  CHECK_OK(store_materialise(fixture.store, &drv->out, 1, &err), &err);
  store_format_physical(fixture.store, &drv->out, &path);
  buf_put_cstr(&path, rest);
  CHECK_OK(fs_read_link(buf_cstr(&path), &target, &err), &err);
  CHECK_STR(buf_span(&target), want);
  buf_done(&path);
  buf_done(&target);
}

TEST(buildenv_links_and_merges) {
  realise_fixture_init(&fixture);
  StorePath a = add_package(
      "a", (const char *const[]){"bin/a", "share/only-a/x", "share/both/a", ".hidden", "nix-support/x", NULL});
  StorePath b = add_package("b", (const char *const[]){"bin/b", "share/both/b", "etc/b", NULL});
  const FixtureDrv *env = make_env("env", &a, 5, &b, 5);
  realise_fixture_build(&fixture, env);
  check_link(env, "/bin/a", arena_printf(&fixture.arena, "%s/bin/a", text_of(&a)));
  check_link(env, "/bin/b", arena_printf(&fixture.arena, "%s/bin/b", text_of(&b)));
  check_link(env, "/share/only-a", arena_printf(&fixture.arena, "%s/share/only-a", text_of(&a)));
  check_link(env, "/share/both/a", arena_printf(&fixture.arena, "%s/share/both/a", text_of(&a)));
  check_link(env, "/etc", arena_printf(&fixture.arena, "%s/etc", text_of(&b)));
  check_link(env, "/manifest.nix", "/nix/store/manifest");
  Buf place = BUF_INIT;
  store_format_physical(fixture.store, &env->out, &place);
  CHECK(!fs_exists(arena_printf(&fixture.arena, "%s/.hidden", buf_cstr(&place))));
  CHECK(!fs_exists(arena_printf(&fixture.arena, "%s/nix-support", buf_cstr(&place))));
  buf_done(&place);
  PathInfoRecord *record = realise_fixture_info(&fixture, &env->out);
  CHECK_EQ_INT(record->info.ref_count, 2);
  path_info_service_record_free(record);
  realise_fixture_done(&fixture);
}

TEST(buildenv_conflicts_and_priorities) {
  realise_fixture_init(&fixture);
  StorePath a = add_package("a", (const char *const[]){"bin/same", NULL});
  StorePath b = add_package("b", (const char *const[]){"bin/same", NULL});
  realise_fixture_fails(&fixture, make_env("env1", &a, 5, &b, 5), ERR_BUILD_FAILED,
                        "There is a conflict for the following files:");
  const FixtureDrv *env = make_env("env2", &a, 6, &b, 5);
  realise_fixture_build(&fixture, env);
  check_link(env, "/bin/same", arena_printf(&fixture.arena, "%s/bin/same", text_of(&b)));
  realise_fixture_done(&fixture);
}

// Many goals at once without a process: what ThreadSanitizer is to look at.
TEST(many_builtins_at_once) {
  enum { COUNT = 60 };
  realise_fixture_init(&fixture);
  write_file(test_temp_path("f"), "hello\n");
  const char *url = arena_printf(&fixture.arena, "file://%s", test_temp_path("f"));
  SchedulerTicket tickets[2 * COUNT];
  for (int i = 0; i < COUNT; i++) {
    const FixtureDrv *drv = fetch(arena_printf(&fixture.arena, "f%d", i), url, HELLO, NULL);
    tickets[2 * i] = realise_fixture_want(&fixture, drv);
    tickets[2 * i + 1] = realise_fixture_want(&fixture, drv);
  }
  Err err = ERR_INIT;
  for (int i = 0; i < 2 * COUNT; i++) CHECK_OK(realise_fixture_wait(&fixture, tickets[i], &err), &err);
  CHECK_EQ_INT(fixture.started, COUNT);
  for (int i = 0; i < COUNT; i++) scheduler_drop(fixture.scheduler, tickets[i]);
  realise_fixture_done(&fixture);
}
TEST_MAIN()
