// output_diff.c: see output_diff.h.
#include "realise/output_diff.h"

typedef struct Differ {
  const Castore *castore;
  Buf *out;
  size_t count;
} Differ;

static void put_line(Differ *differ, const char *what, Span path) {
  if (++differ->count > OUTPUT_DIFF_LINES_MAX) return;
  buf_printf(differ->out, "\n  %s: %.*s", what, SPAN_ARG(path.len ? path : SPAN(".")));
}

static bool diff_nodes(Differ *differ, const CastoreNode *before, const CastoreNode *now, Buf *path, Err *err);

static bool get_directory(const Differ *differ, const CastoreNode *node, Arena *arena, CastoreDirectory *ret,
                          Err *err) {
  bool found;
  if (!directory_service_get(differ->castore->directories, &node->digest, arena, ret, &found, err)) return false;
  return found || err_set(err, ERR_NOT_FOUND, "a directory of the output is missing in the store");
}

// Both are sorted by name, so one pass merges them.
static bool diff_entries(Differ *differ, const CastoreDirectory *before, const CastoreDirectory *now, Buf *path,
                         Err *err) {
  size_t i = 0, j = 0, len = path->len;
  while (i < before->count || j < now->count) {
    int order = i == before->count ? 1 : j == now->count ? -1 : span_cmp(before->entries[i].name, now->entries[j].name);
    const CastoreNode *old = order <= 0 ? &before->entries[i++] : NULL, *new = order >= 0 ? &now->entries[j++] : NULL;
    path->len = len;
    if (len) buf_put_char(path, '/');
    buf_put_span(path, old ? old->name : new->name);
    if (!new) put_line(differ, "only before", buf_span(path));
    else if (!old) put_line(differ, "only now", buf_span(path));
    else if (!diff_nodes(differ, old, new, path, err)) return false;
  }
  path->len = len;
  return true;
}

static bool diff_directories(Differ *differ, const CastoreNode *before, const CastoreNode *now, Buf *path, Err *err) {
  Arena arena = ARENA_INIT;
  CastoreDirectory old, new;
  bool ok = get_directory(differ, before, &arena, &old, err) && get_directory(differ, now, &arena, &new, err) &&
            diff_entries(differ, &old, &new, path, err);
  arena_done(&arena);
  return ok;
}

static bool diff_nodes(Differ *differ, const CastoreNode *before, const CastoreNode *now, Buf *path, Err *err) {
  if (before->kind != now->kind) {
    put_line(differ, "another kind", buf_span(path));
    return true;
  }
  bool same_content = castore_node_digest_eq(&before->digest, &now->digest);
  switch (before->kind) {
  case CASTORE_DIRECTORY: return same_content || diff_directories(differ, before, now, path, err);
  case CASTORE_FILE:
    if (!same_content) put_line(differ, "changed", buf_span(path));
    else if (before->executable != now->executable) put_line(differ, "mode changed", buf_span(path));
    break;
  case CASTORE_SYMLINK:
    if (!span_eq(before->target, now->target)) put_line(differ, "link changed", buf_span(path));
    break;
  }
  return true;
}

bool output_diff_trees(const Castore *castore, const CastoreNode *before, const CastoreNode *now, Buf *ret, Err *err) {
  Differ differ = {castore, ret, 0};
  Buf path = BUF_INIT;
  bool ok = diff_nodes(&differ, before, now, &path, err);
  if (ok && differ.count > OUTPUT_DIFF_LINES_MAX)
    buf_printf(ret, "\n  and %zu more", differ.count - OUTPUT_DIFF_LINES_MAX);
  buf_done(&path);
  return ok;
}
