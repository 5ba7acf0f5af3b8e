// source_url.c: see source_url.h.
#include "glue/source_url.h"

#include <string.h>

static bool is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}
static bool is_one_of(char c, const char *set) {
  return c && strchr(set, c);
}
static bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// The end of the longest run from `at` of unreserved bytes, escapes, sub-delimiters and `more`.
static size_t run_end(Span text, size_t at, const char *more) {
  while (at < text.len) {
    char c = text.data[at];
    if (c == '%' && at + 2 < text.len && is_hex(text.data[at + 1]) && is_hex(text.data[at + 2])) at += 3;
    else if (is_alnum(c) || is_one_of(c, "-._~!$&'\"()*+,;=") || is_one_of(c, more)) at++;
    else break;
  }
  return at;
}

static unsigned hex_value(char c) {
  return (unsigned)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
}

// Escapes have been checked.
static Span decode(Span text, Arena *arena) {
  Buf out CLEANUP(buf_done) = BUF_INIT;
  for (size_t i = 0; i < text.len; i++) {
    if (text.data[i] != '%') {
      buf_put_char(&out, text.data[i]);
      continue;
    }
    buf_put_char(&out, (char)(hex_value(text.data[i + 1]) << 4 | hex_value(text.data[i + 2])));
    i += 2;
  }
  return arena_dup(arena, buf_span(&out));
}

static void encode(Span text, const char *keep, Buf *ret) {
  for (size_t i = 0; i < text.len; i++) {
    char c = text.data[i];
    if (is_alnum(c) || is_one_of(c, "-._~") || is_one_of(c, keep)) buf_put_char(ret, c);
    else buf_printf(ret, "%%%02X", (unsigned char)c);
  }
}

// Where a parameter of that name is, or belongs.
static size_t param_place(const SourceUrl *url, Span name, bool *ret_found) {
  size_t i = 0;
  while (i < url->param_count && span_cmp(url->params[i].name, name) < 0) i++;
  *ret_found = i < url->param_count && span_eq(url->params[i].name, name);
  return i;
}

static bool insert_param(SourceUrl *url, size_t place, Span name, Span value, Err *err) {
  if (url->param_count == SOURCE_URL_MAX_PARAMS)
    return err_set(err, ERR_LIMIT, "a URL has more than %u parameters", SOURCE_URL_MAX_PARAMS);
  memmove(&url->params[place + 1], &url->params[place], (url->param_count - place) * sizeof(SourceUrlParam));
  url->params[place] = (SourceUrlParam){name, value};
  url->param_count++;
  return true;
}

bool source_url_set_param(SourceUrl *url, Span name, Span value, Err *err) {
  bool found;
  size_t place = param_place(url, name, &found);
  if (!found) return insert_param(url, place, name, value, err);
  url->params[place].value = value;
  return true;
}

static bool read_query(Span query, Arena *arena, SourceUrl *ret, Err *err) {
  Span part;
  for (bool more = query.len > 0; more;) {
    more = span_split(&query, '&', &part);
    size_t equals = span_find_char(part, '=');
    if (equals == SIZE_MAX) continue;
    bool found;
    Span name = arena_dup(arena, span_sub(part, 0, equals));
    size_t place = param_place(ret, name, &found);
    if (!found && !insert_param(ret, place, name, decode(span_from(part, equals + 1), arena), err)) return false;
  }
  return true;
}

// [user@]host[:port], the host a name or an address in brackets.
static bool is_authority(Span text) {
  size_t at = span_find_char(text, '@');
  if (at != SIZE_MAX) {
    if (run_end(span_sub(text, 0, at), 0, ":") != at) return false;
    text = span_from(text, at + 1);
  }
  if (text.len && text.data[0] == '[') {
    size_t close = span_find_char(text, ']');
    if (close == SIZE_MAX || close < 2) return false;
    text = span_from(text, close + 1);
    if (text.len && text.data[0] != ':') return false;
  }
  // What is left is a name, or an address, whose colons look like those of a port.
  return run_end(text, 0, ":") == text.len;
}

bool source_url_parse(Span text, Arena *arena, SourceUrl *ret, Err *err) {
  *ret = (SourceUrl){0};
  if (text.len > SOURCE_URL_MAX_BYTES)
    return err_set(err, ERR_LIMIT, "a URL of %zu bytes is longer than the limit of %zu", text.len,
                   SOURCE_URL_MAX_BYTES);
  size_t colon = 0;
  while (colon < text.len &&
         (((text.data[colon] >= 'a' && text.data[colon] <= 'z')) ||
          (colon && (is_one_of(text.data[colon], "+.-") || (text.data[colon] >= '0' && text.data[colon] <= '9')))))
    colon++;
  bool ok = colon > 0 && colon < text.len && text.data[colon] == ':';
  size_t at = colon + 1, path = at, path_end = at, query_end, end;
  if (ok) {
    ret->scheme = arena_dup(arena, span_sub(text, 0, colon));
    if (span_has_prefix(span_from(text, at), SPAN("//"))) {
      path = at + 2;
      while (path < text.len && !is_one_of(text.data[path], "/?#")) path++;
      ret->has_authority = true;
      ret->authority = arena_dup(arena, span_sub(text, at + 2, path - at - 2));
      ok = is_authority(ret->authority);
    }
    path_end = run_end(text, path, "/:@");
  }
  query_end = end = path_end;
  if (ok && end < text.len && text.data[end] == '?') query_end = end = run_end(text, end + 1, "/?:@ ");
  if (ok && end < text.len && text.data[end] == '#') end = run_end(text, end + 1, "/?:@ ^");
  if (!ok || end != text.len) return err_set(err, ERR_EVAL, "'%.*s' is not a valid URL", SPAN_ARG(text));
  bool is_file = span_eq_cstr(ret->scheme, "file") || span_has_suffix(ret->scheme, SPAN("+file"));
  if (is_file && ret->authority.len)
    return err_set(err, ERR_EVAL, "file:// URL '%.*s' has unexpected authority '%.*s'", SPAN_ARG(text),
                   SPAN_ARG(ret->authority));
  ret->path = decode(span_sub(text, path, path_end - path), arena);
  if (is_file && ret->path.len == 0) ret->path = SPAN("/");
  if (end > query_end) ret->fragment = decode(span_sub(text, query_end + 1, end - query_end - 1), arena);
  Span query = query_end > path_end ? span_sub(text, path_end + 1, query_end - path_end - 1) : SPAN("");
  return read_query(query, arena, ret, err);
}

void source_url_format(const SourceUrl *url, Buf *ret) {
  buf_printf(ret, "%.*s:", SPAN_ARG(url->scheme));
  if (url->has_authority) buf_printf(ret, "//%.*s", SPAN_ARG(url->authority));
  encode(url->path, ":@/", ret);
  for (size_t i = 0; i < url->param_count; i++) {
    buf_put_char(ret, i ? '&' : '?');
    encode(url->params[i].name, ":@/?", ret);
    buf_put_char(ret, '=');
    encode(url->params[i].value, ":@/?", ret);
  }
  if (!url->fragment.len) return;
  buf_put_char(ret, '#');
  encode(url->fragment, "", ret);
}

void source_url_fix_git(Span text, Buf *ret) {
  size_t at = span_find_char(text, '@'), colon = span_rfind_char(text, ':');
  bool is_scp =
      at != SIZE_MAX && colon != SIZE_MAX && colon > at && span_find_char(span_sub(text, 0, at), '/') == SIZE_MAX;
  if (is_scp && !span_has_prefix(text, SPAN("/"))) {
    buf_printf(ret, "ssh://%.*s/%.*s", SPAN_ARG(span_sub(text, 0, colon)), SPAN_ARG(span_from(text, colon + 1)));
  } else if (span_has_prefix(text, SPAN("file:")) || span_find(text, SPAN("://")) != SIZE_MAX) {
    buf_put_span(ret, text);
  } else {
    buf_put_cstr(ret, "file://");
    encode(text, ":@/", ret);
  }
}
