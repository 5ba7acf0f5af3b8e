// build_env.c: see build_env.h.
//
// Names here are logical ("/nix/store/…"), as they will be in the links, while the trees may lie under another root: so symbolic links
// are followed by us, component by component, never by the kernel.
#include "realise/build_env.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/map.h"

enum { LINKS_MAX = 40, DEPTH_MAX = 256 };

typedef struct Package {
  Span path;
  int priority;
} Package;

typedef struct Builder {
  Store *store;
  Arena arena;
  Map priorities; // path in the tree -> int *
  Map done;       // packages
  Map postponed;  // packages named by propagated-user-env-packages
  Package *packages;
  size_t count, cap;
  BuildEnvConflict *conflict; // or NULL
} Builder;

// --- following links

typedef struct Place {
  char *logical;  // without symbolic links
  char *physical; // where that is on disk
  struct stat st;
} Place;

static Span next_component(Span *rest) {
  Span head;
  do {
    if (!rest->len) return (Span){"", 0};
    span_split(rest, '/', &head);
  } while (!head.len);
  return head;
}

// False with an errno. Outside of the store there is nothing.
static int stat_logical(Builder *builder, Span logical, Buf *ret_physical, struct stat *ret) {
  Span dir = store_dir(builder->store);
  buf_clear(ret_physical);
  if (!span_has_prefix(logical, dir)) {
    // A directory above the store: it leads there.
    bool above = span_has_prefix(dir, logical);
    *ret = (struct stat){.st_mode = S_IFDIR | 0555};
    return above ? 0 : ENOENT;
  }
  buf_printf(ret_physical, "%s%.*s", store_tree_dir(builder->store), SPAN_ARG(span_from(logical, dir.len)));
  return lstat(buf_cstr(ret_physical), ret) == 0 ? 0 : errno;
}

// Follows everything, also at the end. Text of *ret is in the arena. Returns 0 or an errno.
static int follow(Builder *builder, Span path, Place *ret) {
  Buf at = BUF_INIT, rest = BUF_INIT, physical = BUF_INIT, target = BUF_INIT;
  Span left = arena_dup(&builder->arena, path);
  int links = 0, why = 0;
  struct stat st = {.st_mode = S_IFDIR | 0555};
  for (Span component; !why && (component = next_component(&left)).len;) {
    size_t parent = at.len;
    if (span_eq(component, SPAN("."))) continue;
    if (span_eq(component, SPAN(".."))) {
      at.len = at.len ? span_rfind_char(buf_span(&at), '/') : 0;
      continue;
    }
    buf_printf(&at, "/%.*s", SPAN_ARG(component));
    why = stat_logical(builder, buf_span(&at), &physical, &st);
    if (why || !S_ISLNK(st.st_mode)) continue;
    buf_clear(&target);
    if (++links > LINKS_MAX) why = ELOOP;
    else if (!fs_read_link(buf_cstr(&physical), &target, NULL)) why = EIO;
    buf_clear(&rest);
    buf_printf(&rest, "%.*s/%.*s", SPAN_ARG(buf_span(&target)), SPAN_ARG(left));
    left = arena_dup(&builder->arena, buf_span(&rest));
    at.len = span_has_prefix(left, SPAN("/")) ? 0 : parent;
  }
  if (!why) why = stat_logical(builder, at.len ? buf_span(&at) : SPAN("/"), &physical, &st);
  *ret = (Place){(char *)(uintptr_t)arena_dup(&builder->arena, buf_span(&at)).data,
                 (char *)(uintptr_t)arena_dup(&builder->arena, buf_span(&physical)).data, st};
  buf_done(&at);
  buf_done(&rest);
  buf_done(&physical);
  buf_done(&target);
  return why;
}

// --- linking

// Files that every package has, or that mean nothing in a profile.
static bool is_left_out(Span path) {
  static const char *const names[] = {"/propagated-build-inputs",
                                      "/nix-support",
                                      "/perllocal.pod",
                                      "/info/dir",
                                      "/log",
                                      "/manifest.nix",
                                      "/manifest.json"};
  for (size_t i = 0; i < ARRAY_LEN(names); i++)
    if (span_has_suffix(path, span_cstr(names[i]))) return true;
  return false;
}

static int get_priority(const Builder *builder, const char *path) {
  const int *priority = map_get(&builder->priorities, span_cstr(path));
  return priority ? *priority : 0;
}

static bool make_link(Builder *builder, const char *source, const char *dest, int priority, Err *err) {
  if (symlink(source, dest) != 0) return err_set_errno(err, errno, "creating symlink from '%s' to '%s'", dest, source);
  int *slot = ARENA_NEW(&builder->arena, int);
  *slot = priority;
  map_set(&builder->priorities, span_cstr(dest), slot);
  return true;
}

static bool link_dir(Builder *builder, const char *source, const char *dest, int priority, unsigned depth, Err *err);

// A second package brings a directory of which the tree has a link to the first package's: it becomes a real directory with the entries of
// both.
static bool split_dir(Builder *builder, const char *source, const char *dest, int priority, unsigned depth, Err *err) {
  Buf target = BUF_INIT;
  Place former;
  bool ok = fs_read_link(dest, &target, err);
  if (ok) {
    int why = follow(builder, buf_span(&target), &former);
    if (why || !S_ISDIR(former.st.st_mode))
      ok = err_set(err, ERR_OTHER, "collision between '%s' and non-directory '%s'", source, buf_cstr(&target));
  }
  buf_done(&target);
  if (!ok) return false;
  if (unlink(dest) != 0) return err_set_errno(err, errno, "unlinking '%s'", dest);
  if (mkdir(dest, 0755) != 0) return err_set_errno(err, errno, "creating directory '%s'", dest);
  return link_dir(builder, former.logical, dest, get_priority(builder, dest), depth + 1, err) &&
         link_dir(builder, source, dest, priority, depth + 1, err);
}

// False with *ret_skip true: the entry that is there wins.
static bool resolve_collision(Builder *builder, const char *source, const char *dest, int priority, bool *ret_skip,
                              Err *err) {
  struct stat st;
  if (lstat(dest, &st) != 0) return true;
  if (S_ISDIR(st.st_mode))
    return err_set(err, ERR_OTHER, "collision between non-directory '%s' and directory '%s'", source, dest);
  int former = get_priority(builder, dest);
  if (former == priority) {
    Buf target = BUF_INIT;
    bool known = fs_read_link(dest, &target, err);
    if (known && builder->conflict) {
      buf_put_span(&builder->conflict->former, buf_span(&target));
      buf_put_cstr(&builder->conflict->other, source);
      builder->conflict->priority = priority;
    }
    if (known)
      err_set(err, ERR_OTHER, "Unable to build profile. There is a conflict for the following files:\n\n  %s\n  %s\n",
              buf_cstr(&target), source);
    buf_done(&target);
    return false;
  }
  *ret_skip = former < priority;
  return *ret_skip || unlink(dest) == 0 || err_set_errno(err, errno, "unlinking '%s'", dest);
}

static bool link_entry(Builder *builder, const char *source, const char *dest, int priority, unsigned depth, Err *err) {
  Place place;
  struct stat st;
  int why = follow(builder, span_cstr(source), &place);
  if (why == ENOENT || why == ENOTDIR) {
    log_warn("skipping dangling symlink '%s'", dest);
    return true;
  }
  if (why) return err_set_errno(err, why, "getting status of '%s'", source);
  if (is_left_out(span_cstr(source))) return true;
  if (S_ISDIR(place.st.st_mode)) {
    if (lstat(dest, &st) == 0 && S_ISDIR(st.st_mode)) return link_dir(builder, source, dest, priority, depth + 1, err);
    if (lstat(dest, &st) == 0 && S_ISLNK(st.st_mode)) return split_dir(builder, source, dest, priority, depth, err);
    return make_link(builder, source, dest, priority, err);
  }
  bool skip = false;
  if (!resolve_collision(builder, source, dest, priority, &skip, err)) return false;
  return skip || make_link(builder, source, dest, priority, err);
}

static int cmp_names(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool link_dir(Builder *builder, const char *source, const char *dest, int priority, unsigned depth, Err *err) {
  Place place;
  if (depth > DEPTH_MAX) return err_set(err, ERR_LIMIT, "'%s' is nested too deeply", source);
  int why = follow(builder, span_cstr(source), &place);
  if (!why && !S_ISDIR(place.st.st_mode)) why = ENOTDIR;
  DIR *dir = why ? NULL : opendir(place.physical);
  if (why == ENOTDIR) {
    log_warn("not including '%s' in the user environment because it's not a directory", source);
    return true;
  }
  if (!dir) return err_set_errno(err, why ? why : errno, "opening directory '%s'", source);
  char **names = NULL;
  size_t count = 0, cap = 0;
  for (struct dirent *entry; (entry = readdir(dir));) {
    if (entry->d_name[0] == '.') continue; // as a glob would
    MEM_RESERVE(names, cap, count + 1);
    names[count++] = span_dup(span_cstr(entry->d_name));
  }
  closedir(dir);
  if (count) qsort(names, count, sizeof *names, cmp_names);
  bool ok = true;
  for (size_t i = 0; i < count; i++) {
    ok = ok && link_entry(builder, arena_printf(&builder->arena, "%s/%s", source, names[i]),
                          arena_printf(&builder->arena, "%s/%s", dest, names[i]), priority, depth, err);
    mem_free(names[i]);
  }
  mem_free(names);
  return ok;
}

// --- packages

static bool add_package(Builder *builder, Span path, const char *out, int priority, Err *err) {
  if (map_has(&builder->done, path)) return true;
  map_set(&builder->done, path, NULL);
  Span source = arena_dup(&builder->arena, path);
  if (!link_dir(builder, source.data, out, priority, 0, err)) return false;
  Place place;
  Buf text = BUF_INIT;
  const char *list = arena_printf(&builder->arena, "%s/nix-support/propagated-user-env-packages", source.data);
  bool ok = true;
  if (follow(builder, span_cstr(list), &place) == 0) {
    ok = fs_read_file(place.physical, 0, &text, err);
    Span rest = buf_span(&text), word, line;
    for (bool more = ok && rest.len; more;) {
      more = span_split(&rest, '\n', &line);
      for (bool words = line.len > 0; words;) {
        words = span_split(&line, ' ', &word);
        if (word.len && !map_has(&builder->done, word)) map_set(&builder->postponed, word, NULL);
      }
    }
  }
  buf_done(&text);
  return ok;
}

static bool next_word(Span *rest, Span *ret) {
  Span text = span_trim(*rest);
  size_t len = 0;
  while (len < text.len && !memchr(" \t\n\r", text.data[len], 4)) len++;
  *ret = span_sub(text, 0, len);
  *rest = span_from(text, len);
  return len > 0;
}

static bool parse_packages(Builder *builder, Span text, Err *err) {
  Span active, word;
  while (next_word(&text, &active)) {
    int64_t priority, outputs;
    bool ok =
        next_word(&text, &word) && span_parse_i64(word, &priority) && priority >= INT32_MIN && priority <= INT32_MAX;
    ok = ok && next_word(&text, &word) && span_parse_i64(word, &outputs);
    for (int64_t i = 0; ok && i < outputs; i++) {
      ok = next_word(&text, &word);
      if (!ok || span_eq(active, SPAN("false"))) continue;
      MEM_RESERVE(builder->packages, builder->cap, builder->count + 1);
      builder->packages[builder->count++] = (Package){word, (int)priority};
    }
    if (!ok) return err_set(err, ERR_SYNTAX, "attribute 'derivations' is malformed");
  }
  return true;
}

static int cmp_packages(const void *a, const void *b) {
  const Package *x = a, *y = b;
  return x->priority != y->priority ? (x->priority > y->priority) - (x->priority < y->priority)
                                    : span_cmp(x->path, y->path);
}

// In the order of priorities, so that fewer links are made and removed again.
static bool add_packages(Builder *builder, const char *out, Err *err) {
  if (builder->count) qsort(builder->packages, builder->count, sizeof *builder->packages, cmp_packages);
  for (size_t i = 0; i < builder->count; i++)
    if (!add_package(builder, builder->packages[i].path, out, builder->packages[i].priority, err)) return false;
  return true;
}

static int cmp_spans(const void *a, const void *b) {
  return span_cmp(*(const Span *)a, *(const Span *)b);
}

// What packages ask to be installed with them comes last, with the lowest priorities, round by round.
static bool add_postponed(Builder *builder, const char *out, Err *err) {
  int priority = 1000;
  while (builder->postponed.live_count) {
    size_t count = 0;
    Span *round = ARENA_ARRAY(&builder->arena, Span, builder->postponed.live_count);
    for (MapEntry *e = map_first(&builder->postponed); e; e = map_next(&builder->postponed, e))
      round[count++] = arena_dup(&builder->arena, span_make(e->key, e->key_len));
    map_done(&builder->postponed);
    builder->postponed = (Map)MAP_INIT;
    qsort(round, count, sizeof *round, cmp_spans);
    for (size_t i = 0; i < count; i++)
      if (!add_package(builder, round[i], out, priority++, err)) return false;
  }
  return true;
}

void build_env_conflict_done(BuildEnvConflict *conflict) {
  buf_done(&conflict->former);
  buf_done(&conflict->other);
}

bool build_env_make(Store *store, Span packages, Span manifest, const char *out, BuildEnvConflict *ret_conflict,
                    Err *err) {
  Builder builder = {.store = store, .arena = ARENA_INIT, .conflict = ret_conflict};
  const char *link = arena_printf(&builder.arena, "%s/manifest.nix", out);
  bool ok = fs_mkdir_all(out, 0755, err) && parse_packages(&builder, packages, err) &&
            add_packages(&builder, out, err) && add_postponed(&builder, out, err) &&
            (!manifest.len || make_link(&builder, arena_dup(&builder.arena, manifest).data, link, 0, err));
  map_done(&builder.priorities);
  map_done(&builder.done);
  map_done(&builder.postponed);
  mem_free(builder.packages);
  arena_done(&builder.arena);
  return ok;
}
