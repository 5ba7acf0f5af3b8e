// store_path.c: store paths and the rules that compute them.
#include "formats/store_path.h"

#include <stdlib.h>

#include "base/fs.h"
#include "formats/base16.h"
#include "formats/nixbase32.h"

bool store_path_eq(const StorePath *a, const StorePath *b) {
  return memcmp(a->digest, b->digest, sizeof(a->digest)) == 0 && span_eq(store_path_name(a), store_path_name(b));
}

int store_path_cmp(const StorePath *a, const StorePath *b) {
  // The first digit of the text holds the highest bits of the last byte.
  for (size_t i = STORE_PATH_DIGEST_BYTES; i-- > 0;)
    if (a->digest[i] != b->digest[i]) return a->digest[i] < b->digest[i] ? -1 : 1;
  return span_cmp(store_path_name(a), store_path_name(b));
}

static int compare_paths(const void *a, const void *b) {
  return store_path_cmp(a, b);
}

size_t store_path_sort(StorePath *paths, size_t count) {
  size_t kept = 1;
  while (kept < count && store_path_cmp(&paths[kept - 1], &paths[kept]) < 0) kept++;
  if (kept >= count) return count;
  qsort(paths, count, sizeof *paths, compare_paths);
  kept = 1;
  for (size_t i = 1; i < count; i++)
    if (!store_path_eq(&paths[i], &paths[kept - 1])) paths[kept++] = paths[i];
  return kept;
}

bool store_path_is_derivation(const StorePath *path) {
  return span_has_suffix(store_path_name(path), SPAN(".drv"));
}

// Checking.

static bool is_name_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' || c == '-' ||
         c == '.' || c == '_' || c == '?' || c == '=';
}

// "." and ".." are path components; with a dash behind they would be ones once the hash is cut off.
static bool check_dots(Span name, Err *err) {
  size_t dots = 0;
  while (dots < name.len && dots < 2 && name.data[dots] == '.') dots++;
  if (dots && dots == name.len) return err_set(err, ERR_SYNTAX, "name '%.*s' is not valid", SPAN_ARG(name));
  if (dots && name.data[dots] == '-')
    return err_set(err, ERR_SYNTAX, "name '%.*s' is not valid: first dash-separated component must not be '%.*s'",
                   SPAN_ARG(name), (int)dots, name.data);
  return true;
}

bool store_path_check_name(Span name, Err *err) {
  if (name.len == 0) return err_set(err, ERR_SYNTAX, "name must not be empty");
  if (name.len > STORE_PATH_NAME_MAX)
    return err_set(err, ERR_SYNTAX, "name '%.*s' must be no longer than %d characters", SPAN_ARG(name),
                   STORE_PATH_NAME_MAX);
  if (name.data[0] == '.' && !check_dots(name, err)) return false;
  for (size_t i = 0; i < name.len; i++)
    if (UNLIKELY(!is_name_char(name.data[i])))
      return err_set(err, ERR_SYNTAX, "name '%.*s' contains illegal character '%c'", SPAN_ARG(name), name.data[i]);
  return true;
}

static void set_name(StorePath *path, Span name) {
  path->name_len = (uint8_t)name.len;
  memcpy(path->name, name.data, name.len);
  path->name[name.len] = 0;
}

// `digest` is set already; wraps a bad name with the whole path, as Nix does.
static bool check_and_set_name(StorePath *path, Span name, Err *err) {
  Err inner = ERR_INIT;
  if (LIKELY(store_path_check_name(name, &inner))) {
    set_name(path, name);
    return true;
  }
  char hash[STORE_PATH_HASH_CHARS];
  store_path_format_hash(path, hash);
  err_set(err, ERR_SYNTAX, "path '%.*s-%.*s' is not a valid store path: %s", STORE_PATH_HASH_CHARS, hash,
          SPAN_ARG(name), err_message(&inner));
  err_done(&inner);
  return false;
}

// Parsing.

bool store_path_parse_base(Span base_name, StorePath *ret, Err *err) {
  if (base_name.len < STORE_PATH_HASH_CHARS + 1)
    return err_set(err, ERR_SYNTAX, "'%.*s' is too short to be a valid store path", SPAN_ARG(base_name));
  // 160 bits are exactly 32 digits: only a foreign character can fail.
  if (UNLIKELY(!nixbase32_decode(span_sub(base_name, 0, STORE_PATH_HASH_CHARS), ret->digest, sizeof(ret->digest)))) {
    size_t i = 0;
    while (nixbase32_is_digit(base_name.data[i])) i++;
    return err_set(err, ERR_SYNTAX, "store path '%.*s' contains illegal base-32 character '%c'", SPAN_ARG(base_name),
                   base_name.data[i]);
  }
  // Nix does not look at the character between; a dash is what every writer puts there and every reader shows.
  if (base_name.data[STORE_PATH_HASH_CHARS] != '-')
    return err_set(err, ERR_SYNTAX, "path '%.*s' is not a valid store path: no dash after the hash",
                   SPAN_ARG(base_name));
  return check_and_set_name(ret, span_from(base_name, STORE_PATH_HASH_CHARS + 1), err);
}

bool store_path_is_below(Span path, Span store_dir) {
  return path.len > store_dir.len + 1 && span_has_prefix(path, store_dir) && path.data[store_dir.len] == '/';
}

bool store_path_parse(Span path, Span store_dir, StorePath *ret, Err *err) {
  if (LIKELY(store_path_is_below(path, store_dir))) {
    Span base_name = span_from(path, store_dir.len + 1);
    if (LIKELY(span_find_char(base_name, '/') == SIZE_MAX)) return store_path_parse_base(base_name, ret, err);
  }
  if (path.len == 0 || path.data[0] != '/')
    return err_set(err, ERR_SYNTAX, "not an absolute path: '%.*s'", SPAN_ARG(path));
  Buf canon CLEANUP(buf_done) = BUF_INIT;
  fs_path_canon(SPAN("/"), path, &canon);
  Span whole = buf_span(&canon);
  if (!span_eq(fs_path_dir(whole), store_dir))
    return err_set(err, ERR_SYNTAX, "path '%.*s' is not in the Nix store", SPAN_ARG(whole));
  return store_path_parse_base(fs_path_base(whole), ret, err);
}

bool store_path_split(Span path, Span store_dir, StorePath *ret, Span *ret_rest, Err *err) {
  if (!store_path_is_below(path, store_dir))
    return err_set(err, ERR_SYNTAX, "path '%.*s' is not in the Nix store", SPAN_ARG(path));
  Span base_name = span_from(path, store_dir.len + 1);
  size_t slash = span_find_char(base_name, '/');
  *ret_rest = span_from(base_name, slash);
  return store_path_parse_base(span_sub(base_name, 0, slash), ret, err);
}

// Formatting.

void store_path_format_hash(const StorePath *path, char ret[STORE_PATH_HASH_CHARS]) {
  nixbase32_encode(path->digest, STORE_PATH_DIGEST_BYTES, ret);
}

void store_path_format_base(const StorePath *path, Buf *ret) {
  buf_reserve(ret, STORE_PATH_HASH_CHARS + 1 + STORE_PATH_NAME_MAX);
  store_path_format_hash(path, ret->data + ret->len);
  ret->len += STORE_PATH_HASH_CHARS;
  buf_put_char(ret, '-');
  buf_put_span(ret, store_path_name(path));
}

void store_path_format(const StorePath *path, Span store_dir, Buf *ret) {
  buf_put_span(ret, store_dir);
  buf_put_char(ret, '/');
  store_path_format_base(path, ret);
}

// Computing.

// Ends the hashed text after its type: ":sha256:" hex(inner) ":" store-dir ":" name.
static bool finish(HashSha256 *ctx, const uint8_t inner[32], Span store_dir, Span name, StorePath *ret, Err *err) {
  char hex[1 + 7 + 64 + 1] = ":sha256:";
  base16_encode(inner, 32, hex + 8);
  hex[72] = ':';
  hash_sha256_update(ctx, hex, sizeof(hex));
  hash_sha256_update_span(ctx, store_dir);
  hash_sha256_update_span(ctx, SPAN(":"));
  hash_sha256_update_span(ctx, name);
  uint8_t sha256[32];
  hash_sha256_final(ctx, sha256);
  hash_compress(sha256, sizeof(sha256), ret->digest, sizeof(ret->digest));
  return check_and_set_name(ret, name, err);
}

bool store_path_make(Span type, const uint8_t inner[32], Span store_dir, Span name, StorePath *ret, Err *err) {
  HashSha256 ctx;
  hash_sha256_init(&ctx);
  hash_sha256_update_span(&ctx, type);
  return finish(&ctx, inner, store_dir, name, ret, err);
}

static int compare_spans(const void *a, const void *b) {
  return span_cmp(*(const Span *)a, *(const Span *)b);
}

static void update_refs_sorted(HashSha256 *ctx, const Span *paths, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (i && span_eq(paths[i], paths[i - 1])) continue;
    hash_sha256_update_span(ctx, SPAN(":"));
    hash_sha256_update_span(ctx, paths[i]);
  }
}

static void update_refs(HashSha256 *ctx, const StorePathRefs *refs) {
  bool sorted = true;
  for (size_t i = 1; i < refs->count && sorted; i++) sorted = span_cmp(refs->paths[i - 1], refs->paths[i]) <= 0;
  if (sorted) {
    update_refs_sorted(ctx, refs->paths, refs->count);
  } else {
    Span *copy CLEANUP(mem_free_ptr) = mem_alloc_array(refs->count, sizeof(Span));
    memcpy(copy, refs->paths, refs->count * sizeof(Span));
    qsort(copy, refs->count, sizeof(Span), compare_spans);
    update_refs_sorted(ctx, copy, refs->count);
  }
  if (refs->self) hash_sha256_update_span(ctx, SPAN(":self"));
}

static bool make_with_refs(Span type, const StorePathRefs *refs, const uint8_t inner[32], Span store_dir, Span name,
                           StorePath *ret, Err *err) {
  HashSha256 ctx;
  hash_sha256_init(&ctx);
  hash_sha256_update_span(&ctx, type);
  if (refs) update_refs(&ctx, refs);
  return finish(&ctx, inner, store_dir, name, ret, err);
}

bool store_path_make_text(Span name, const uint8_t sha256[32], const StorePathRefs *refs, Span store_dir,
                          StorePath *ret, Err *err) {
  if (refs && refs->self) return err_set(err, ERR_SYNTAX, "self-reference not allowed with text hashing");
  return make_with_refs(SPAN("text"), refs, sha256, store_dir, name, ret, err);
}

// sha256("fixed:out:" [r:|git:] algo ":" hex ":"), for what "source" and "text" do not cover.
static void fixed_digest(const ContentAddress *ca, uint8_t ret[32]) {
  char text[10 + 5 + 6 + 1 + 2 * HASH_MAX_BYTES + 1];
  size_t len = 0;
  const Span parts[] = {SPAN_LIT("fixed:out:"), content_address_method_prefix(ca->method),
                        hash_algo_name(ca->hash.algo), SPAN_LIT(":")};
  for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
    memcpy(text + len, parts[i].data, parts[i].len);
    len += parts[i].len;
  }
  base16_encode(ca->hash.bytes, hash_len(ca->hash.algo), text + len);
  len += 2 * hash_len(ca->hash.algo);
  text[len++] = ':';
  hash_sha256(span_make(text, len), ret);
}

bool store_path_make_fixed(Span name, const ContentAddress *ca, const StorePathRefs *refs, Span store_dir,
                           StorePath *ret, Err *err) {
  bool is_sha256 = ca->hash.algo == HASH_SHA256;
  if (ca->method == CA_TEXT) {
    if (!is_sha256)
      return err_set(err, ERR_SYNTAX, "text hashing of '%.*s' must use SHA-256, not %.*s", SPAN_ARG(name),
                     SPAN_ARG(hash_algo_name(ca->hash.algo)));
    return store_path_make_text(name, ca->hash.bytes, refs, store_dir, ret, err);
  }
  if (ca->method == CA_GIT && ca->hash.algo != HASH_SHA1)
    return err_set(err, ERR_SYNTAX, "Git file ingestion must use SHA-1 hash");
  if (ca->method == CA_NAR && is_sha256)
    return make_with_refs(SPAN("source"), refs, ca->hash.bytes, store_dir, name, ret, err);
  if (refs && (refs->count || refs->self))
    return err_set(err, ERR_SYNTAX,
                   "fixed output derivation '%.*s' is not allowed to refer to other store paths.\nYou may need to use "
                   "the 'unsafeDiscardReferences' derivation attribute, see the manual for more details.",
                   SPAN_ARG(name));
  uint8_t digest[32];
  fixed_digest(ca, digest);
  return store_path_make(SPAN("output:out"), digest, store_dir, name, ret, err);
}

void store_path_put_output_name(Span drv_name, Span output, Buf *ret) {
  buf_put_span(ret, drv_name);
  if (span_eq(output, SPAN("out"))) return;
  buf_put_char(ret, '-');
  buf_put_span(ret, output);
}

bool store_path_make_output(Span drv_name, Span output, const uint8_t modulo[32], Span store_dir, StorePath *ret,
                            Err *err) {
  // The name is at most 211 bytes, but what comes in may be longer: it is refused with the whole name in the message.
  Buf name CLEANUP(buf_done) = BUF_INIT;
  Span name_span = drv_name;
  if (!span_eq(output, SPAN("out"))) {
    store_path_put_output_name(drv_name, output, &name);
    name_span = buf_span(&name);
  }
  HashSha256 ctx;
  hash_sha256_init(&ctx);
  hash_sha256_update_span(&ctx, SPAN("output:"));
  hash_sha256_update_span(&ctx, output);
  return finish(&ctx, modulo, store_dir, name_span, ret, err);
}
