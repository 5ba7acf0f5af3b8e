// fetcher.c: files and tarballs; see fetcher.h. Git is in fetcher_git.c, Mercurial in fetcher_hg.c.
#include "glue/fetcher.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "glue/fetch_cache.h"
#include "glue/source_hash.h"
#include "store/store_add.h"

static void free_real(char **path) {
  free(*path); // from realpath
}

bool fetcher_local_path(const FetcherFile *file, Buf *ret_path, Err *err) {
  Buf path CLEANUP(buf_done) = BUF_INIT;
  fs_path_canon(SPAN("/"), span_from(file->url, 7), &path);
  char *real CLEANUP(free_real) = realpath(buf_cstr(&path), NULL);
  struct stat st;
  if (!real || stat(real, &st) != 0) {
    int failed = errno;
    return err_set_errno(err, failed, "unable to download '%.*s'", SPAN_ARG(file->url));
  }
  buf_put_cstr(ret_path, real);
  return S_ISREG(st.st_mode) ||
         err_set(err, ERR_IO, "unable to download '%.*s': it is not a regular file", SPAN_ARG(file->url));
}

static bool mismatch(const FetcherFile *file, const Hash *got, Err *err) {
  Buf want_text CLEANUP(buf_done) = BUF_INIT, got_text CLEANUP(buf_done) = BUF_INIT;
  hash_format(file->expected, HASH_FORMAT_NIX32, true, &want_text);
  hash_format(got, HASH_FORMAT_NIX32, true, &got_text);
  return err_set(err, ERR_HASH_MISMATCH,
                 "hash mismatch in file downloaded from '%.*s':\n  specified: %s\n  got:       %s", SPAN_ARG(file->url),
                 buf_cstr(&want_text), buf_cstr(&got_text));
}

bool fetcher_check_hash(const FetcherFile *file, const char *path, Err *err) {
  Hash hash = {.algo = HASH_SHA256};
  if (!file->expected) return true;
  if (!source_hash_path(path, CA_FLAT, NULL, hash.bytes, err)) return false;
  return hash_eq(file->expected, &hash) || mismatch(file, &hash, err);
}

// Straight into the store; the hash is compared before anything is registered.
static bool add(const Fetcher *fetcher, const FetcherFile *file, const ByteSource *bytes, Buf *ret, Err *err) {
  StorePath added;
  StoreAddOptions options = STORE_ADD_OPTIONS_INIT;
  options.method = file->unpack ? CA_NAR : CA_FLAT;
  options.expected = file->expected;
  options.url = file->url;
  if (file->unpack) {
    log_msg(LOG_INFO, "unpacking '%.*s'...", SPAN_ARG(file->url));
    if (!store_add_archive(fetcher->store, file->name, bytes, true, &options, &added, NULL, err))
      return err->kind == ERR_INTERRUPTED || err->kind == ERR_HASH_MISMATCH
                 ? false
                 : err_wrap(err, "unpacking '%.*s'", SPAN_ARG(file->url));
  } else if (!store_add_stream(fetcher->store, file->name, bytes, false, &options, &added, err)) {
    return false;
  }
  store_format_path(fetcher->store, &added, ret);
  return true;
}

static bool add_local(const Fetcher *fetcher, const FetcherFile *file, Buf *ret, Err *err) {
  Buf path CLEANUP(buf_done) = BUF_INIT;
  int fd CLEANUP(fs_close_fd) = -1;
  if (!fetcher_local_path(file, &path, err) || !fs_open(buf_cstr(&path), O_RDONLY, 0, &fd, err)) return false;
  ByteSource bytes = byte_stream_from_fd(&fd);
  return add(fetcher, file, &bytes, ret, err);
}

static bool take_body(void *ctx, void *data, size_t cap, size_t *ret_len, Err *err) {
  return http_client_read(ctx, data, cap, ret_len, err);
}

static bool is_valid(const Fetcher *fetcher, const Buf *store_path) {
  StorePath path;
  bool valid = false;
  return store_parse_path(fetcher->store, buf_span(store_path), &path, NULL) &&
         store_is_valid(fetcher->store, &path, &valid, NULL) && valid;
}

// `known`: what was fetched before, or empty.
static bool add_remote(const Fetcher *fetcher, const FetcherFile *file, FetchCacheEntry *known, Err *err) {
  Buf url CLEANUP(buf_done) = BUF_INIT;
  buf_put_span(&url, file->url);
  HttpRequest request = {.url = buf_cstr(&url),
                         .validator = known->store_path.len ? buf_cstr(&known->validator) : NULL,
                         .cancel_fd = fetcher->cancel_fd};
  HttpTransfer *transfer;
  log_msg(LOG_INFO, "downloading '%s'...", buf_cstr(&url));
  if (!http_client_request(fetcher->http, &request, &transfer, err)) return false;
  known->fetched_s = time(NULL);
  if (!transfer) return true;
  ByteSource bytes = {take_body, transfer};
  buf_clear(&known->store_path);
  buf_clear(&known->validator);
  bool ok = add(fetcher, file, &bytes, &known->store_path, err);
  buf_put_cstr(&known->validator, http_client_validator(transfer));
  http_client_close(transfer);
  return ok;
}

// With an expected hash what was fetched before is not looked at: had it that hash, nobody would ask.
static bool fetch(const Fetcher *fetcher, const FetcherFile *file, Buf *ret, Err *err) {
  const FetcherSettings *settings = fetcher->settings;
  FetchCacheEntry known CLEANUP(fetch_cache_entry_done) = FETCH_CACHE_ENTRY_INIT;
  Buf question CLEANUP(buf_done) = BUF_INIT;
  Err failed = ERR_INIT;
  buf_printf(&question, "%s\n%.*s\n%.*s", file->unpack ? "tarball" : "file", SPAN_ARG(file->name), SPAN_ARG(file->url));
  bool found = !file->expected && fetch_cache_find(settings->cache_dir, buf_span(&question), &known) &&
               is_valid(fetcher, &known.store_path);
  if (!found) {
    buf_clear(&known.store_path);
    buf_clear(&known.validator);
  }
  if (!found || !fetch_cache_is_fresh(known.fetched_s, settings->tarball_ttl_s)) {
    if (!add_remote(fetcher, file, &known, &failed)) {
      bool usable = found && !file->unpack && failed.kind != ERR_INTERRUPTED && known.store_path.len;
      if (!usable) return err_move(err, &failed);
      log_warn("%s; using cached version", err_message(&failed));
      err_done(&failed);
    } else {
      fetch_cache_put(settings->cache_dir, buf_span(&question), &known);
    }
  }
  buf_put_span(ret, buf_span(&known.store_path));
  return true;
}

void fetcher_expand_url(Span url, Buf *ret) {
  if (span_has_prefix(url, SPAN("channel:")))
    buf_printf(ret, "https://nixos.org/channels/%.*s/nixexprs.tar.xz", SPAN_ARG(span_from(url, 8)));
  else buf_put_span(ret, url);
}

bool fetcher_file(const Fetcher *fetcher, const FetcherFile *file, Buf *ret_store_path, Err *err) {
  if (span_has_prefix(file->url, SPAN("file://"))) return add_local(fetcher, file, ret_store_path, err);
  if (span_has_prefix(file->url, SPAN("http://")) || span_has_prefix(file->url, SPAN("https://")))
    return fetch(fetcher, file, ret_store_path, err);
  return err_set(err, ERR_OTHER, "unable to download '%.*s': the scheme is not supported (file, http, https)",
                 SPAN_ARG(file->url));
}
