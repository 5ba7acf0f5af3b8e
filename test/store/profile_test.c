// profile_test.c: generations come, are switched and go as in C++ Nix.
#include "store/profile.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "harness.h"
#include "store/store_gc.h"
#include "store_fixture.h"

static void add_switched(Store *store, const char *profile, const char *content, uint64_t want) {
  Err err = ERR_INIT;
  StoreLock *lock;
  uint64_t number = 0;
  StorePath path = store_fixture_text(store, "env", content, NULL, 0);
  CHECK_OK(profile_lock(profile, &lock, &err), &err);
  CHECK_OK(profile_add(store, profile, &path, &number, &err), &err);
  CHECK_EQ_INT(number, want);
  CHECK_OK(profile_switch_to(profile, number, &err), &err);
  store_lock_release(lock);
}

static void check_generations(const char *profile, const char *want) {
  Err err = ERR_INIT;
  ProfileGenerations list = PROFILE_GENERATIONS_INIT;
  CLEANUP(buf_done) Buf text = BUF_INIT;
  CHECK_OK(profile_list(profile, &list, &err), &err);
  for (size_t i = 0; i < list.count; i++)
    buf_printf(&text, "%s%llu%s", i ? " " : "", (unsigned long long)list.items[i].number,
               list.has_current && list.current == list.items[i].number ? "*" : "");
  CHECK_STR(buf_span(&text), want);
  profile_generations_done(&list);
}

static size_t delete_words(const char *profile, const char *word, bool dry_run) {
  Err err = ERR_INIT;
  ProfileDelete what;
  ProfileGenerations gone = PROFILE_GENERATIONS_INIT;
  Span words[] = {span_cstr(word)};
  CHECK_OK(profile_delete_parse(words, 1, 1000 * 86400, &what, &err), &err);
  CHECK_OK(profile_delete(profile, &what, dry_run, &gone, &err), &err);
  size_t count = gone.count;
  profile_generations_done(&gone);
  profile_delete_done(&what);
  return count;
}

static void set_age(const char *profile, unsigned number, int64_t days) { // days after the epoch
  CLEANUP(buf_done) Buf link = BUF_INIT;
  buf_printf(&link, "%s-%u-link", profile, number);
  struct timespec times[2] = {{days * 86400, 0}, {days * 86400, 0}};
  CHECK(utimensat(AT_FDCWD, buf_cstr(&link), times, AT_SYMLINK_NOFOLLOW) == 0);
}

TEST(generations) {
  Err err = ERR_INIT;
  Store *store = store_fixture_open("s");
  const char *profile = test_temp_path("p/profile");
  check_generations(profile, "");
  add_switched(store, profile, "1", 1);
  add_switched(store, profile, "2", 2);
  add_switched(store, profile, "2", 2); // nothing new
  add_switched(store, profile, "3", 3);
  check_generations(profile, "1 2 3*");
  uint64_t from, to, second = 2, ninth = 9;
  CHECK_OK(profile_switch(profile, NULL, true, &from, &to, &err), &err);
  CHECK(from == 3 && to == 2);
  check_generations(profile, "1 2 3*");
  CHECK_OK(profile_switch(profile, NULL, false, &from, &to, &err), &err);
  check_generations(profile, "1 2* 3");
  CHECK_OK(profile_switch(profile, NULL, false, NULL, NULL, &err), &err);
  CHECK_ERR(profile_switch(profile, NULL, false, NULL, NULL, &err), &err, ERR_OTHER,
            "no profile version older than the current (1) exists");
  CHECK_ERR(profile_switch(profile, &ninth, false, NULL, NULL, &err), &err, ERR_OTHER,
            "profile version 9 does not exist");
  CHECK_OK(profile_switch(profile, &second, false, NULL, NULL, &err), &err);
  add_switched(store, profile, "4", 4); // after the last one, not after the current one
  check_generations(profile, "1 2 3 4*");
  CHECK(!fs_exists(test_temp_path("p/profile.lock")));
  store_free(store);
}

TEST(deleting) {
  Err err = ERR_INIT;
  Store *store = store_fixture_open("s");
  const char *profile = test_temp_path("p/x-1-link"); // a hostile name
  for (unsigned i = 1; i <= 6; i++) {
    char content[2] = {(char)('0' + i), 0};
    add_switched(store, profile, content, i);
    set_age(profile, i, 900 + 10 * i);
  }
  CHECK_EQ_INT(delete_words(profile, "65d", true), 2); // before day 935: 1, 2, 3, of which 3 was current
  CHECK_EQ_INT(delete_words(profile, "65d", false), 2);
  check_generations(profile, "3 4 5 6*");
  CHECK_EQ_INT(delete_words(profile, "+3", false), 1);
  uint64_t fifth = 5;
  CHECK_OK(profile_switch(profile, &fifth, false, NULL, NULL, &err), &err);
  CHECK_EQ_INT(delete_words(profile, "+1", false), 1); // what comes after the current one stays
  check_generations(profile, "5* 6");
  ProfileDelete what;
  ProfileGenerations gone = PROFILE_GENERATIONS_INIT;
  CHECK_OK(profile_delete_parse((Span[]){SPAN("6"), SPAN("5")}, 2, 0, &what, &err), &err);
  CHECK_ERR(profile_delete(profile, &what, false, &gone, &err), &err, ERR_OTHER, "cannot delete current version");
  profile_delete_done(&what);
  profile_generations_done(&gone);
  CHECK_EQ_INT(delete_words(profile, "old", false), 1);
  check_generations(profile, "5*");
  store_free(store);
}

TEST(words) {
  Err err = ERR_INIT;
  ProfileDelete what;
  CHECK_ERR(profile_delete_parse((Span[]){SPAN("0d")}, 1, 0, &what, &err), &err, ERR_USAGE, "invalid number of days");
  CHECK_ERR(profile_delete_parse((Span[]){SPAN("+0")}, 1, 0, &what, &err), &err, ERR_OTHER, "at least one");
  CHECK_ERR(profile_delete_parse((Span[]){SPAN("3"), SPAN("x")}, 2, 0, &what, &err), &err, ERR_USAGE,
            "invalid generation number 'x'");
  int64_t before;
  CHECK_ERR(profile_parse_age(SPAN("14"), 0, &before, &err), &err, ERR_USAGE, "expected something like '14d'");
  CHECK_ERR(profile_parse_age(SPAN("99999999999999999999d"), 0, &before, &err), &err, ERR_USAGE, "invalid");
}

static bool on_profile(void *ctx, const char *profile, Err *err) {
  buf_printf(ctx, "%s ", profile + strlen(test_temp_dir()));
  return true;
}

TEST(all_profiles_and_their_roots) {
  Err err = ERR_INIT;
  Store *store = store_fixture_open("s");
  add_switched(store, test_temp_path("s/var/nix/profiles/system"), "1", 1);
  add_switched(store, test_temp_path("s/var/nix/profiles/per-user/me/profile"), "2", 1);
  CHECK(symlink("/nowhere/at-all", test_temp_path("s/var/nix/profiles/other")) == 0);
  CLEANUP(buf_done) Buf found = BUF_INIT;
  CHECK_OK(profile_each(test_temp_path("s/var/nix/profiles"), on_profile, &found, &err), &err);
  CHECK_STR(buf_span(&found), "/s/var/nix/profiles/per-user/me/profile /s/var/nix/profiles/system ");
  CHECK_OK(profile_each(test_temp_path("nothing"), on_profile, &found, &err), &err);
  store_free(store);
  store = store_fixture_open("s");
  StoreGcResult result = STORE_GC_RESULT_INIT;
  CHECK_OK(store_gc_run(store, &(StoreGcOptions){.action = STORE_GC_PRINT_LIVE}, &result, &err), &err);
  CHECK_EQ_INT(result.paths.count, 2);
  store_gc_result_done(&result);
  store_free(store);
}

TEST_MAIN()
