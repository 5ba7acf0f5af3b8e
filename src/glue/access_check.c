// access_check.c: see access_check.h.
#include "glue/access_check.h"

void access_check_done(AccessCheck *check) {
  map_done(&check->prefixes);
  map_done(&check->ancestors);
  map_done(&check->uris);
}

static Span parent_of(Span path) {
  size_t slash = span_rfind_char(path, '/');
  return slash == 0 || slash == SIZE_MAX ? SPAN("/") : span_sub(path, 0, slash);
}

void access_check_allow(AccessCheck *check, Span path) {
  if (map_has(&check->prefixes, path)) return;
  map_set(&check->prefixes, path, NULL);
  while (path.len > 1) {
    path = parent_of(path);
    if (map_has(&check->ancestors, path)) break;
    map_set(&check->ancestors, path, NULL);
  }
}

void access_check_allow_uri(AccessCheck *check, Span uri) {
  map_set(&check->uris, uri, NULL);
}

bool access_check_is_allowed(const AccessCheck *check, Span path) {
  if (LIKELY(!check->restrict_eval && !check->pure_eval)) return true;
  if (map_has(&check->ancestors, path)) return true;
  for (Span prefix = path;; prefix = parent_of(prefix)) {
    if (map_has(&check->prefixes, prefix)) return true;
    if (prefix.len <= 1) break;
  }
  return false;
}

bool access_check_path(const AccessCheck *check, Span path, Err *err) {
  if (LIKELY(access_check_is_allowed(check, path))) return true;
  return err_set(err, ERR_EVAL, "access to absolute path '%.*s' is forbidden %s", SPAN_ARG(path),
                 check->pure_eval ? "in pure evaluation mode (use '--impure' to override)" : "in restricted mode");
}

// A prefix counts where it ends at a path component: "https://a" does not allow "https://ab".
static bool uri_below(Span uri, Span prefix) {
  return uri.len > prefix.len && prefix.len > 0 && span_has_prefix(uri, prefix) &&
         (prefix.data[prefix.len - 1] == '/' || uri.data[prefix.len] == '/');
}

bool access_check_uri(const AccessCheck *check, Span uri, Err *err) {
  if (!check->restrict_eval) return true;
  for (MapEntry *e = map_first(&check->uris); e; e = map_next(&check->uris, e)) {
    Span prefix = span_make(e->key, e->key_len);
    if (span_eq(uri, prefix) || uri_below(uri, prefix)) return true;
    // "github:" and the like allow a whole scheme.
    if (prefix.len && prefix.data[prefix.len - 1] == ':' && span_has_prefix(uri, prefix)) return true;
  }
  if (span_has_prefix(uri, SPAN("/"))) return access_check_path(check, uri, err);
  if (span_has_prefix(uri, SPAN("file://"))) return access_check_path(check, span_from(uri, 7), err);
  return err_set(err, ERR_EVAL, "access to URI '%.*s' is forbidden in restricted mode", SPAN_ARG(uri));
}
