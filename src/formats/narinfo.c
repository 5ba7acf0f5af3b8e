// narinfo.c: .narinfo files.
#include "formats/narinfo.h"

#include <stdlib.h>

typedef struct Parser {
  NarInfo *info;
  Span store_dir;
  const char *whence;
  Arena *arena;
  unsigned line;
  bool has_path, has_nar_hash, has_references;
  Span *sigs; // owned while parsing
  size_t sig_cap;
  Err *err;
} Parser;

static bool corrupt(const Parser *p, const char *reason) {
  if (p->line == 0) return err_set(p->err, ERR_SYNTAX, "NAR info file '%s' is corrupt: %s", p->whence, reason);
  return err_set(p->err, ERR_SYNTAX, "NAR info file '%s' is corrupt: %s at line %u", p->whence, reason, p->line);
}

static bool bad_value(const Parser *p) {
  return err_wrap(p->err, "NAR info file '%s', line %u", p->whence, p->line);
}

static int compare_spans(const void *a, const void *b) {
  return span_cmp(*(const Span *)a, *(const Span *)b);
}

static bool parse_references(Parser *p, Span value) {
  NarInfo *info = p->info;
  if (p->has_references) return corrupt(p, "extra References");
  size_t words = 0;
  for (size_t i = 0; i < value.len; i++) words += value.data[i] != ' ' && (i == 0 || value.data[i - 1] == ' ');
  p->has_references = words > 0;
  info->refs = ARENA_ARRAY(p->arena, StorePath, words);
  Span word;
  bool more = words > 0;
  while (more) {
    more = span_split(&value, ' ', &word);
    if (word.len == 0) continue;
    if (!store_path_parse_base(word, &info->refs[info->ref_count++], p->err)) return bad_value(p);
  }
  info->ref_count = store_path_sort(info->refs, info->ref_count);
  return true;
}

static bool parse_hash(Parser *p, Span value, Hash *ret, bool *ret_has) {
  *ret_has = hash_parse_prefixed(value, ret, NULL);
  return *ret_has || corrupt(p, "bad hash");
}

static bool parse_deriver(Parser *p, Span value) {
  if (span_eq(value, SPAN("unknown-deriver"))) return true;
  p->info->has_deriver = store_path_parse_base(value, &p->info->deriver, p->err);
  return p->info->has_deriver || bad_value(p);
}

static bool parse_ca(Parser *p, Span value) {
  if (p->info->has_ca) return corrupt(p, "extra CA");
  if (value.len == 0) return true;
  p->info->has_ca = content_address_parse(value, &p->info->ca, p->err);
  return p->info->has_ca || bad_value(p);
}

static void add_sig(Parser *p, Span value) {
  MEM_RESERVE(p->sigs, p->sig_cap, p->info->sig_count + 1);
  p->sigs[p->info->sig_count++] = value;
}

static bool parse_field(Parser *p, Span name, Span value) {
  NarInfo *info = p->info;
  if (span_eq(name, SPAN("StorePath"))) {
    p->has_path = store_path_parse(value, p->store_dir, &info->path, p->err);
    return p->has_path || bad_value(p);
  }
  if (span_eq(name, SPAN("URL"))) info->url = value;
  else if (span_eq(name, SPAN("Compression"))) info->compression = value;
  else if (span_eq(name, SPAN("FileHash"))) return parse_hash(p, value, &info->file_hash, &info->has_file_hash);
  else if (span_eq(name, SPAN("FileSize")))
    return span_parse_u64(value, &info->file_size_bytes) || corrupt(p, "invalid FileSize");
  else if (span_eq(name, SPAN("NarHash"))) return parse_hash(p, value, &info->nar_hash, &p->has_nar_hash);
  else if (span_eq(name, SPAN("NarSize")))
    return span_parse_u64(value, &info->nar_size_bytes) || corrupt(p, "invalid NarSize");
  else if (span_eq(name, SPAN("References"))) return parse_references(p, value);
  else if (span_eq(name, SPAN("Deriver"))) return parse_deriver(p, value);
  else if (span_eq(name, SPAN("Sig"))) add_sig(p, value);
  else if (span_eq(name, SPAN("CA"))) return parse_ca(p, value);
  return true;
}

static bool parse_lines(Parser *p, Span text) {
  for (p->line = 1; text.len; p->line++) {
    size_t colon = span_find_char(text, ':');
    if (colon == SIZE_MAX) return corrupt(p, "expecting ':'");
    Span name = span_sub(text, 0, colon);
    text = span_from(text, colon + 1);
    size_t end = span_find_char(text, '\n');
    if (end == SIZE_MAX) return corrupt(p, "expecting '\\n'");
    // Nix cuts off one character after the colon, whatever it is.
    if (!parse_field(p, name, span_sub(text, end ? 1 : 0, end ? end - 1 : 0))) return false;
    text = span_from(text, end + 1);
  }
  return true;
}

static void keep_sigs(Parser *p) {
  NarInfo *info = p->info;
  info->sigs = ARENA_ARRAY(p->arena, Span, info->sig_count);
  if (info->sig_count) memcpy(info->sigs, p->sigs, info->sig_count * sizeof(Span));
  if (info->sig_count > 1) qsort(info->sigs, info->sig_count, sizeof(Span), compare_spans);
  size_t kept = 0;
  for (size_t i = 0; i < info->sig_count; i++)
    if (i == 0 || !span_eq(info->sigs[i], info->sigs[kept - 1])) info->sigs[kept++] = info->sigs[i];
  info->sig_count = kept;
}

bool narinfo_parse(Span text, Span store_dir, const char *whence, Arena *arena, NarInfo *ret, Err *err) {
  Parser p = {.info = ret, .store_dir = store_dir, .whence = whence, .arena = arena, .err = err};
  memset(ret, 0, sizeof(*ret));
  if (text.len > NARINFO_SIZE_MAX)
    return err_set(err, ERR_LIMIT, "NAR info file '%s' is longer than %zu bytes", whence, NARINFO_SIZE_MAX);
  bool ok = parse_lines(&p, text);
  if (ok) keep_sigs(&p);
  mem_free(p.sigs);
  if (!ok) return false;
  if (ret->compression.len == 0) ret->compression = SPAN("bzip2");
  p.line = 0;
  if (!p.has_path) return corrupt(&p, "StorePath missing");
  if (!p.has_nar_hash) return corrupt(&p, "NarHash missing");
  if (ret->url.len == 0) return corrupt(&p, "URL missing");
  if (ret->nar_size_bytes == 0) return corrupt(&p, "NarSize missing or zero");
  return true;
}

// Formatting.

static void put_line(Buf *ret, const char *name, Span value) {
  buf_put_cstr(ret, name);
  buf_put_span(ret, value);
  buf_put_char(ret, '\n');
}

void narinfo_format(const NarInfo *info, Span store_dir, Buf *ret) {
  buf_put_cstr(ret, "StorePath: ");
  store_path_format(&info->path, store_dir, ret);
  put_line(ret, "\nURL: ", info->url);
  put_line(ret, "Compression: ", info->compression);
  if (info->has_file_hash) {
    buf_put_cstr(ret, "FileHash: ");
    hash_format(&info->file_hash, HASH_FORMAT_NIX32, true, ret);
    buf_put_char(ret, '\n');
  }
  if (info->file_size_bytes) buf_printf(ret, "FileSize: %llu\n", (unsigned long long)info->file_size_bytes);
  buf_put_cstr(ret, "NarHash: ");
  hash_format(&info->nar_hash, HASH_FORMAT_NIX32, true, ret);
  buf_printf(ret, "\nNarSize: %llu\nReferences: ", (unsigned long long)info->nar_size_bytes);
  for (size_t i = 0; i < info->ref_count; i++) {
    if (i) buf_put_char(ret, ' ');
    store_path_format_base(&info->refs[i], ret);
  }
  buf_put_char(ret, '\n');
  if (info->has_deriver) {
    buf_put_cstr(ret, "Deriver: ");
    store_path_format_base(&info->deriver, ret);
    buf_put_char(ret, '\n');
  }
  for (size_t i = 0; i < info->sig_count; i++) put_line(ret, "Sig: ", info->sigs[i]);
  if (info->has_ca) {
    buf_put_cstr(ret, "CA: ");
    content_address_format(&info->ca, ret);
    buf_put_char(ret, '\n');
  }
}
