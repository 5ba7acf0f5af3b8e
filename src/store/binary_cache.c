// binary_cache.c: narinfo, nar and listing files, in a directory or behind a server.
#include "store/binary_cache.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/map.h"
#include "base/process.h"
#include "castore/castore_nar.h"
#include "formats/nar_list.h"
#include "formats/nixbase32.h"
#include "store/store_add.h"
#include "store/store_ca.h"
#include "store/store_check.h"
#include "store/store_state.h"

#define BINARY_CACHE_INFO_MAX ((size_t)64 << 10)
#define BINARY_CACHE_PARALLEL_BYTES ((uint64_t)64 << 20) // archives from there on are compressed by all processors
#define BINARY_CACHE_LOG_MAX ((size_t)256 << 20)
enum { BINARY_CACHE_PRIORITY = 50 };

// A path that lies ready: the archive, what else there is, and last the description.
struct BinaryCacheItem {
  StorePath path;
  StorePath *refs; // owned
  size_t ref_count;
  CacheUpload *files; // owned
  size_t file_count, file_cap;
  uint64_t size_bytes; // of the archive
};

#define BINARY_CACHE_BATCH_COUNT 1024u // paths that are published together, at most
#define BINARY_CACHE_BATCH_BYTES ((uint64_t)1 << 30)
#define BINARY_CACHE_BATCH_MS 5000

struct BinaryCache {
  BinaryCacheItem **batch; // owned; committed and not published
  size_t batch_count, batch_cap;
  Map batch_index; // digests
  uint64_t batch_bytes;
  int64_t batch_since_ms;

  CacheSource *source;   // owned
  NarinfoCache *answers; // borrowed; NULL: asks each time
  int priority;
  bool trusted;   // by its URL
  Span store_dir; // owned
  BinaryCacheOptions options;
};

// ---- opening

// The value of "<name>: ..." in nix-cache-info.
static Span binary_cache_info_value(Span text, const char *name) {
  while (text.len > 0) {
    Span line, value;
    (void)span_split(&text, '\n', &line);
    value = line;
    Span key;
    if (span_split(&value, ':', &key) && span_eq_cstr(key, name)) return span_trim(value);
  }
  return SPAN("");
}

// A small file of the cache, or what is remembered of it.
static bool binary_cache_read(BinaryCache *cache, Span name, size_t max_bytes, Buf *ret, bool *ret_found, Err *err) {
  const char *url = cache_source_url(cache->source);
  size_t start = ret->len;
  NarinfoCacheAnswer answer = narinfo_cache_find(cache->answers, url, name, ret);
  *ret_found = answer == NARINFO_CACHE_PRESENT;
  if (answer != NARINFO_CACHE_UNKNOWN) return true;
  if (!cache_source_read(cache->source, name, max_bytes, ret, ret_found, err)) return false;
  Span text = span_from(buf_span(ret), start);
  narinfo_cache_put(cache->answers, url, name, *ret_found ? &text : NULL);
  return true;
}

static bool binary_cache_check_info(BinaryCache *cache, bool *ret_found, Err *err) {
  CLEANUP(buf_done) Buf text = BUF_INIT;
  if (!binary_cache_read(cache, SPAN("nix-cache-info"), BINARY_CACHE_INFO_MAX, &text, ret_found, err)) return false;
  Span dir = binary_cache_info_value(buf_span(&text), "StoreDir");
  Span priority = binary_cache_info_value(buf_span(&text), "Priority");
  uint64_t number;
  if (cache->priority < 0)
    cache->priority = span_parse_u64(priority, &number) && number < INT32_MAX ? (int)number : BINARY_CACHE_PRIORITY;
  if (dir.len == 0 || span_eq(dir, cache->store_dir)) return true;
  return err_set(err, ERR_OTHER, "binary cache '%s' is for Nix stores with prefix '%.*s', not '%.*s'",
                 cache_source_url(cache->source), SPAN_ARG(dir), SPAN_ARG(cache->store_dir));
}

static bool binary_cache_write_info(BinaryCache *cache, Err *err) {
  CLEANUP(buf_done) Buf text = BUF_INIT;
  buf_printf(&text, "StoreDir: %.*s\n", SPAN_ARG(cache->store_dir));
  return cache_source_make_folders(cache->source, err) &&
         cache_source_write(cache->source, SPAN("nix-cache-info"), buf_span(&text), "text/x-nix-cache-info", err);
}

static BinaryCache *binary_cache_new(Span store_dir) {
  BinaryCache *cache = mem_alloc_zero(sizeof(*cache));
  *cache = (BinaryCache){.store_dir = {span_dup(store_dir), store_dir.len}, .priority = -1};
  return cache;
}

bool binary_cache_open(const char *url, HttpClient *client, Span store_dir, const BinaryCacheOptions *options,
                       BinaryCache **ret, Err *err) {
  BinaryCache *cache = binary_cache_new(store_dir);
  bool found = false;
  cache->options = *options;
  // Nix reads caches without nix-cache-info, too.
  if (!cache_source_new(span_cstr(url), client, &cache->source, err) || !binary_cache_check_info(cache, &found, err) ||
      (!found && !options->read_only && !binary_cache_write_info(cache, err))) {
    const char *name = cache->source ? cache_source_url(cache->source) : url;
    err_wrap(err, "opening the binary cache '%s'", name);
    binary_cache_free(cache);
    return false;
  }
  *ret = cache;
  return true;
}

static void binary_cache_set_parameters(BinaryCache *cache, Span url) {
  Span place, parameter, name;
  if (!span_split(&url, '?', &place)) return;
  while (span_split(&url, '&', &parameter) || parameter.len) {
    uint64_t number;
    bool has_value = span_split(&parameter, '=', &name);
    if (has_value && span_eq_cstr(name, "priority") && span_parse_u64(parameter, &number) && number < INT32_MAX)
      cache->priority = (int)number;
    if (has_value && span_eq_cstr(name, "trusted"))
      cache->trusted = span_eq_cstr(parameter, "1") || span_eq_cstr(parameter, "true");
  }
}

bool binary_cache_open_url(Span url, HttpClient *client, NarinfoCache *answers, Span store_dir, BinaryCache **ret,
                           Err *err) {
  BinaryCache *cache = binary_cache_new(store_dir);
  bool found;
  cache->options.read_only = true;
  binary_cache_set_parameters(cache, url);
  bool ok = cache_source_new(url, client, &cache->source, err);
  if (ok && cache_source_is_remote(cache->source)) cache->answers = answers;
  if (!ok || !binary_cache_check_info(cache, &found, err)) {
    binary_cache_free(cache);
    return err_wrap(err, "opening the binary cache '%.*s'", SPAN_ARG(url));
  }
  *ret = cache;
  return true;
}

bool binary_cache_is_remote(const BinaryCache *cache) {
  return cache_source_is_remote(cache->source);
}

const char *binary_cache_url(const BinaryCache *cache) {
  return cache_source_url(cache->source);
}

int binary_cache_priority(const BinaryCache *cache) {
  return cache->priority;
}

void binary_cache_free(BinaryCache *cache) {
  if (!cache) return;
  for (size_t i = 0; i < cache->batch_count; i++) binary_cache_item_free(cache->batch[i]);
  mem_free(cache->batch);
  map_done(&cache->batch_index);
  cache_source_free(cache->source);
  mem_free((char *)cache->store_dir.data);
  mem_free(cache);
}

// "<hash><suffix>".
static void binary_cache_format(const uint8_t digest[20], const char *suffix, Buf *ret) {
  StorePath path = {.name_len = 0};
  char hash[STORE_PATH_HASH_CHARS];
  memcpy(path.digest, digest, sizeof(path.digest));
  store_path_format_hash(&path, hash);
  buf_printf(ret, "%.*s%s", STORE_PATH_HASH_CHARS, hash, suffix);
}

bool binary_cache_find(BinaryCache *cache, const uint8_t digest[20], Arena *arena, NarInfo *ret, bool *ret_found,
                       Err *err) {
  CLEANUP(buf_done) Buf name = BUF_INIT;
  CLEANUP(buf_done) Buf text = BUF_INIT;
  CLEANUP(buf_done) Buf whence = BUF_INIT;
  StorePath path = {.name_len = 0};
  char hash[STORE_PATH_HASH_CHARS];
  memcpy(path.digest, digest, sizeof(path.digest));
  store_path_format_hash(&path, hash);
  buf_printf(&name, "%.*s.narinfo", STORE_PATH_HASH_CHARS, hash);
  if (!binary_cache_read(cache, buf_span(&name), NARINFO_SIZE_MAX, &text, ret_found, err)) return false;
  if (!*ret_found) return true;
  buf_printf(&whence, "%s/%s", cache_source_url(cache->source), buf_cstr(&name));
  if (!narinfo_parse(arena_dup(arena, buf_span(&text)), cache->store_dir, buf_cstr(&whence), arena, ret, err))
    return false;
  if (memcmp(ret->path.digest, digest, STORE_PATH_DIGEST_BYTES) == 0) return true;
  return err_set(err, ERR_CORRUPT, "NAR info file '%s' describes another path", buf_cstr(&whence));
}

bool binary_cache_find_realisation(BinaryCache *cache, Span id, Arena *arena, Realisation *ret, bool *ret_found,
                                   Err *err) {
  CLEANUP(buf_done) Buf name = BUF_INIT;
  CLEANUP(buf_done) Buf text = BUF_INIT;
  buf_printf(&name, "realisations/%.*s.doi", SPAN_ARG(id));
  if (!binary_cache_read(cache, buf_span(&name), REALISATION_SIZE_MAX, &text, ret_found, err)) return false;
  if (!*ret_found) return true;
  if (!realisation_parse(buf_span(&text), arena, ret, err))
    return err_wrap(err, "'%s/%s'", cache_source_url(cache->source), buf_cstr(&name));
  if (span_eq(ret->id, id)) return true;
  return err_set(err, ERR_CORRUPT, "'%s/%s' describes another output", cache_source_url(cache->source),
                 buf_cstr(&name));
}

// ---- writing

// The NAR on its way out: compressed to a file (counted and hashed), hashed itself, and parsed for the listing and the index of debug information.
typedef struct BinaryCacheOut {
  CacheUpload file;
  HashSha256 file_hash, nar_hash;
  uint64_t file_size_bytes, nar_size_bytes;
  StreamEncoder *encoder; // owned
  ByteSink encoder_sink;
  bool parses;
  NarRead parser;
  NarList list;
  Buf listing;
  Buf place; // "/lib/debug": where in the tree the parser is
  Buf debug; // build ids and files, each ended by a NUL, of what was found below lib/debug/.build-id
} BinaryCacheOut;

static bool binary_cache_file_put(void *ctx, Span data, Err *err) {
  BinaryCacheOut *out = ctx;
  hash_sha256_update_span(&out->file_hash, data);
  out->file_size_bytes += data.len;
  return fs_write_all(out->file.fd, data, err);
}

static bool binary_cache_is_hex(Span text) {
  for (size_t i = 0; i < text.len; i++)
    if (!(text.data[i] >= '0' && text.data[i] <= '9') && !(text.data[i] >= 'a' && text.data[i] <= 'f')) return false;
  return true;
}

// "/lib/debug/.build-id/ab/<38 digits>.debug"
static void binary_cache_note_debug(BinaryCacheOut *out) {
  static const char folder[] = "/lib/debug/.build-id/", suffix[] = ".debug";
  Span place = buf_span(&out->place);
  if (place.len != strlen(folder) + 3 + 38 + strlen(suffix) || !span_has_prefix(place, span_cstr(folder)) ||
      !span_has_suffix(place, span_cstr(suffix)))
    return;
  Span first = span_sub(place, strlen(folder), 2), rest = span_sub(place, strlen(folder) + 3, 38);
  if (!binary_cache_is_hex(first) || !binary_cache_is_hex(rest)) return;
  buf_put_span(&out->debug, first);
  buf_put_span(&out->debug, rest);
  buf_put_char(&out->debug, 0);
  buf_put_span(&out->debug, span_from(place, 1));
  buf_put_char(&out->debug, 0);
}

static void binary_cache_follow(BinaryCacheOut *out, const NarReadEvent *event) {
  bool begins = event->kind == NAR_READ_DIR_BEGIN || event->kind == NAR_READ_FILE_BEGIN;
  bool ends = event->kind == NAR_READ_DIR_END || event->kind == NAR_READ_FILE_END;
  if (begins && event->name.len) buf_printf(&out->place, "/%.*s", SPAN_ARG(event->name));
  if (event->kind == NAR_READ_FILE_BEGIN) binary_cache_note_debug(out);
  if (!ends) return;
  size_t slash = span_rfind_char(buf_span(&out->place), '/');
  out->place.len = slash == SIZE_MAX ? 0 : slash;
}

static bool binary_cache_nar_put(void *ctx, Span data, Err *err) {
  BinaryCacheOut *out = ctx;
  if (!byte_stream_put(&out->encoder_sink, data, err)) return false;
  hash_sha256_update_span(&out->nar_hash, data);
  out->nar_size_bytes += data.len;
  NarReadEvent event;
  NarReadStatus status = NAR_READ_MORE;
  while (out->parses && (status = nar_read_next(&out->parser, &data, &event, err)) == NAR_READ_EVENT) {
    binary_cache_follow(out, &event);
    if (!nar_list_event(&out->list, &event, err)) return false;
  }
  return status != NAR_READ_ERROR;
}

static bool binary_cache_write_nar(BinaryCache *cache, const PathInfo *info, BinaryCacheDumpFn dump, void *ctx,
                                   BinaryCacheOut *out, Err *err) {
  ByteSink file_sink = {binary_cache_file_put, out};
  uint8_t nar_hash[32];
  if (!cache_source_begin(cache->source, &out->file, err)) return false;
  hash_sha256_init(&out->file_hash);
  hash_sha256_init(&out->nar_hash);
  // Nothing that is compressed by blocks gains by more threads than it has of them.
  bool is_large = cache->options.parallel || info->nar_size_bytes >= BINARY_CACHE_PARALLEL_BYTES;
  StreamEncoderOptions encoder = {.level = cache->options.level,
                                  .size_bytes = info->nar_size_bytes,
                                  .threads = is_large && !cache->options.no_parallel ? process_cpu_count() : 1};
  if (!stream_codec_encoder_new(cache->options.compression, &encoder, &file_sink, &out->encoder, err)) return false;
  out->encoder_sink = stream_codec_encoder_sink(out->encoder);
  if (!dump(ctx, &(ByteSink){binary_cache_nar_put, out}, err) || !stream_codec_encoder_finish(out->encoder, err))
    return false;
  hash_sha256_final(&out->nar_hash, nar_hash);
  if (memcmp(nar_hash, info->nar_sha256, sizeof(nar_hash)) != 0 || out->nar_size_bytes != info->nar_size_bytes)
    return err_set(err, ERR_CORRUPT, "its content is not what is recorded: another NAR hash or size");
  return true;
}

static bool binary_cache_fill_info(BinaryCache *cache, const PathInfo *info, BinaryCacheOut *out, Arena *arena,
                                   NarInfo *ret, Err *err) {
  CLEANUP(buf_done) Buf text = BUF_INIT;
  *ret = (NarInfo){.path = info->path,
                   .compression = stream_codec_name(cache->options.compression),
                   .has_file_hash = true,
                   .file_hash = {.algo = HASH_SHA256},
                   .file_size_bytes = out->file_size_bytes,
                   .nar_hash = {.algo = HASH_SHA256},
                   .nar_size_bytes = info->nar_size_bytes,
                   .refs = info->refs,
                   .ref_count = info->ref_count,
                   .has_deriver = info->has_deriver,
                   .deriver = info->deriver,
                   .has_ca = info->has_ca,
                   .ca = info->ca};
  hash_sha256_final(&out->file_hash, ret->file_hash.bytes);
  memcpy(ret->nar_hash.bytes, info->nar_sha256, 32);
  buf_put_cstr(&text, "nar/");
  hash_format(&ret->file_hash, HASH_FORMAT_NIX32, false, &text);
  buf_printf(&text, ".nar%.*s", SPAN_ARG(stream_codec_suffix(cache->options.compression)));
  ret->url = arena_dup(arena, buf_span(&text));
  ret->sigs = ARENA_ARRAY(arena, Span, info->sig_count + 1);
  for (size_t i = 0; i < info->sig_count; i++) {
    buf_clear(&text);
    signature_format(&info->sigs[i], &text);
    ret->sigs[ret->sig_count++] = arena_dup(arena, buf_span(&text));
  }
  if (!cache->options.key) return true;
  Signature sig;
  buf_clear(&text);
  if (!path_info_fingerprint(info, cache->store_dir, &text, err) ||
      !signature_sign(cache->options.key, buf_span(&text), &sig, err))
    return false;
  buf_clear(&text);
  signature_format(&sig, &text);
  for (size_t i = 0; i < ret->sig_count; i++)
    if (span_eq(ret->sigs[i], buf_span(&text))) return true;
  ret->sigs[ret->sig_count++] = arena_dup(arena, buf_span(&text));
  return true;
}

// ---- writing: what is ready

void binary_cache_item_free(BinaryCacheItem *item) {
  if (!item) return;
  for (size_t i = 0; i < item->file_count; i++) cache_source_end(&item->files[i]);
  mem_free(item->files);
  mem_free(item->refs);
  mem_free(item);
}

static CacheUpload *binary_cache_item_file(BinaryCacheItem *item) {
  MEM_RESERVE(item->files, item->file_cap, item->file_count + 1);
  CacheUpload *file = &item->files[item->file_count++];
  *file = (CacheUpload){.fd = -1};
  return file;
}

// debuginfo/<build id> = {"archive":"../nar/...","member":"lib/debug/..."}. What is there stays.
static bool binary_cache_item_debug(BinaryCache *cache, BinaryCacheItem *item, const NarInfo *info, Span found,
                                    Err *err) {
  for (Span id, member; span_split(&found, 0, &id) && span_split(&found, 0, &member);) {
    CLEANUP(buf_done) Buf name = BUF_INIT;
    CLEANUP(buf_done) Buf text = BUF_INIT;
    CLEANUP(buf_done) Buf archive = BUF_INIT;
    JsonWrite json;
    bool has;
    buf_printf(&name, "debuginfo/%.*s", SPAN_ARG(id));
    if (!cache_source_has(cache->source, buf_span(&name), &has, err)) return false;
    if (has) continue;
    buf_printf(&archive, "../%.*s", SPAN_ARG(info->url));
    json_write_init(&json, &text, 0);
    json_write_object_begin(&json);
    if (!json_write_key(&json, SPAN("archive"), err) || !json_write_str(&json, buf_span(&archive), err) ||
        !json_write_key(&json, SPAN("member"), err) || !json_write_str(&json, member, err))
      return false;
    json_write_object_end(&json);
    if (!cache_source_stage_text(cache->source, buf_span(&name), buf_span(&text), "application/json",
                                 binary_cache_item_file(item), err))
      return false;
  }
  return true;
}

// Everything but the archive, whose name is known now.
static bool binary_cache_item_describe(BinaryCache *cache, BinaryCacheItem *item, const NarInfo *info,
                                       const BinaryCacheOut *out, Err *err) {
  CLEANUP(buf_done) Buf name = BUF_INIT;
  CLEANUP(buf_done) Buf text = BUF_INIT;
  if (cache->options.index_debug_info && !binary_cache_item_debug(cache, item, info, buf_span(&out->debug), err))
    return false;
  binary_cache_format(info->path.digest, ".ls", &name);
  if (cache->options.write_listing && !cache_source_stage_text(cache->source, buf_span(&name), buf_span(&out->listing),
                                                               "application/json", binary_cache_item_file(item), err))
    return false;
  buf_clear(&name);
  binary_cache_format(info->path.digest, ".narinfo", &name);
  narinfo_format(info, cache->store_dir, &text);
  return cache_source_stage_text(cache->source, buf_span(&name), buf_span(&text), "text/x-nix-narinfo",
                                 binary_cache_item_file(item), err);
}

static bool binary_cache_check_refs(BinaryCache *cache, const BinaryCacheItem *item, Err *err) {
  for (size_t i = 0; i < item->ref_count; i++) {
    CLEANUP(buf_done) Buf path = BUF_INIT;
    CLEANUP(buf_done) Buf ref = BUF_INIT;
    bool has;
    if (store_path_eq(&item->refs[i], &item->path)) continue;
    if (!binary_cache_has(cache, &item->refs[i], &has, err)) return false;
    if (has) continue;
    store_path_format(&item->path, cache->store_dir, &path);
    store_path_format(&item->refs[i], cache->store_dir, &ref);
    return err_set(err, ERR_NOT_FOUND, "cannot add '%s' to the binary cache because the reference '%s' is not valid",
                   buf_cstr(&path), buf_cstr(&ref));
  }
  return true;
}

static bool binary_cache_prepare_item(BinaryCache *cache, const PathInfo *info, BinaryCacheDumpFn dump, void *ctx,
                                      BinaryCacheItem *item, Err *err) {
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  BinaryCacheOut out = {.file.fd = -1, .parses = cache->options.write_listing || cache->options.index_debug_info};
  NarInfo narinfo;
  nar_read_init(&out.parser);
  nar_list_init(&out.list, &out.listing, 0);
  bool ok = binary_cache_write_nar(cache, info, dump, ctx, &out, err);
  *binary_cache_item_file(item) = out.file;
  if (ok && out.parses) nar_list_end(&out.list);
  ok = ok && binary_cache_fill_info(cache, info, &out, &arena, &narinfo, err) &&
       cache_source_stage(cache->source, &item->files[0], narinfo.url, "application/x-nix-nar", err) &&
       binary_cache_item_describe(cache, item, &narinfo, &out, err);
  item->size_bytes = out.file_size_bytes;
  stream_codec_encoder_free(out.encoder);
  nar_read_done(&out.parser);
  buf_done(&out.listing);
  buf_done(&out.place);
  buf_done(&out.debug);
  return ok;
}

static bool binary_cache_check_writable(const BinaryCache *cache, Err *err) {
  return !cache->options.read_only ||
         err_set(err, ERR_OTHER, "the binary cache '%s' is read-only", cache_source_url(cache->source));
}

static bool binary_cache_failed(const BinaryCache *cache, const StorePath *path, Err *err) {
  return err_wrap(err, "copying '%s' to the binary cache '%s'", path->name, cache_source_url(cache->source));
}

bool binary_cache_prepare(BinaryCache *cache, const PathInfo *info, BinaryCacheDumpFn dump, void *ctx,
                          BinaryCacheItem **ret, Err *err) {
  if (!binary_cache_check_writable(cache, err)) return false;
  BinaryCacheItem *item = mem_alloc_zero(sizeof(*item));
  item->path = info->path;
  item->refs = mem_alloc_array(info->ref_count + 1, sizeof(*item->refs));
  for (size_t i = 0; i < info->ref_count; i++) item->refs[item->ref_count++] = info->refs[i];
  if (binary_cache_prepare_item(cache, info, dump, ctx, item, err)) {
    *ret = item;
    return true;
  }
  binary_cache_item_free(item);
  return binary_cache_failed(cache, &info->path, err);
}

bool binary_cache_commit(BinaryCache *cache, BinaryCacheItem *item, Err *err) {
  if (!binary_cache_check_refs(cache, item, err)) {
    (void)binary_cache_failed(cache, &item->path, err);
    binary_cache_item_free(item);
    return false;
  }
  if (cache->batch_count == 0) cache->batch_since_ms = store_state_now_ms();
  MEM_RESERVE(cache->batch, cache->batch_cap, cache->batch_count + 1);
  cache->batch[cache->batch_count++] = item;
  map_set(&cache->batch_index, span_make(item->path.digest, STORE_PATH_DIGEST_BYTES), item);
  cache->batch_bytes += item->size_bytes;
  bool due = cache_source_is_remote(cache->source) || cache->batch_count >= BINARY_CACHE_BATCH_COUNT ||
             cache->batch_bytes >= BINARY_CACHE_BATCH_BYTES ||
             store_state_now_ms() - cache->batch_since_ms >= BINARY_CACHE_BATCH_MS;
  return !due || binary_cache_flush(cache, err);
}

// Archives first, descriptions last, and the disk has what a description names before the description gets its name: who sees one, also after a failure of
// power, finds what it describes.
static bool binary_cache_publish(BinaryCache *cache, Err *err) {
  CLEANUP(buf_done) Buf files = BUF_INIT;
  for (size_t i = 0; i < cache->batch_count; i++)
    for (size_t k = 0; k < cache->batch[i]->file_count; k++)
      cache_source_list_staged(&cache->batch[i]->files[k], &files);
  if (!cache_source_sync_staged(cache->source, buf_span(&files), err)) return false;
  for (size_t i = 0; i < cache->batch_count; i++)
    for (size_t k = 0; k + 1 < cache->batch[i]->file_count; k++)
      if (!cache_source_place(cache->source, &cache->batch[i]->files[k], err)) return false;
  if (!cache_source_sync_folder(cache->source, "nar", err) ||
      !cache_source_sync_folder(cache->source, "debuginfo", err))
    return false;
  for (size_t i = 0; i < cache->batch_count; i++)
    if (!cache_source_place(cache->source, &cache->batch[i]->files[cache->batch[i]->file_count - 1], err)) return false;
  return cache_source_sync_folder(cache->source, ".", err);
}

bool binary_cache_flush(BinaryCache *cache, Err *err) {
  if (cache->batch_count == 0) return true;
  bool ok = binary_cache_publish(cache, err);
  for (size_t i = 0; i < cache->batch_count; i++) binary_cache_item_free(cache->batch[i]);
  cache->batch_count = 0;
  cache->batch_bytes = 0;
  map_done(&cache->batch_index);
  cache->batch_index = (Map)MAP_INIT;
  return ok || err_wrap(err, "writing the binary cache '%s'", cache_source_url(cache->source));
}

bool binary_cache_has(BinaryCache *cache, const StorePath *path, bool *ret, Err *err) {
  *ret = map_has(&cache->batch_index, span_make(path->digest, STORE_PATH_DIGEST_BYTES));
  if (*ret) return true;
  CLEANUP(buf_done) Buf name = BUF_INIT;
  binary_cache_format(path->digest, ".narinfo", &name);
  return cache_source_has(cache->source, buf_span(&name), ret, err);
}

bool binary_cache_put_nar(BinaryCache *cache, const PathInfo *info, BinaryCacheDumpFn dump, void *ctx, Err *err) {
  bool has;
  BinaryCacheItem *item;
  if (!binary_cache_check_writable(cache, err) || !binary_cache_has(cache, &info->path, &has, err)) return false;
  if (has) return true;
  return binary_cache_prepare(cache, info, dump, ctx, &item, err) && binary_cache_commit(cache, item, err) &&
         binary_cache_flush(cache, err);
}

typedef struct BinaryCacheFrom {
  Store *store;
  const StorePath *path;
} BinaryCacheFrom;

static bool binary_cache_dump_store(void *ctx, const ByteSink *sink, Err *err) {
  const BinaryCacheFrom *from = ctx;
  return store_dump(from->store, from->path, sink, err);
}

bool binary_cache_put(BinaryCache *cache, Store *store, const StorePath *path, Err *err) {
  CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *record = NULL;
  BinaryCacheFrom from = {store, path};
  return store_get(store, path, &record, err) &&
         binary_cache_put_nar(cache, &record->info, binary_cache_dump_store, &from, err);
}

// ---- reading

bool binary_cache_path_info(const NarInfo *narinfo, Arena *arena, PathInfo *ret, Err *err) {
  *ret = (PathInfo){.path = narinfo->path,
                    .nar_size_bytes = narinfo->nar_size_bytes,
                    .refs = narinfo->refs,
                    .ref_count = narinfo->ref_count,
                    .has_deriver = narinfo->has_deriver,
                    .deriver = narinfo->deriver,
                    .has_ca = narinfo->has_ca,
                    .ca = narinfo->ca};
  if (narinfo->nar_hash.algo != HASH_SHA256) return err_set(err, ERR_OTHER, "the NAR hash is not a SHA-256 hash");
  memcpy(ret->nar_sha256, narinfo->nar_hash.bytes, 32);
  ret->sigs = ARENA_ARRAY(arena, Signature, narinfo->sig_count);
  for (size_t i = 0; i < narinfo->sig_count; i++) {
    // Signatures of kinds that are not known here are of no use, but no error either.
    if (signature_parse(narinfo->sigs[i], &ret->sigs[ret->sig_count], NULL)) ret->sig_count++;
  }
  return true;
}

static bool binary_cache_is_signed(const BinaryCache *cache, const PathInfo *info, const SignaturePublicKey *keys,
                                   size_t key_count) {
  CLEANUP(buf_done) Buf text = BUF_INIT;
  if (store_ca_is_claimed(info, cache->store_dir)) return true; // the content is looked at when it comes
  if (!path_info_fingerprint(info, cache->store_dir, &text, NULL)) return false;
  for (size_t i = 0; i < info->sig_count; i++)
    for (size_t k = 0; k < key_count; k++)
      if (signature_verify(&keys[k], buf_span(&text), &info->sigs[i])) return true;
  return false;
}

bool binary_cache_is_trusted(const BinaryCache *cache, const NarInfo *narinfo, const SignaturePublicKey *keys,
                             size_t key_count) {
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  PathInfo info;
  return cache->trusted || (binary_cache_path_info(narinfo, &arena, &info, NULL) &&
                            binary_cache_is_signed(cache, &info, keys, key_count));
}

static bool binary_cache_open_nar(const BinaryCache *cache, const NarInfo *narinfo, CacheStream **ret, Err *err) {
  // The description comes from outside: its URL must stay in the cache.
  if (narinfo->url.len == 0 || narinfo->url.data[0] == '/' || span_find(narinfo->url, SPAN("..")) != SIZE_MAX ||
      span_find(narinfo->url, SPAN("://")) != SIZE_MAX)
    return err_set(err, ERR_SYNTAX, "the URL '%.*s' leads out of the binary cache", SPAN_ARG(narinfo->url));
  if (!cache_source_open(cache->source, narinfo->url, ret, err)) return false;
  return *ret || err_set(err, ERR_NOT_FOUND, "file '%.*s' does not exist in the binary cache", SPAN_ARG(narinfo->url));
}

typedef bool (*BinaryCacheNarFn)(void *ctx, const ByteSource *nar, Err *err);

// Calls `fn` with the decompressed archive.
static bool binary_cache_with_nar(BinaryCache *cache, const NarInfo *narinfo, BinaryCacheNarFn fn, void *ctx,
                                  Err *err) {
  StreamCodec codec;
  StreamDecoder *decoder = NULL;
  CacheStream *stream = NULL;
  if (!stream_codec_parse(narinfo->compression, &codec, err) || !binary_cache_open_nar(cache, narinfo, &stream, err))
    return false;
  ByteSource file = cache_source_bytes(stream);
  bool ok = stream_codec_decoder_new(codec, &file, narinfo->nar_size_bytes, &decoder, err);
  if (ok) {
    ByteSource source = stream_codec_decoder_source(decoder);
    ok = fn(ctx, &source, err);
    stream_codec_decoder_free(decoder);
  }
  cache_source_close(stream);
  return ok;
}

typedef struct BinaryCacheAdd {
  Store *store;
  const PathInfo *info;
  bool defer;
} BinaryCacheAdd;

static bool binary_cache_add_nar(void *ctx, const ByteSource *nar, Err *err) {
  const BinaryCacheAdd *add = ctx;
  return store_add_nar(add->store, add->info, nar, false, add->defer, err);
}

static bool binary_cache_fetch_nar(BinaryCache *cache, Store *store, const NarInfo *narinfo, bool defer, Err *err) {
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  PathInfo info;
  BinaryCacheAdd add = {store, &info, defer};
  return binary_cache_path_info(narinfo, &arena, &info, err) &&
         binary_cache_with_nar(cache, narinfo, binary_cache_add_nar, &add, err);
}

static bool binary_cache_copy_nar(void *ctx, const ByteSource *nar, Err *err) {
  return byte_stream_copy(nar, ctx, err);
}

bool binary_cache_dump(BinaryCache *cache, const NarInfo *info, const ByteSink *sink, Err *err) {
  ByteSink copy = *sink;
  return binary_cache_with_nar(cache, info, binary_cache_copy_nar, &copy, err) ||
         err_wrap(err, "reading '%s' from the binary cache '%s'", info->path.name, cache_source_url(cache->source));
}

// ---- everything, logs

Span binary_cache_store_dir(const BinaryCache *cache) {
  return cache->store_dir;
}

static bool binary_cache_add_described(BinaryCache *cache, Span name, StorePathList *ret, Err *err) {
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  StorePath path = {.name_len = 0};
  NarInfo info;
  bool found;
  if (!span_has_suffix(name, SPAN(".narinfo")) || name.len != STORE_PATH_HASH_CHARS + strlen(".narinfo") ||
      !nixbase32_decode(span_sub(name, 0, STORE_PATH_HASH_CHARS), path.digest, sizeof(path.digest)))
    return true;
  if (!binary_cache_find(cache, path.digest, &arena, &info, &found, err)) return false;
  if (found) store_path_list_add(ret, &info.path);
  return true;
}

bool binary_cache_all(BinaryCache *cache, StorePathList *ret, Err *err) {
  if (cache_source_is_remote(cache->source))
    return err_set(err, ERR_OTHER, "the binary cache '%s' cannot list what it has", cache_source_url(cache->source));
  const char *path = cache_source_url(cache->source) + strlen("file://");
  DIR *dir = opendir(path);
  if (!dir) return err_set_errno(err, errno, "opening '%s'", path);
  bool ok = true;
  for (struct dirent *entry; ok && (entry = readdir(dir));)
    ok = binary_cache_add_described(cache, span_cstr(entry->d_name), ret, err);
  closedir(dir);
  store_path_list_sort(ret);
  return ok;
}

// "log/<base name>": compressed by whoever wrote it, which only its first bytes tell.
static StreamCodec binary_cache_log_codec(Span log) {
  if (span_has_prefix(log, SPAN("\xfd"
                                "7zXZ")))
    return STREAM_CODEC_XZ;
  if (span_has_prefix(log, SPAN("BZh"))) return STREAM_CODEC_BZIP2;
  if (span_has_prefix(log, SPAN("\x28\xb5\x2f\xfd"))) return STREAM_CODEC_ZSTD;
  if (span_has_prefix(log, SPAN("\x1f\x8b"))) return STREAM_CODEC_GZIP;
  return STREAM_CODEC_NONE;
}

bool binary_cache_get_log(BinaryCache *cache, const StorePath *drv_path, Buf *ret, bool *ret_found, Err *err) {
  CLEANUP(buf_done) Buf name = BUF_INIT;
  CLEANUP(buf_done) Buf packed = BUF_INIT;
  buf_put_cstr(&name, "log/");
  store_path_format_base(drv_path, &name);
  if (!cache_source_read(cache->source, buf_span(&name), BINARY_CACHE_LOG_MAX, &packed, ret_found, err)) return false;
  if (!*ret_found) return true;
  Span rest = buf_span(&packed);
  ByteSource source = byte_stream_from_span(&rest);
  ByteSink sink = byte_stream_to_buf(ret);
  StreamDecoder *decoder;
  if (!stream_codec_decoder_new(binary_cache_log_codec(rest), &source, BINARY_CACHE_LOG_MAX, &decoder, err))
    return false;
  ByteSource text = stream_codec_decoder_source(decoder);
  bool ok = byte_stream_copy(&text, &sink, err);
  stream_codec_decoder_free(decoder);
  return ok || err_wrap(err, "reading '%s/%s'", cache_source_url(cache->source), buf_cstr(&name));
}

bool binary_cache_put_log(BinaryCache *cache, const StorePath *drv_path, Span log, Err *err) {
  CLEANUP(buf_done) Buf name = BUF_INIT;
  buf_put_cstr(&name, "log/");
  store_path_format_base(drv_path, &name);
  return binary_cache_check_writable(cache, err) &&
         cache_source_write(cache->source, buf_span(&name), log, "text/plain; charset=utf-8", err);
}

bool binary_cache_put_realisation(BinaryCache *cache, const Realisation *realisation, Err *err) {
  CLEANUP(buf_done) Buf name = BUF_INIT;
  CLEANUP(buf_done) Buf text = BUF_INIT;
  buf_printf(&name, "realisations/%.*s.doi", SPAN_ARG(realisation->id));
  realisation_format(realisation, &text);
  return binary_cache_check_writable(cache, err) &&
         cache_source_write(cache->source, buf_span(&name), buf_span(&text), "application/json", err);
}

// ---- into a store

static bool binary_cache_refill_nar(void *ctx, const ByteSource *nar, Err *err) {
  const BinaryCacheAdd *add = ctx;
  return store_check_refill(add->store, &add->info->path, nar, err);
}

bool binary_cache_refill(BinaryCache *cache, Store *store, const NarInfo *narinfo, Err *err) {
  PathInfo info = {.path = narinfo->path};
  return binary_cache_with_nar(cache, narinfo, binary_cache_refill_nar, &(BinaryCacheAdd){store, &info, false}, err) ||
         err_wrap(err, "fetching '%s' from the binary cache '%s'", narinfo->path.name, cache_source_url(cache->source));
}

bool binary_cache_fetch_found(BinaryCache *cache, Store *store, const NarInfo *narinfo, bool defer, Err *err) {
  CLEANUP(buf_done) Buf text = BUF_INIT;
  store_path_format(&narinfo->path, cache->store_dir, &text);
  return binary_cache_fetch_nar(cache, store, narinfo, defer, err) ||
         err_wrap(err, "fetching '%s' from the binary cache '%s'", buf_cstr(&text), cache_source_url(cache->source));
}

bool binary_cache_fetch(BinaryCache *cache, Store *store, const StorePath *path, const SignaturePublicKey *keys,
                        size_t key_count, bool require_sigs, Err *err) {
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  CLEANUP(buf_done) Buf text = BUF_INIT;
  NarInfo narinfo;
  bool found, valid;
  store_path_format(path, cache->store_dir, &text);
  if (!store_pin(store, path, &valid, err)) return false;
  if (valid) return true;
  if (!binary_cache_find(cache, path->digest, &arena, &narinfo, &found, err)) return false;
  if (!found || !store_path_eq(&narinfo.path, path))
    return err_set(err, ERR_NOT_FOUND, "path '%s' is not in the binary cache '%s'", buf_cstr(&text),
                   cache_source_url(cache->source));
  if (require_sigs && !binary_cache_is_trusted(cache, &narinfo, keys, key_count))
    return err_set(err, ERR_OTHER, "cannot add path '%s' because it lacks a signature by a trusted key",
                   buf_cstr(&text));
  return binary_cache_fetch_found(cache, store, &narinfo, false, err);
}
