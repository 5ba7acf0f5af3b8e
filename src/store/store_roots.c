// store_roots.c: links, temporary roots and running processes.
#include "store/store_roots.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "formats/nixbase32.h"
#include "store/store_state.h"

#define STORE_ROOTS_DEPTH_MAX 64u
#define STORE_ROOTS_PROC_BYTES_MAX ((size_t)64 << 20) // of one file under /proc

// ---- adding

// A symbolic link that appears with its target or not at all.
static bool store_roots_link(const char *target, const char *link, Err *err) {
  struct stat st;
  if (lstat(link, &st) == 0 && !S_ISLNK(st.st_mode))
    return err_set(err, ERR_OTHER, "cannot create symlink '%s'; already exists", link);
  CLEANUP(buf_done) Buf tmp = BUF_INIT;
  CLEANUP(mem_free_ptr) char *dir = span_dup(fs_path_dir(span_cstr(link)));
  if (!fs_mkdir_all(dir, 0755, err)) return false;
  for (unsigned attempt = 0;; attempt++) {
    buf_clear(&tmp);
    buf_printf(&tmp, "%s.tmp-%ld-%u", link, (long)getpid(), attempt);
    if (symlink(target, buf_cstr(&tmp)) == 0) break;
    if (errno != EEXIST || attempt > 1000) return err_set_errno(err, errno, "creating the link '%s'", buf_cstr(&tmp));
  }
  if (rename(buf_cstr(&tmp), link) == 0) return true;
  int rename_errno = errno;
  unlink(buf_cstr(&tmp));
  return err_set_errno(err, rename_errno, "replacing '%s'", link);
}

bool store_roots_add_indirect(Store *store, const char *link, Err *err) {
  CLEANUP(buf_done) Buf roots = BUF_INIT;
  store_state_format(store, "nix/gcroots/", &roots);
  if (span_has_prefix(span_cstr(link), buf_span(&roots))) return true;
  buf_put_cstr(&roots, "auto/");
  Hash hash;
  hash_of(HASH_SHA1, span_cstr(link), &hash);
  nixbase32_put(&roots, hash.bytes, 20);
  Span folder = fs_path_dir(buf_span(&roots));
  store_state_touch(store, folder);
  store_state_touch(store, fs_path_dir(folder)); // it may be new
  return store_roots_link(link, buf_cstr(&roots), err);
}

bool store_roots_add(Store *store, const StorePath *path, const char *link, Err *err) {
  CLEANUP(buf_done) Buf target = BUF_INIT;
  CLEANUP(buf_done) Buf store_logical = BUF_INIT;
  bool valid;
  if (!store_state_writable(store, err) || !store_pin(store, path, &valid, err)) return false;
  if (!valid) return store_state_invalid(store, path, err);
  store_format_physical(store, path, &target);
  store_format_path(store, path, &store_logical);
  // Where the store lies elsewhere, the logical name would lead nowhere.
  bool is_here = span_eq(buf_span(&target), buf_span(&store_logical));
  store_state_touch(store, fs_path_dir(span_cstr(link)));
  return (store_materialise(store, path, 1, err) &&
          store_roots_link(is_here ? buf_cstr(&store_logical) : buf_cstr(&target), link, err) &&
          store_roots_add_indirect(store, link, err) && store_state_written(store, false, err)) ||
         err_wrap(err, "creating the garbage collection root '%s'", link);
}

// ---- listing

void store_roots_list_done(StoreRootList *list) {
  for (size_t i = 0; i < list->count; i++) mem_free(list->roots[i].source);
  mem_free(list->roots);
  *list = (StoreRootList)STORE_ROOT_LIST_INIT;
}

static void store_roots_push(StoreRootList *list, StoreRootKind kind, const StorePath *path, const char *source) {
  MEM_RESERVE(list->roots, list->cap, list->count + 1);
  list->roots[list->count++] = (StoreRoot){kind, *path, span_dup(span_cstr(source))};
}

// Is `text` at or below a store path, by its logical or its physical name?
static bool store_roots_parse(Store *store, Span text, StorePath *ret) {
  CLEANUP(buf_done) Buf physical = BUF_INIT;
  Span rest;
  if (store_path_split(text, store_dir(store), ret, &rest, NULL)) return true;
  buf_put_cstr(&physical, store->tree_dir);
  return store_path_split(text, buf_span(&physical), ret, &rest, NULL);
}

// A link whose target is not in the store: an indirect root, if what it points to is a link into the store.
static bool store_roots_indirect(Store *store, const char *link, const char *target, bool is_auto, StoreRootList *ret,
                                 Err *err) {
  struct stat st;
  if (lstat(target, &st) != 0) {
    if (errno == ENOENT && is_auto && !store->read_only && unlink(link) != 0 && errno != ENOENT)
      return err_set_errno(err, errno, "removing the stale root '%s'", link);
    return true;
  }
  if (!S_ISLNK(st.st_mode)) return true;
  CLEANUP(buf_done) Buf second = BUF_INIT;
  StorePath path;
  if (!fs_read_link(target, &second, NULL)) return true;
  if (store_roots_parse(store, buf_span(&second), &path)) store_roots_push(ret, STORE_ROOT_LINK, &path, target);
  return true;
}

static bool store_roots_scan_link(Store *store, const char *link, bool is_auto, StoreRootList *ret, Err *err) {
  CLEANUP(buf_done) Buf text = BUF_INIT;
  CLEANUP(buf_done) Buf target = BUF_INIT;
  StorePath path;
  Err link_err = ERR_INIT;
  if (!fs_read_link(link, &text, &link_err)) { // removed meanwhile, or not ours to read
    err_done(&link_err);
    return true;
  }
  fs_path_canon(fs_path_dir(span_cstr(link)), buf_span(&text), &target);
  if (store_roots_parse(store, buf_span(&target), &path)) {
    store_roots_push(ret, STORE_ROOT_LINK, &path, link);
    return true;
  }
  return store_roots_indirect(store, link, buf_cstr(&target), is_auto, ret, err);
}

static bool store_roots_scan_dir(Store *store, Buf *path, unsigned depth, bool is_auto, StoreRootList *ret, Err *err) {
  DIR *dir = opendir(buf_cstr(path));
  if (!dir)
    return errno == ENOENT || errno == EACCES ? true : err_set_errno(err, errno, "opening '%s'", buf_cstr(path));
  if (depth > STORE_ROOTS_DEPTH_MAX) {
    closedir(dir);
    return err_set(err, ERR_LIMIT, "'%s' is nested more than %u deep", buf_cstr(path), STORE_ROOTS_DEPTH_MAX);
  }
  size_t len = path->len;
  bool ok = true;
  for (struct dirent *entry; ok && (entry = readdir(dir));) {
    const char *name = entry->d_name;
    struct stat st;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    if (depth == 0 && strcmp(name, "firn") == 0) continue; // our claims on lower paths (store_state_use_lower)
    path->len = len;
    buf_printf(path, "/%s", name);
    if (lstat(buf_cstr(path), &st) != 0) continue;
    StorePath by_name;
    if (S_ISDIR(st.st_mode))
      ok = store_roots_scan_dir(store, path, depth + 1, is_auto || strcmp(name, "auto") == 0, ret, err);
    else if (S_ISLNK(st.st_mode)) ok = store_roots_scan_link(store, buf_cstr(path), is_auto, ret, err);
    else if (S_ISREG(st.st_mode) && store_path_parse_base(span_cstr(name), &by_name, NULL))
      store_roots_push(ret, STORE_ROOT_LINK, &by_name, buf_cstr(path));
  }
  closedir(dir);
  path->len = len;
  return ok;
}

typedef struct StoreRootsTemp {
  StoreRootList *list;
} StoreRootsTemp;

static bool store_roots_on_temp(void *ctx, const StorePath *path, const char *file_name, Err *err) {
  char source[64];
  snprintf(source, sizeof(source), "{temp:%ld}", strtol(file_name, NULL, 10));
  store_roots_push(((StoreRootsTemp *)ctx)->list, STORE_ROOT_TEMP, path, source);
  return true;
}

// ---- processes

// Every store path in a text: "<dir>/<hash>-<name>".
static void store_roots_scan_text(Store *store, Span dir, Span text, const char *source, StoreRootList *ret) {
  for (;;) {
    size_t at = span_find(text, dir);
    if (at == SIZE_MAX) return;
    text = span_from(text, at + dir.len);
    if (text.len < 1 + STORE_PATH_HASH_CHARS + 2 || text.data[0] != '/') continue;
    size_t len = 1;
    while (len < text.len &&
           (isalnum((unsigned char)text.data[len]) || (text.data[len] && strchr("+-._?=", text.data[len]))))
      len++;
    StorePath path;
    if (store_path_parse_base(span_sub(text, 1, len - 1), &path, NULL))
      store_roots_push(ret, STORE_ROOT_PROCESS, &path, source);
  }
}

static void store_roots_scan_proc_text(Store *store, Span text, const char *source, StoreRootList *ret) {
  CLEANUP(buf_done) Buf physical = BUF_INIT;
  buf_put_cstr(&physical, store->tree_dir);
  store_roots_scan_text(store, store_dir(store), text, source, ret);
  if (!span_eq(buf_span(&physical), store_dir(store)))
    store_roots_scan_text(store, buf_span(&physical), text, source, ret);
}

static void store_roots_scan_proc_link(Store *store, const char *path, StoreRootList *ret) {
  CLEANUP(buf_done) Buf target = BUF_INIT;
  if (fs_read_link(path, &target, NULL)) store_roots_scan_proc_text(store, buf_span(&target), path, ret);
}

static void store_roots_scan_proc_file(Store *store, const char *path, StoreRootList *ret) {
  CLEANUP(buf_done) Buf text = BUF_INIT;
  if (fs_read_file(path, STORE_ROOTS_PROC_BYTES_MAX, &text, NULL))
    store_roots_scan_proc_text(store, buf_span(&text), path, ret);
}

// What cannot be read (other users' processes, ones that have just ended) is passed over, as everywhere in this business.
static void store_roots_scan_process(Store *store, const char *pid, StoreRootList *ret) {
  CLEANUP(buf_done) Buf path = BUF_INIT;
  static const char *const links[] = {"exe", "cwd"}, *const files[] = {"maps", "environ"};
  for (size_t i = 0; i < ARRAY_LEN(links); i++) {
    buf_clear(&path);
    buf_printf(&path, "/proc/%s/%s", pid, links[i]);
    store_roots_scan_proc_link(store, buf_cstr(&path), ret);
  }
  for (size_t i = 0; i < ARRAY_LEN(files); i++) {
    buf_clear(&path);
    buf_printf(&path, "/proc/%s/%s", pid, files[i]);
    store_roots_scan_proc_file(store, buf_cstr(&path), ret);
  }
  buf_clear(&path);
  buf_printf(&path, "/proc/%s/fd", pid);
  size_t len = path.len;
  DIR *dir = opendir(buf_cstr(&path));
  for (struct dirent *entry; dir && (entry = readdir(dir));) {
    if (entry->d_name[0] == '.') continue;
    path.len = len;
    buf_printf(&path, "/%s", entry->d_name);
    store_roots_scan_proc_link(store, buf_cstr(&path), ret);
  }
  if (dir) closedir(dir);
}

static void store_roots_scan_processes(Store *store, StoreRootList *ret) {
  DIR *dir = opendir("/proc");
  for (struct dirent *entry; dir && (entry = readdir(dir));)
    if (isdigit((unsigned char)entry->d_name[0])) store_roots_scan_process(store, entry->d_name, ret);
  if (dir) closedir(dir);
}

static int store_roots_cmp(const void *a, const void *b) {
  const StoreRoot *x = a, *y = b;
  int c = store_path_cmp(&x->path, &y->path);
  return c ? c : strcmp(x->source, y->source);
}

static void store_roots_sort(StoreRootList *list) {
  if (list->count < 2) return;
  qsort(list->roots, list->count, sizeof(*list->roots), store_roots_cmp);
  size_t kept = 1;
  for (size_t i = 1; i < list->count; i++) {
    if (store_roots_cmp(&list->roots[i], &list->roots[kept - 1]) == 0) mem_free(list->roots[i].source);
    else list->roots[kept++] = list->roots[i];
  }
  list->count = kept;
}

bool store_roots_list(Store *store, bool processes, StoreRootList *ret, Err *err) {
  static const char *const dirs[] = {"nix/gcroots", "nix/profiles"};
  CLEANUP(buf_done) Buf path = BUF_INIT;
  StoreRootsTemp temp = {ret};
  // Temporary roots first: a process that makes a link and ends drops its temporary root only after the link is there.
  store_state_format(store, "nix/temproots", &path);
  bool ok = temp_roots_list(buf_cstr(&path), store_dir(store), store->read_only, store_roots_on_temp, &temp, err);
  for (size_t i = 0; ok && i < ARRAY_LEN(dirs); i++) {
    buf_clear(&path);
    store_state_format(store, dirs[i], &path);
    ok = store_roots_scan_dir(store, &path, 0, false, ret, err);
  }
  if (!ok) return false;
  if (processes) store_roots_scan_processes(store, ret);
  store_roots_sort(ret);
  return true;
}
