// profile.c: generations of profiles.
#include "store/profile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "store/store_roots.h"
#include "store/store_state.h"

#define PROFILE_DAY_S 86400
#define PROFILE_DAYS_MAX 100000000
#define PROFILE_DEPTH_MAX 64u

void profile_generations_done(ProfileGenerations *generations) {
  for (size_t i = 0; i < generations->count; i++) mem_free(generations->items[i].link);
  mem_free(generations->items);
  *generations = (ProfileGenerations)PROFILE_GENERATIONS_INIT;
}

const ProfileGeneration *profile_generations_find(const ProfileGenerations *generations, uint64_t number) {
  for (size_t i = 0; i < generations->count; i++)
    if (generations->items[i].number == number) return &generations->items[i];
  return NULL;
}

static void profile_generations_add(ProfileGenerations *list, const ProfileGeneration *generation) {
  MEM_RESERVE(list->items, list->cap, list->count + 1);
  list->items[list->count] = *generation;
  list->items[list->count++].link = span_dup(span_cstr(generation->link));
}

// "<name>-7-link" -> 7. The C++ code takes anything after "-link" too; nobody makes such names.
static bool profile_parse_link(Span name, Span link, uint64_t *ret) {
  if (!span_has_prefix(link, name)) return false;
  Span rest = span_from(link, name.len);
  if (rest.len < 7 || rest.data[0] != '-' || !span_has_suffix(rest, SPAN("-link"))) return false;
  return span_parse_u64(span_sub(rest, 1, rest.len - 6), ret);
}

static void profile_format_link(const char *profile, uint64_t number, Buf *ret) {
  buf_printf(ret, "%s-%llu-link", profile, (unsigned long long)number);
}

static int profile_cmp(const void *a, const void *b) {
  const ProfileGeneration *x = a, *y = b;
  return x->number < y->number ? -1 : x->number > y->number;
}

bool profile_list(const char *profile, ProfileGenerations *ret, Err *err) {
  Span name = fs_path_base(span_cstr(profile));
  CLEANUP(mem_free_ptr) char *dir = span_dup(fs_path_dir(span_cstr(profile)));
  CLEANUP(fs_list_done) FsList list = FS_LIST_INIT;
  CLEANUP(buf_done) Buf path = BUF_INIT;
  *ret = (ProfileGenerations)PROFILE_GENERATIONS_INIT;
  if (fs_exists(dir) && !fs_list_dir(dir, &list, err)) return err_wrap(err, "listing the generations of '%s'", profile);
  for (size_t i = 0; i < list.count; i++) {
    ProfileGeneration generation;
    struct stat st;
    if (!profile_parse_link(name, span_cstr(list.entries[i].name), &generation.number)) continue;
    buf_clear(&path);
    profile_format_link(profile, generation.number, &path);
    if (lstat(buf_cstr(&path), &st) != 0) continue; // deleted meanwhile, or a number with leading zeros
    generation.created_s = st.st_mtime;
    generation.link = path.data;
    profile_generations_add(ret, &generation);
  }
  if (ret->count > 1) qsort(ret->items, ret->count, sizeof(*ret->items), profile_cmp);
  buf_clear(&path);
  Err link_err = ERR_INIT;
  if (fs_read_link(profile, &path, &link_err))
    ret->has_current = profile_parse_link(name, fs_path_base(buf_span(&path)), &ret->current);
  err_done(&link_err);
  return true;
}

// ---- places

static void profile_state_dir(Buf *ret) {
  const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
  if (state && state[0] == '/') buf_printf(ret, "%s/nix", state);
  else buf_printf(ret, "%s/.local/state/nix", home ? home : "");
}

bool profile_dir(const Store *store, Buf *ret, Err *err) {
  CLEANUP(buf_done) Buf dir = BUF_INIT;
  if (geteuid() == 0) {
    store_state_format(store, "nix/profiles/per-user/root", &dir);
  } else {
    profile_state_dir(&dir);
    buf_put_cstr(&dir, "/profiles");
  }
  if (!fs_mkdir_all(buf_cstr(&dir), 0755, err)) return err_wrap(err, "making the folder of profiles");
  buf_put_span(ret, buf_span(&dir));
  return true;
}

static bool link_if_missing(const char *target, const char *link, Err *err) {
  if (fs_exists(link)) return true;
  CLEANUP(mem_free_ptr) char *dir = span_dup(fs_path_dir(span_cstr(link)));
  if (!fs_mkdir_all(dir, 0755, err)) return false;
  return symlink(target, link) == 0 || errno == EEXIST || err_set_errno(err, errno, "creating the link '%s'", link);
}

bool profile_default(const Store *store, const char *link, Buf *ret, Err *err) {
  CLEANUP(buf_done) Buf profile = BUF_INIT;
  CLEANUP(buf_done) Buf global = BUF_INIT;
  CLEANUP(buf_done) Buf target = BUF_INIT;
  if (!profile_dir(store, &profile, err)) return false;
  buf_put_cstr(&profile, "/profile");
  buf_printf(&global, "%s/var/nix/profiles/default", store_root(store));
  if (!link_if_missing(buf_cstr(&profile), link, err) ||
      (geteuid() == 0 && !link_if_missing(buf_cstr(&profile), buf_cstr(&global), err)))
    return false;
  if (!fs_read_link(link, &target, err)) return err_wrap(err, "finding the profile");
  fs_path_canon(fs_path_dir(span_cstr(link)), buf_span(&target), ret);
  return true;
}

// ---- changes

bool profile_lock(const char *profile, StoreLock **ret, Err *err) {
  CLEANUP(mem_free_ptr) char *dir = span_dup(fs_path_dir(span_cstr(profile)));
  return (fs_mkdir_all(dir, 0755, err) && store_lock_take_file(profile, ret, err)) ||
         err_wrap(err, "locking the profile '%s'", profile);
}

// Does this generation lead to `path`?
static bool profile_is_link_to(Store *store, const char *link, const StorePath *path) {
  CLEANUP(buf_done) Buf target = BUF_INIT;
  CLEANUP(buf_done) Buf logical = BUF_INIT;
  CLEANUP(buf_done) Buf physical = BUF_INIT;
  Err ignored = ERR_INIT;
  store_format_path(store, path, &logical);
  store_format_physical(store, path, &physical);
  bool same = fs_read_link(link, &target, &ignored) &&
              (span_eq(buf_span(&target), buf_span(&logical)) || span_eq(buf_span(&target), buf_span(&physical)));
  err_done(&ignored);
  return same;
}

bool profile_add(Store *store, const char *profile, const StorePath *path, uint64_t *ret_number, Err *err) {
  CLEANUP(profile_generations_done) ProfileGenerations list = PROFILE_GENERATIONS_INIT;
  if (!profile_list(profile, &list, err)) return false;
  uint64_t number = 1;
  if (list.count > 0) {
    const ProfileGeneration *last = &list.items[list.count - 1];
    bool same = profile_is_link_to(store, last->link, path);
    if (last->number == UINT64_MAX)
      return err_set(err, ERR_LIMIT, "the profile '%s' has no numbers left for generations", profile);
    number = same ? last->number : last->number + 1;
    if (ret_number) *ret_number = number;
    if (same) return true;
  }
  CLEANUP(buf_done) Buf link = BUF_INIT;
  profile_format_link(profile, number, &link);
  if (!store_roots_add(store, path, buf_cstr(&link), err)) return err_wrap(err, "adding to the profile '%s'", profile);
  if (ret_number) *ret_number = number;
  return true;
}

bool profile_switch_to(const char *profile, uint64_t number, Err *err) {
  CLEANUP(buf_done) Buf link = BUF_INIT;
  CLEANUP(buf_done) Buf tmp = BUF_INIT;
  CLEANUP(mem_free_ptr) char *dir = span_dup(fs_path_dir(span_cstr(profile)));
  struct stat st;
  profile_format_link(profile, number, &link);
  if (lstat(buf_cstr(&link), &st) != 0)
    return err_set_errno(err, errno, "generation %llu of profile '%s'", (unsigned long long)number, profile);
  if (lstat(profile, &st) == 0 && !S_ISLNK(st.st_mode))
    return err_set(err, ERR_OTHER, "the profile '%s' is not a symbolic link", profile);
  // The lock is held, so what stands at this name is left over.
  buf_printf(&tmp, "%s.tmp-%ld", profile, (long)getpid());
  unlink(buf_cstr(&tmp));
  CLEANUP(mem_free_ptr) char *target = span_dup(fs_path_base(buf_span(&link)));
  if (symlink(target, buf_cstr(&tmp)) != 0) return err_set_errno(err, errno, "creating the link '%s'", buf_cstr(&tmp));
  if (rename(buf_cstr(&tmp), profile) != 0) {
    int rename_errno = errno;
    unlink(buf_cstr(&tmp));
    return err_set_errno(err, rename_errno, "replacing '%s'", profile);
  }
  return fs_fsync_dir(dir, err);
}

bool profile_set(Store *store, const char *profile, const StorePath *path, Err *err) {
  StoreLock *lock = NULL;
  uint64_t number;
  if (!profile_lock(profile, &lock, err)) return false;
  bool ok = profile_add(store, profile, path, &number, err) && profile_switch_to(profile, number, err);
  store_lock_release(lock);
  return ok;
}

bool profile_switch(const char *profile, const uint64_t *number, bool dry_run, uint64_t *ret_from, uint64_t *ret_to,
                    Err *err) {
  CLEANUP(profile_generations_done) ProfileGenerations list = PROFILE_GENERATIONS_INIT;
  StoreLock *lock;
  if (!profile_lock(profile, &lock, err)) return false;
  bool ok = profile_list(profile, &list, err);
  const ProfileGeneration *to = NULL;
  for (size_t i = 0; ok && i < list.count; i++)
    if (number ? list.items[i].number == *number : list.has_current && list.items[i].number < list.current)
      to = &list.items[i];
  if (ok && !to) {
    ok = number ? err_set(err, ERR_OTHER, "profile version %llu does not exist", (unsigned long long)*number)
                : err_set(err, ERR_OTHER, "no profile version older than the current (%llu) exists",
                          (unsigned long long)list.current);
  }
  if (ok && ret_from) *ret_from = list.has_current ? list.current : 0;
  if (ok && ret_to) *ret_to = to->number;
  ok = ok && (dry_run || profile_switch_to(profile, to->number, err));
  store_lock_release(lock);
  return ok;
}

// ---- deleting

void profile_delete_done(ProfileDelete *what) {
  mem_free(what->numbers);
  *what = (ProfileDelete)PROFILE_DELETE_INIT;
}

bool profile_parse_age(Span text, int64_t now_s, int64_t *ret_before_s, Err *err) {
  if (text.len == 0 || text.data[text.len - 1] != 'd')
    return err_set(err, ERR_USAGE, "invalid number of days specifier '%.*s', expected something like '14d'",
                   SPAN_ARG(text));
  uint64_t days;
  if (!span_parse_u64(span_sub(text, 0, text.len - 1), &days) || days < 1 || days > PROFILE_DAYS_MAX)
    return err_set(err, ERR_USAGE, "invalid number of days specifier '%.*s'", SPAN_ARG(text));
  *ret_before_s = now_s - (int64_t)days * PROFILE_DAY_S;
  return true;
}

bool profile_delete_parse(const Span *words, size_t count, int64_t now_s, ProfileDelete *ret, Err *err) {
  *ret = (ProfileDelete)PROFILE_DELETE_INIT;
  if (count == 1 && span_eq_cstr(words[0], "old")) {
    ret->kind = PROFILE_DELETE_OTHERS;
    return true;
  }
  if (count == 1 && span_has_suffix(words[0], SPAN("d"))) {
    ret->kind = PROFILE_DELETE_OLDER_THAN;
    return profile_parse_age(words[0], now_s, &ret->before_s, err);
  }
  if (count == 1 && span_has_prefix(words[0], SPAN("+"))) {
    ret->kind = PROFILE_DELETE_KEEP;
    if (words[0].len < 2) return err_set(err, ERR_OTHER, "invalid number of generations '%.*s'", SPAN_ARG(words[0]));
    if (!span_parse_u64(span_from(words[0], 1), &ret->keep_count))
      return err_set(err, ERR_OTHER, "invalid number of generations to keep '%.*s'", SPAN_ARG(words[0]));
    if (ret->keep_count == 0)
      return err_set(err, ERR_OTHER, "Must keep at least one generation, otherwise the current one would be deleted");
    return true;
  }
  for (size_t i = 0; i < count; i++) {
    uint64_t number;
    if (!span_parse_u64(words[i], &number)) {
      profile_delete_done(ret);
      return err_set(err, ERR_USAGE, "invalid generation number '%.*s'", SPAN_ARG(words[i]));
    }
    MEM_RESERVE(ret->numbers, ret->number_cap, ret->number_count + 1);
    ret->numbers[ret->number_count++] = number;
  }
  return true;
}

static bool profile_delete_names(const ProfileDelete *what, uint64_t number) {
  for (size_t i = 0; i < what->number_count; i++)
    if (what->numbers[i] == number) return true;
  return false;
}

// Marks what goes. `marks` has an entry for each generation.
static void profile_delete_mark(const ProfileGenerations *list, const ProfileDelete *what, bool *marks) {
  size_t i = list->count;
  switch (what->kind) {
  case PROFILE_DELETE_NUMBERS:
    while (i-- > 0) marks[i] = profile_delete_names(what, list->items[i].number);
    return;
  case PROFILE_DELETE_OTHERS: memset(marks, true, list->count); return;
  case PROFILE_DELETE_OLDER_THAN:
    // The newest of the old ones was in use at that moment, so one can still go back to what was there then.
    while (i > 0 && list->items[i - 1].created_s >= what->before_s) i--;
    if (i > 0) i--;
    break;
  case PROFILE_DELETE_KEEP:
    while (i > 0 && (!list->has_current || list->items[i - 1].number != list->current)) i--;
    i = i > what->keep_count ? i - (size_t)what->keep_count : 0;
    break;
  }
  memset(marks, true, i);
}

static bool profile_delete_one(const ProfileGeneration *generation, bool dry_run, ProfileGenerations *ret, Err *err) {
  if (!dry_run && unlink(generation->link) != 0 && errno != ENOENT)
    return err_set_errno(err, errno, "deleting '%s'", generation->link);
  profile_generations_add(ret, generation);
  return true;
}

static bool profile_delete_locked(const char *profile, const ProfileDelete *what, bool dry_run, ProfileGenerations *ret,
                                  Err *err) {
  CLEANUP(profile_generations_done) ProfileGenerations list = PROFILE_GENERATIONS_INIT;
  if (!profile_list(profile, &list, err)) return false;
  ret->has_current = list.has_current;
  ret->current = list.current;
  if (what->kind == PROFILE_DELETE_NUMBERS && list.has_current && profile_delete_names(what, list.current))
    return err_set(err, ERR_OTHER, "cannot delete current version of profile '%s'", profile);
  CLEANUP(mem_free_ptr) bool *marks = mem_alloc_zero(list.count + 1);
  profile_delete_mark(&list, what, marks);
  bool newest_first = what->kind == PROFILE_DELETE_OLDER_THAN || what->kind == PROFILE_DELETE_KEEP;
  for (size_t n = 0; n < list.count; n++) {
    size_t i = newest_first ? list.count - 1 - n : n;
    if (!marks[i] || (list.has_current && list.items[i].number == list.current)) continue;
    if (!profile_delete_one(&list.items[i], dry_run, ret, err)) return false;
  }
  return true;
}

bool profile_delete(const char *profile, const ProfileDelete *what, bool dry_run, ProfileGenerations *ret_deleted,
                    Err *err) {
  StoreLock *lock;
  if (!profile_lock(profile, &lock, err)) return false;
  bool ok = profile_delete_locked(profile, what, dry_run, ret_deleted, err);
  store_lock_release(lock);
  return ok;
}

// ---- all of them

static bool profile_is_profile(const char *path) {
  CLEANUP(buf_done) Buf target = BUF_INIT;
  Err ignored = ERR_INIT;
  uint64_t number;
  bool is = fs_read_link(path, &target, &ignored) &&
            profile_parse_link(fs_path_base(span_cstr(path)), fs_path_base(buf_span(&target)), &number);
  err_done(&ignored);
  return is;
}

static bool profile_each_in(Buf *path, unsigned depth, ProfileVisit visit, void *ctx, Err *err) {
  CLEANUP(fs_list_done) FsList list = FS_LIST_INIT;
  Err list_err = ERR_INIT;
  bool writable = access(buf_cstr(path), W_OK) == 0;
  if (depth > PROFILE_DEPTH_MAX || !fs_list_dir(buf_cstr(path), &list, &list_err)) {
    bool passed_over = list_err.kind == ERR_NOT_FOUND || list_err.sys_errno == EACCES || depth > PROFILE_DEPTH_MAX;
    if (!passed_over) return err_move(err, &list_err);
    err_done(&list_err);
    return true;
  }
  size_t len = path->len;
  bool ok = true;
  for (size_t i = 0; ok && i < list.count; i++) {
    struct stat st;
    path->len = len;
    buf_printf(path, "/%s", list.entries[i].name);
    if (lstat(buf_cstr(path), &st) != 0) continue;
    if (S_ISDIR(st.st_mode)) ok = profile_each_in(path, depth + 1, visit, ctx, err);
    else if (writable && S_ISLNK(st.st_mode) && profile_is_profile(buf_cstr(path)))
      ok = visit(ctx, buf_cstr(path), err);
  }
  path->len = len;
  return ok;
}

bool profile_each(const char *dir, ProfileVisit visit, void *ctx, Err *err) {
  CLEANUP(buf_done) Buf path = BUF_INIT;
  buf_put_cstr(&path, dir);
  return profile_each_in(&path, 0, visit, ctx, err);
}
