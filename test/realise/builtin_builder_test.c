// builtin:fetchurl and builtin:buildenv, through the scheduler. They start no process, so this test also runs under ThreadSanitizer.
#include "realise/builtin_builder.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
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
