// fetcher.h: gets files, tarballs, Git and Mercurial trees from elsewhere into the store. Blocking, and safe to run on any thread; no evaluation in
// here. fetch_io.h is what evaluation asks.
//
// file:// needs nothing but the disk, http and https libcurl (net/http_client.h), archives libarchive (castore/castore_archive.h): both as streams
// straight into the store's objects. Repositories are read by the programs git and hg.
#pragma once

#include "formats/hash.h"
#include "net/http_client.h"
#include "store/store.h"

typedef struct FetcherSettings {
  HttpClientConfig http;
  const char
      *cache_dir; // "$XDG_CACHE_HOME/firn/fetches"; NULL: nothing is remembered, and repositories cannot be fetched
  int64_t tarball_ttl_s; // for so long what was fetched without a hash is not asked for again
  bool allow_dirty, warn_dirty;
} FetcherSettings;

// What a fetch works with. All helper processes are killed once cancel_fd is readable; the fetch is ERR_INTERRUPTED then.
typedef struct Fetcher {
  Store *store;
  const FetcherSettings *settings;
  HttpClient *http;
  int cancel_fd; // -1: none
} Fetcher;

typedef struct FetcherFile {
  Span url;
  Span name;            // of the store object
  bool unpack;          // a tarball: the tree inside (its single top directory, where there is one)
  const Hash *expected; // NULL: none. SHA-256 of the content, or of the tree's NAR
} FetcherFile;

// "channel:x" is short for the tarball of a channel; other URLs stay. Appends.
void fetcher_expand_url(Span url, Buf *ret);
// The file that a file:// URL means, for reading it where it is. Appends; links are resolved.
MUST_CHECK bool fetcher_local_path(const FetcherFile *file, Buf *ret_path, Err *err);
// Of the content at `path`, no tarball: a wrong hash is ERR_HASH_MISMATCH with Nix's message.
MUST_CHECK bool fetcher_check_hash(const FetcherFile *file, const char *path, Err *err);
// Appends the store path. Errors as above. Without an expected hash, what was fetched from http less than tarball_ttl_s ago is the answer as long as it is valid;
// later the server is asked whether it has changed (ETag, else Last-Modified). Where a file cannot be fetched then, what is here is used, with a warning.
MUST_CHECK bool fetcher_file(const Fetcher *fetcher, const FetcherFile *file, Buf *ret_store_path, Err *err);

// What stands for the commit of a tree that has none.
#define FETCHER_NULL_REV "0000000000000000000000000000000000000000"

typedef struct FetcherGit {
  Span
      url; // as source_url_parse takes it; file: without a .git inside is a bare repository, which is fetched like a remote one
  Span ref;  // empty: HEAD
  Span rev;  // 40 or 64 hexadecimal digits; empty: what `ref` is
  Span name; // of the store object
  bool all_refs, shallow, submodules;
  bool export_ignore;
} FetcherGit;

typedef struct FetcherGitTree {
  Buf store_path;
  Buf rev;       // of the commit; empty for a working tree with changes; FETCHER_NULL_REV for one without a commit
  Buf ref;       // that it was found by; may be empty
  Buf dirty_rev; // "<HEAD>-dirty" of a working tree with changes; empty where it has no HEAD
  uint64_t rev_count;
  bool has_rev_count;
  int64_t last_modified; // seconds since the epoch
  uint8_t nar_sha256[32];
} FetcherGitTree;
#define FETCHER_GIT_TREE_INIT \
  { .store_path = BUF_INIT, .rev = BUF_INIT, .ref = BUF_INIT, .dirty_rev = BUF_INIT }
void fetcher_git_tree_done(FetcherGitTree *tree);

MUST_CHECK bool fetcher_git(const Fetcher *fetcher, const FetcherGit *git, FetcherGitTree *ret, Err *err);

typedef struct FetcherHg {
  Span url; // with a scheme; file: is a local path
  Span ref; // branch or tag; empty: "default", or the working tree where it has changes
  Span rev; // 40 hexadecimal digits; empty: what `ref` is
  Span name;
} FetcherHg;

typedef struct FetcherHgTree {
  Buf store_path;
  Buf rev;    // empty for a working tree with changes
  Buf branch; // of the commit
  uint64_t rev_count;
  bool has_rev_count;
} FetcherHgTree;
#define FETCHER_HG_TREE_INIT \
  { .store_path = BUF_INIT, .rev = BUF_INIT, .branch = BUF_INIT }
void fetcher_hg_tree_done(FetcherHgTree *tree);

MUST_CHECK bool fetcher_hg(const Fetcher *fetcher, const FetcherHg *hg, FetcherHgTree *ret, Err *err);
