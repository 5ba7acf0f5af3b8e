// fetcher.h: gets files, tarballs and Git trees from elsewhere into the store. Blocking, and safe to run on any thread; no evaluation in
// here. fetch_io.h is what evaluation asks.
//
// file:// needs nothing but the disk. http and https go through a helper process (curl), so that no network library burdens the
// start of the program; archives through tar, repositories through git.
#pragma once

#include "formats/hash.h"
#include "store/store.h"

// What a fetch works with. All helper processes are killed once cancel_fd is readable; the fetch is ERR_INTERRUPTED then.
typedef struct Fetcher {
  Store *store;
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
// Of the content at `path` (of the tree there, for a tarball): a wrong hash is ERR_HASH_MISMATCH with Nix's message.
MUST_CHECK bool fetcher_check_hash(const FetcherFile *file, const char *path, Err *err);
// Appends the store path. Errors as above.
MUST_CHECK bool fetcher_file(const Fetcher *fetcher, const FetcherFile *file, Buf *ret_store_path, Err *err);

typedef struct FetcherGit {
  Span url;  // "https://…", "file:///…", "ssh://…", or an absolute path
  Span ref;  // empty: HEAD
  Span rev;  // 40 or 64 hexadecimal digits; empty: what `ref` is
  Span name; // of the store object
  bool all_refs, shallow, submodules;
  bool export_ignore;
} FetcherGit;

typedef struct FetcherGitTree {
  Buf store_path;
  Buf rev;       // of the commit; empty for a working tree with changes
  Buf dirty_rev; // "<HEAD>-dirty" then
  uint64_t rev_count;
  bool has_rev_count;
  int64_t last_modified; // seconds since the epoch
  uint8_t nar_sha256[32];
} FetcherGitTree;
#define FETCHER_GIT_TREE_INIT \
  { .store_path = BUF_INIT, .rev = BUF_INIT, .dirty_rev = BUF_INIT }
void fetcher_git_tree_done(FetcherGitTree *tree);

MUST_CHECK bool fetcher_git(const Fetcher *fetcher, const FetcherGit *git, FetcherGitTree *ret, Err *err);
