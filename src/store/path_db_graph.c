// path_db_graph.c: see path_db_graph.h.
#include "store/path_db_graph.h"

#include "store/path_db_state.h"

// ---- closures

// What has been reached: numbers of rows, each once.
typedef struct PathDbReached {
  int64_t *ids; // owned
  size_t count, cap;
  Map seen;
} PathDbReached;

static void path_db_reach(PathDbReached *reached, int64_t id) {
  Span key = span_make((const char *)&id, sizeof id);
  if (map_has(&reached->seen, key)) return;
  map_set(&reached->seen, key, NULL);
  MEM_RESERVE(reached->ids, reached->cap, reached->count + 1);
  reached->ids[reached->count++] = id;
}

static bool path_db_reach_roots(PathDb *db, const StorePath *roots, size_t count, PathDbReached *reached, Err *err) {
  for (size_t i = 0; i < count; i++) {
    bool row;
    if (!sql_use(db->db, &db->find_id, "SELECT id, valid FROM paths WHERE hash = ?", err)) return false;
    sql_bind_blob(db->find_id, 1, roots[i].digest, STORE_PATH_DIGEST_BYTES);
    if (!sql_step(db->db, db->find_id, &row, err)) return false;
    if (!row) continue;
    path_db_reach(reached, sqlite3_column_int64(db->find_id, 0));
    sqlite3_reset(db->find_id);
  }
  return true;
}

// All that the last ones reached lead to. A recursive query would do it, at three times the cost.
static bool path_db_reach_all(PathDb *db, bool referrers, PathDbReached *reached, Err *err) {
  sqlite3_stmt **stmt = referrers ? &db->next_referrers : &db->next_refs;
  for (size_t i = 0; i < reached->count; i++) {
    bool ok, row;
    if (!sql_use(db->db, stmt,
                 referrers ? "SELECT referrer FROM refs WHERE reference = ?"
                           : "SELECT reference FROM refs WHERE referrer = ?",
                 err))
      return false;
    sqlite3_bind_int64(*stmt, 1, reached->ids[i]);
    while ((ok = sql_step(db->db, *stmt, &row, err)) && row) path_db_reach(reached, sqlite3_column_int64(*stmt, 0));
    if (!ok) return false;
  }
  return true;
}

static bool path_db_closure_rows(PathDb *db, const PathDbReached *reached, StorePathList *ret, StorePathList *ret_lower,
                                 uint64_t *ret_nar_bytes, Err *err) {
  for (size_t i = 0; i < reached->count; i++) {
    bool row;
    StorePath path;
    if (!sql_use(db->db, &db->row_of, "SELECT hash, name, valid, nar_size FROM paths WHERE id = ?", err)) return false;
    sqlite3_bind_int64(db->row_of, 1, reached->ids[i]);
    if (!sql_step(db->db, db->row_of, &row, err)) return false;
    if (!row) continue;
    bool ok = path_db_path(sql_column(db->row_of, 0), sql_column(db->row_of, 1), &path, err);
    bool valid = sqlite3_column_int(db->row_of, 2) != 0;
    if (ok && ret_nar_bytes && valid) *ret_nar_bytes += (uint64_t)sqlite3_column_int64(db->row_of, 3);
    sqlite3_reset(db->row_of);
    if (!ok) return false;
    store_path_list_add(valid ? ret : ret_lower, &path);
  }
  return true;
}

bool path_db_closure(PathDb *db, const StorePath *roots, size_t count, bool referrers, StorePathList *ret,
                     StorePathList *ret_lower, uint64_t *ret_nar_bytes, Err *err) {
  PathDbReached reached = {.seen = MAP_INIT};
  pthread_mutex_lock(&db->mutex);
  // One transaction, so that all that is read belongs together, and the file is locked once.
  bool ok = sql_exec(db->db, "BEGIN", err);
  if (ok) {
    ok = path_db_reach_roots(db, roots, count, &reached, err) && path_db_reach_all(db, referrers, &reached, err) &&
         path_db_closure_rows(db, &reached, ret, ret_lower, ret_nar_bytes, err);
    ok = sql_exec(db->db, "COMMIT", ok ? err : NULL) && ok;
  }
  pthread_mutex_unlock(&db->mutex);
  map_done(&reached.seen);
  mem_free(reached.ids);
  return ok;
}

static bool path_db_fill_roots(PathDb *db, const StorePath *roots, size_t count, Err *err) {
  if (!sql_exec(db->db, "CREATE TEMP TABLE IF NOT EXISTS roots(hash BLOB); DELETE FROM roots", err)) return false;
  sqlite3_stmt *stmt = NULL;
  bool ok = true;
  for (size_t i = 0; ok && i < count; i++) {
    ok = sql_use(db->db, &stmt, "INSERT INTO roots VALUES(?)", err);
    if (!ok) break;
    sql_bind_blob(stmt, 1, roots[i].digest, STORE_PATH_DIGEST_BYTES);
    ok = sql_run(db->db, stmt, err);
  }
  sqlite3_finalize(stmt);
  return ok;
}

bool path_db_references(PathDb *db, const StorePath *paths, size_t count, PathDbOnReference fn, void *ctx, Err *err) {
  sqlite3_stmt *stmt = NULL;
  bool row;
  pthread_mutex_lock(&db->mutex);
  bool ok = path_db_fill_roots(db, paths, count, err) &&
            sql_use(db->db, &stmt,
                    "SELECT p.hash, q.hash FROM roots t JOIN paths p ON p.hash = t.hash AND p.valid = 1"
                    " LEFT JOIN refs r ON r.referrer = p.id LEFT JOIN paths q ON q.id = r.reference",
                    err);
  while (ok && (ok = sql_step(db->db, stmt, &row, err)) && row) {
    Span from = sql_column(stmt, 0), to = sql_column(stmt, 1);
    if (from.len != STORE_PATH_DIGEST_BYTES || (to.len != STORE_PATH_DIGEST_BYTES && to.len != 0))
      ok = err_set(err, ERR_CORRUPT, "the database holds a malformed store path");
    else fn(ctx, from, to.len > 0 ? (const uint8_t *)to.data : NULL);
  }
  sqlite3_finalize(stmt);
  pthread_mutex_unlock(&db->mutex);
  return ok;
}

// ---- the whole graph

static bool path_db_graph_nodes(PathDb *db, PathDbGraph *graph, Err *err) {
  sqlite3_stmt *stmt = NULL;
  size_t cap = 0;
  bool row;
  bool ok =
      sql_use(db->db, &stmt, "SELECT id, hash, name, valid, tree, node, nar_size, deriver FROM paths ORDER BY id", err);
  while (ok && (ok = sql_step(db->db, stmt, &row, err)) && row) {
    size_t i = graph->count;
    if (i == cap) {
      cap = cap ? cap * 2 : 1024;
      graph->ids = mem_realloc_array(graph->ids, cap, sizeof(*graph->ids));
      graph->paths = mem_realloc_array(graph->paths, cap, sizeof(*graph->paths));
      graph->valid = mem_realloc_array(graph->valid, cap, sizeof(*graph->valid));
      graph->trees = mem_realloc_array(graph->trees, cap, sizeof(*graph->trees));
      graph->roots = mem_realloc_array(graph->roots, cap, sizeof(*graph->roots));
      graph->has_root = mem_realloc_array(graph->has_root, cap, sizeof(*graph->has_root));
      graph->nar_sizes = mem_realloc_array(graph->nar_sizes, cap, sizeof(*graph->nar_sizes));
      graph->derivers = mem_realloc_array(graph->derivers, cap, sizeof(*graph->derivers));
    }
    graph->ids[i] = sqlite3_column_int64(stmt, 0);
    graph->valid[i] = sqlite3_column_int(stmt, 3) != 0;
    graph->trees[i] = sqlite3_column_int(stmt, 4) != 0;
    Span node = sql_column(stmt, 5), deriver = sql_column(stmt, 7);
    graph->has_root[i] = node.len > 0;
    graph->nar_sizes[i] = (uint64_t)sqlite3_column_int64(stmt, 6);
    graph->derivers[i].name_len = 0;
    ok = path_db_path(sql_column(stmt, 1), sql_column(stmt, 2), &graph->paths[i], err) &&
         (node.len == 0 || castore_node_decode(arena_dup(&graph->arena, node), &graph->roots[i], err)) &&
         (deriver.len == 0 || store_path_parse_base(deriver, &graph->derivers[i], err));
    graph->count++;
  }
  sqlite3_finalize(stmt);
  return ok;
}

static bool path_db_graph_find(const PathDbGraph *graph, int64_t id, uint32_t *ret) {
  size_t lo = 0, hi = graph->count;
  while (lo < hi) {
    size_t mid = lo + (hi - lo) / 2;
    if (graph->ids[mid] == id) {
      *ret = (uint32_t)mid;
      return true;
    }
    if (graph->ids[mid] < id) lo = mid + 1;
    else hi = mid;
  }
  return false;
}

static bool path_db_graph_refs(PathDb *db, PathDbGraph *graph, Err *err) {
  sqlite3_stmt *stmt = NULL;
  size_t ref_count = 0, cap = 0, node = 0;
  bool row;
  graph->ref_start = mem_alloc_array(graph->count + 1, sizeof(*graph->ref_start));
  graph->ref_start[0] = 0;
  bool ok = sql_use(db->db, &stmt, "SELECT referrer, reference FROM refs ORDER BY referrer", err);
  while (ok && (ok = sql_step(db->db, stmt, &row, err)) && row) {
    int64_t referrer = sqlite3_column_int64(stmt, 0);
    uint32_t reference;
    while (node < graph->count && graph->ids[node] < referrer) graph->ref_start[++node] = ref_count;
    if (node == graph->count || graph->ids[node] != referrer) continue; // of a row that is gone
    if (!path_db_graph_find(graph, sqlite3_column_int64(stmt, 1), &reference)) continue;
    MEM_RESERVE(graph->refs, cap, ref_count + 1);
    graph->refs[ref_count++] = reference;
  }
  while (node < graph->count) graph->ref_start[++node] = ref_count;
  sqlite3_finalize(stmt);
  return ok;
}

bool path_db_graph(PathDb *db, PathDbGraph *ret, Err *err) {
  *ret = (PathDbGraph){.arena = ARENA_INIT};
  bool nested = db->in_transaction; // then this thread holds the mutex
  if (!nested) pthread_mutex_lock(&db->mutex);
  // One read transaction, so that nodes and references belong together.
  bool ok = nested || sql_exec(db->db, "BEGIN", err);
  if (ok) {
    ok = path_db_graph_nodes(db, ret, err) && path_db_graph_refs(db, ret, err);
    if (!nested) ok = sql_exec(db->db, "COMMIT", ok ? err : NULL) && ok;
  }
  if (!nested) pthread_mutex_unlock(&db->mutex);
  if (!ok) path_db_graph_done(ret);
  return ok;
}

void path_db_graph_done(PathDbGraph *graph) {
  mem_free(graph->ids);
  mem_free(graph->paths);
  mem_free(graph->valid);
  mem_free(graph->trees);
  mem_free(graph->roots);
  mem_free(graph->has_root);
  mem_free(graph->nar_sizes);
  mem_free(graph->derivers);
  mem_free(graph->ref_start);
  mem_free(graph->refs);
  arena_done(&graph->arena);
  *graph = (PathDbGraph){.arena = ARENA_INIT};
}
