// observed.c: see observed.h. Order: rows, adding, encoding, checking.
#include "glue/observed.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/mem.h"
#include "formats/hash.h"

typedef enum RowKind { ROW_LSTAT = 1, ROW_STAT, ROW_LIST, ROW_ENV, ROW_OBJECT } RowKind;

enum {
  ROW_HAS_DIGEST = 1,
  ROW_RACY = 2, // the identity proves nothing
  ROW_EXECUTABLE = 4,
};

typedef struct Row {
  uint8_t kind, type, flags, zero;
  uint32_t text_len;
  uint64_t dev, ino, size, mtime_ns, ctime_ns;
  uint8_t digest[OBSERVED_DIGEST_BYTES];
} Row;

typedef struct Item {
  Row row;
  const char *text; // NUL-terminated, in the arena
} Item;

struct Observed {
  Arena arena;
  Map items;   // kind and text -> Item
  Map missing; // store paths that were not valid when asked for
  Buf reason;
};

Observed *observed_new(void) {
  return mem_alloc_zero(sizeof(Observed));
}

void observed_free(Observed *observed) {
  if (!observed) return;
  map_done(&observed->items);
  map_done(&observed->missing);
  buf_done(&observed->reason);
  arena_done(&observed->arena);
  mem_free(observed);
}

void observed_spoil(Observed *observed, const char *fmt, ...) {
  if (!observed || observed->reason.len) return;
  va_list args;
  va_start(args, fmt);
  buf_vprintf(&observed->reason, fmt, args);
  va_end(args);
  buf_cstr(&observed->reason);
}

const char *observed_spoiled(const Observed *observed) {
  return observed->reason.len ? observed->reason.data : NULL;
}

size_t observed_count(const Observed *observed) {
  return observed->items.live_count;
}

void observed_digest(Span data, uint8_t ret[OBSERVED_DIGEST_BYTES]) {
  uint8_t whole[32];
  hash_blake3(data, whole);
  memcpy(ret, whole, OBSERVED_DIGEST_BYTES);
}

// ---- rows

static uint64_t ns_of(struct timespec t) {
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static EvalFileType type_of(mode_t mode) {
  switch (mode & S_IFMT) {
  case S_IFREG: return EVAL_FILE_REGULAR;
  case S_IFDIR: return EVAL_FILE_DIRECTORY;
  case S_IFLNK: return EVAL_FILE_SYMLINK;
  default: return EVAL_FILE_UNKNOWN;
  }
}

// The kernel sets ctime, so it cannot be turned back as mtime can. A clock that is behind makes it racy as well.
static bool is_racy(const struct stat *st) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return ns_of(st->st_ctim) + OBSERVED_RACY_NS > ns_of(now);
}

static void set_identity(Row *row, const struct stat *st) {
  row->dev = st->st_dev;
  row->ino = st->st_ino;
  row->size = (uint64_t)st->st_size;
  row->mtime_ns = ns_of(st->st_mtim);
  row->ctime_ns = ns_of(st->st_ctim);
}

static Row row_of_status(RowKind kind, const struct stat *st) {
  Row row = {.kind = (uint8_t)kind, .type = EVAL_FILE_ABSENT};
  if (!st) return row;
  row.type = (uint8_t)type_of(st->st_mode);
  if (S_ISDIR(st->st_mode)) return row; // nothing else of it was looked at
  set_identity(&row, st);
  if (S_ISREG(st->st_mode) && (st->st_mode & S_IXUSR)) row.flags |= ROW_EXECUTABLE;
  return row;
}

static bool same_identity(const Row *a, const Row *b) {
  return a->type == b->type && a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
         a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

static bool link_digest(const char *path, uint8_t ret[OBSERVED_DIGEST_BYTES]) {
  Buf target CLEANUP(buf_done) = BUF_INIT;
  if (!fs_read_link(path, &target, NULL)) return false;
  observed_digest(buf_span(&target), ret);
  return true;
}

static void list_digest(const EvalDirList *list, uint8_t ret[OBSERVED_DIGEST_BYTES]) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  for (size_t i = 0; i < list->count; i++) {
    buf_put_char(&text, (char)('0' + (int)list->entries[i].type));
    buf_put(&text, list->entries[i].name, strlen(list->entries[i].name) + 1);
  }
  observed_digest(buf_span(&text), ret);
}

// ---- adding

static void item_key(RowKind kind, Span text, Buf *ret) {
  buf_put_char(ret, (char)kind);
  buf_put_span(ret, text);
}

static Item *find_item(Observed *observed, RowKind kind, Span text) {
  Buf key CLEANUP(buf_done) = BUF_INIT;
  item_key(kind, text, &key);
  return map_get(&observed->items, buf_span(&key));
}

// What was seen before must be seen again: otherwise no state of the world gives this result.
static Item *add_item(Observed *observed, const Row *row, Span text) {
  Buf key CLEANUP(buf_done) = BUF_INIT;
  item_key((RowKind)row->kind, text, &key);
  Item *item = map_get(&observed->items, buf_span(&key));
  if (item) {
    if (!same_identity(&item->row, row)) observed_spoil(observed, "'%.*s' changed during evaluation", SPAN_ARG(text));
    return item;
  }
  item = ARENA_NEW(&observed->arena, Item);
  *item = (Item){.row = *row, .text = arena_dup(&observed->arena, text).data};
  item->row.text_len = (uint32_t)text.len;
  map_set(&observed->items, buf_span(&key), item);
  return item;
}

static void set_digest(Observed *observed, Item *item, const uint8_t digest[OBSERVED_DIGEST_BYTES]) {
  if ((item->row.flags & ROW_HAS_DIGEST) && memcmp(item->row.digest, digest, OBSERVED_DIGEST_BYTES) != 0)
    observed_spoil(observed, "'%s' changed during evaluation", item->text);
  item->row.flags |= ROW_HAS_DIGEST;
  memcpy(item->row.digest, digest, OBSERVED_DIGEST_BYTES);
}

void observed_stat(Observed *observed, const char *path, bool follow, const struct stat *st) {
  if (!observed) return;
  RowKind kind = follow ? ROW_STAT : ROW_LSTAT;
  Row row = row_of_status(kind, st);
  bool known = find_item(observed, kind, span_cstr(path)) != NULL;
  Item *item = add_item(observed, &row, span_cstr(path));
  if (known || row.type == EVAL_FILE_ABSENT || row.type == EVAL_FILE_DIRECTORY) return;
  if (is_racy(st)) item->row.flags |= ROW_RACY;
  uint8_t digest[OBSERVED_DIGEST_BYTES];
  if (row.type == EVAL_FILE_SYMLINK) {
    if (link_digest(path, digest)) set_digest(observed, item, digest);
    return;
  }
  // The same file by the other question may have been read already.
  const Item *other = find_item(observed, follow ? ROW_LSTAT : ROW_STAT, span_cstr(path));
  if (other && (other->row.flags & ROW_HAS_DIGEST) && same_identity(&other->row, &row))
    set_digest(observed, item, other->row.digest);
}

void observed_read(Observed *observed, const char *path, const struct stat *st, Span content) {
  if (!observed) return;
  if (!S_ISREG(st->st_mode) || (uint64_t)st->st_size != content.len) {
    observed_spoil(observed, "'%s' is not an ordinary file", path);
    return;
  }
  Row row = row_of_status(ROW_STAT, st);
  uint8_t digest[OBSERVED_DIGEST_BYTES];
  bool hashed = false;
  for (RowKind kind = ROW_LSTAT; kind <= ROW_STAT; kind++) {
    Item *item = find_item(observed, kind, span_cstr(path));
    if (!item || !same_identity(&item->row, &row)) continue;
    if (!hashed) observed_digest(content, digest);
    hashed = true;
    set_digest(observed, item, digest);
  }
}

void observed_list(Observed *observed, const char *path, const struct stat *st, const EvalDirList *list) {
  if (!observed) return;
  Row row = {.kind = ROW_LIST, .type = EVAL_FILE_DIRECTORY};
  set_identity(&row, st);
  uint8_t digest[OBSERVED_DIGEST_BYTES];
  list_digest(list, digest);
  Item *item = find_item(observed, ROW_LIST, span_cstr(path));
  if (!item) {
    item = add_item(observed, &row, span_cstr(path));
    if (is_racy(st)) item->row.flags |= ROW_RACY;
  }
  set_digest(observed, item, digest); // another identity with the same entries is the same answer
}

static EvalFileType type_of_entry(const char *path, uint8_t type) {
  struct stat st;
  switch (type) {
  case DT_REG: return EVAL_FILE_REGULAR;
  case DT_DIR: return EVAL_FILE_DIRECTORY;
  case DT_LNK: return EVAL_FILE_SYMLINK;
  case DT_UNKNOWN: return lstat(path, &st) == 0 ? type_of(st.st_mode) : EVAL_FILE_UNKNOWN;
  default: return EVAL_FILE_UNKNOWN;
  }
}

// Entries of a directory on disk, as EvalIo gives them. `list` keeps the names.
static bool read_list(const char *path, FsList *list, EvalDirList *ret) {
  if (!fs_list_dir(path, list, NULL)) return false;
  ret->entries = mem_alloc_array(list->count + 1, sizeof(EvalDirEntry));
  ret->count = list->count;
  for (size_t i = 0; i < list->count; i++) {
    Buf entry CLEANUP(buf_done) = BUF_INIT;
    fs_path_join(&entry, span_cstr(path), span_cstr(list->entries[i].name));
    ret->entries[i] = (EvalDirEntry){list->entries[i].name, type_of_entry(buf_cstr(&entry), list->entries[i].type)};
  }
  return true;
}

// `path` with a directory's status; its entries are appended to `todo` as relative paths with a NUL.
static void add_directory(Observed *observed, const char *path, const struct stat *st, Span rel, const Map *accepted,
                          Buf *todo) {
  FsList names CLEANUP(fs_list_done) = FS_LIST_INIT;
  EvalDirList list = {NULL, 0};
  if (!read_list(path, &names, &list)) {
    observed_spoil(observed, "directory '%s' cannot be read", path);
    return;
  }
  observed_list(observed, path, st, &list);
  for (size_t i = 0; i < list.count; i++) {
    size_t start = todo->len;
    if (rel.len) {
      buf_put_span(todo, rel);
      buf_put_char(todo, '/');
    }
    buf_put_cstr(todo, list.entries[i].name);
    if (accepted && !map_has(accepted, span_from(buf_span(todo), start))) todo->len = start;
    else buf_put_char(todo, 0);
  }
  mem_free(list.entries);
}

void observed_tree(Observed *observed, const char *path, const Map *accepted) {
  if (!observed || observed_spoiled(observed)) return;
  Buf todo CLEANUP(buf_done) = BUF_INIT, rel CLEANUP(buf_done) = BUF_INIT, full CLEANUP(buf_done) = BUF_INIT;
  buf_put_char(&todo, 0);
  while (todo.len && !observed_spoiled(observed)) {
    todo.len--;
    size_t start = todo.len;
    while (start && todo.data[start - 1]) start--;
    buf_clear(&rel);
    buf_put_span(&rel, span_from(buf_span(&todo), start));
    todo.len = start;
    buf_clear(&full);
    buf_put_cstr(&full, path);
    if (rel.len) buf_put_char(&full, '/');
    buf_put_span(&full, buf_span(&rel));
    struct stat st;
    bool found = lstat(buf_cstr(&full), &st) == 0;
    observed_stat(observed, buf_cstr(&full), false, found ? &st : NULL);
    if (found && S_ISDIR(st.st_mode)) add_directory(observed, buf_cstr(&full), &st, buf_span(&rel), accepted, &todo);
  }
}

void observed_env(Observed *observed, Span name, const char *value) {
  if (!observed) return;
  Row row = {.kind = ROW_ENV, .type = value ? EVAL_FILE_REGULAR : EVAL_FILE_ABSENT};
  Item *item = add_item(observed, &row, name);
  uint8_t digest[OBSERVED_DIGEST_BYTES];
  observed_digest(span_cstr(value ? value : ""), digest);
  set_digest(observed, item, digest);
}

void observed_object(Observed *observed, Span store_path, Span nar_hash) {
  if (!observed) return;
  Row row = {.kind = ROW_OBJECT, .type = EVAL_FILE_DIRECTORY};
  uint8_t digest[OBSERVED_DIGEST_BYTES];
  observed_digest(nar_hash, digest);
  set_digest(observed, add_item(observed, &row, store_path), digest);
  map_remove(&observed->missing, store_path);
}

void observed_no_object(Observed *observed, Span store_path) {
  if (observed && !find_item(observed, ROW_OBJECT, store_path)) map_set(&observed->missing, store_path, NULL);
}

// ---- encoding

// The content of the file that a row describes; false when it is another one by now.
static bool file_digest(const Row *row, const char *path, uint8_t ret[OBSERVED_DIGEST_BYTES], bool check_identity) {
  int fd CLEANUP(fs_close_fd) = -1;
  struct stat st;
  Buf content CLEANUP(buf_done) = BUF_INIT;
  int flags = O_RDONLY | O_NONBLOCK | (row->kind == ROW_LSTAT ? O_NOFOLLOW : 0);
  if (row->size > OBSERVED_DIGEST_FILE_MAX || !fs_open(path, flags, 0, &fd, NULL) || fstat(fd, &st) != 0) return false;
  if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != row->size) return false;
  Row now = row_of_status((RowKind)row->kind, &st);
  if (check_identity && !same_identity(row, &now)) return false;
  if (!fs_read_fd(fd, OBSERVED_DIGEST_FILE_MAX, &content, NULL) || content.len != row->size) return false;
  observed_digest(buf_span(&content), ret);
  return true;
}

static void finish_item(Observed *observed, Item *item) {
  Row *row = &item->row;
  if (row->flags & ROW_HAS_DIGEST) return;
  if (row->flags & ROW_RACY) {
    observed_spoil(observed, "'%s' was changed just before it was looked at", item->text);
    return;
  }
  if (row->type == EVAL_FILE_REGULAR && row->kind != ROW_ENV && file_digest(row, item->text, row->digest, true))
    row->flags |= ROW_HAS_DIGEST;
}

bool observed_encode(Observed *observed, size_t count, Buf *ret) {
  MapEntry *missing = map_first(&observed->missing);
  if (missing) observed_spoil(observed, "store path '%s' was looked for, and is not valid", missing->key);
  for (MapEntry *e = map_first(&observed->items); e && count; e = map_next(&observed->items, e), count--) {
    if (observed_spoiled(observed)) return false;
    Item *item = e->value;
    finish_item(observed, item);
    buf_put(ret, &item->row, sizeof item->row);
    buf_put(ret, item->text, item->row.text_len);
  }
  return !observed_spoiled(observed);
}

// ---- checking

// What was found by its digest gets the identity by which it is found faster the next time.
static void refresh(Row *row, const Row *now, const struct stat *st) {
  row->dev = now->dev;
  row->ino = now->ino;
  row->size = now->size;
  row->mtime_ns = now->mtime_ns;
  row->ctime_ns = now->ctime_ns;
  row->flags = (uint8_t)((row->flags & ~ROW_RACY) | (is_racy(st) ? ROW_RACY : 0));
}

static bool check_file(Row *row, const char *path) {
  struct stat st;
  bool found = (row->kind == ROW_STAT ? stat(path, &st) : lstat(path, &st)) == 0;
  if (!found) return row->type == EVAL_FILE_ABSENT && (errno == ENOENT || errno == ENOTDIR);
  Row now = row_of_status((RowKind)row->kind, &st);
  if (row->type != now.type) return false;
  if (row->type == EVAL_FILE_DIRECTORY) return true;
  if (!(row->flags & ROW_RACY) && same_identity(row, &now)) return true;
  if (!(row->flags & ROW_HAS_DIGEST)) return false;
  uint8_t digest[OBSERVED_DIGEST_BYTES];
  bool same = row->type == EVAL_FILE_SYMLINK
                  ? link_digest(path, digest)
                  : row->type == EVAL_FILE_REGULAR && (row->flags & ROW_EXECUTABLE) == (now.flags & ROW_EXECUTABLE) &&
                        row->size == now.size && file_digest(row, path, digest, false);
  if (!same || memcmp(digest, row->digest, sizeof digest) != 0) return false;
  refresh(row, &now, &st);
  return true;
}

static bool check_list(Row *row, const char *path) {
  struct stat st;
  if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) return false;
  Row now = {.kind = ROW_LIST, .type = EVAL_FILE_DIRECTORY};
  set_identity(&now, &st);
  if (!(row->flags & ROW_RACY) && same_identity(row, &now)) return true;
  FsList names CLEANUP(fs_list_done) = FS_LIST_INIT;
  EvalDirList list = {NULL, 0};
  uint8_t digest[OBSERVED_DIGEST_BYTES];
  if (!read_list(path, &names, &list)) return false;
  list_digest(&list, digest);
  mem_free(list.entries);
  if (memcmp(digest, row->digest, sizeof digest) != 0) return false;
  refresh(row, &now, &st);
  return true;
}

static bool check_env(const Row *row, const char *name) {
  const char *value = getenv(name);
  uint8_t digest[OBSERVED_DIGEST_BYTES];
  if ((value == NULL) != (row->type == EVAL_FILE_ABSENT)) return false;
  observed_digest(span_cstr(value ? value : ""), digest);
  return memcmp(digest, row->digest, sizeof digest) == 0;
}

static bool check_row(Row *row, const char *text, const ObservedCheck *check, Buf *ret_why) {
  switch ((RowKind)row->kind) {
  case ROW_LSTAT:
  case ROW_STAT:
    if (check_file(row, text)) return true;
    buf_printf(ret_why, row->type == EVAL_FILE_ABSENT ? "'%s' exists now" : "'%s' has changed", text);
    return false;
  case ROW_LIST:
    if (check_list(row, text)) return true;
    buf_printf(ret_why, "entries of directory '%s' have changed", text);
    return false;
  case ROW_ENV:
    if (check_env(row, text)) return true;
    buf_printf(ret_why, "environment variable '%s' has changed", text);
    return false;
  case ROW_OBJECT:
    if (check->object && check->object(check->ctx, span_make(text, row->text_len), row->digest)) return true;
    buf_printf(ret_why, "store path '%s' is not valid any more", text);
    return false;
  }
  buf_put_cstr(ret_why, "the record is damaged");
  return false;
}

void observed_partial_done(ObservedPartial *partial) {
  observed_free(partial->kept);
  mem_free(partial->changed);
}

static void keep_row(ObservedPartial *partial, const Row *row, Span text) {
  if (!partial->kept) partial->kept = observed_new();
  memcpy(add_item(partial->kept, row, text)->row.digest, row->digest, sizeof row->digest);
}

bool observed_check(Span rows, const ObservedCheck *check, ObservedPartial *partial, size_t *ret_count, Buf *ret_why) {
  Buf text CLEANUP(buf_done) = BUF_INIT, later CLEANUP(buf_done) = BUF_INIT;
  bool same = true;
  uint32_t number = 0;
  *ret_count = 0;
  for (; rows.len; number++) {
    Row row;
    if (rows.len < sizeof row) return buf_put_cstr(ret_why, "the record is damaged"), false;
    memcpy(&row, rows.data, sizeof row);
    rows = span_from(rows, sizeof row);
    if (rows.len < row.text_len) return buf_put_cstr(ret_why, "the record is damaged"), false;
    buf_clear(&text);
    buf_put(&text, rows.data, row.text_len);
    rows = span_from(rows, row.text_len);
    bool row_same = check_row(&row, buf_cstr(&text), check, same ? ret_why : &later);
    if (row_same) {
      if (same && partial) keep_row(partial, &row, buf_span(&text));
      if (same) ++*ret_count;
      continue;
    }
    same = false;
    if (!partial) return false;
    MEM_RESERVE(partial->changed, partial->changed_cap, partial->changed_count + 1);
    partial->changed[partial->changed_count++] = number;
  }
  return same;
}
