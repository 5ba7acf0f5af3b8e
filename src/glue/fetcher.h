// fetcher.h: gets files, tarballs and Git trees from elsewhere into the store. Blocking; no evaluation in here.
//
// file:// needs nothing but the disk. http and https go through a helper process (curl), so that no network library burdens the
// start of the program; archives through tar, repositories through git.
#pragma once

#include "glue/store_io.h"

typedef struct FetcherFile {
  Span url;
  Span name;            // of the store object
  bool unpack;          // a tarball: the tree inside (its single top directory, where there is one)
  const Hash *expected; // NULL: none. SHA-256 of the content, or of the tree's NAR
  bool (*check_uri)(void *ctx, Span uri, Err *err); // asked after redirections too; may be NULL
  void *ctx;
} FetcherFile;

// "channel:x" is short for the tarball of a channel; other URLs stay. Appends.
void fetcher_expand_url(Span url, Buf *ret);
// Appends the store path. A wrong hash is ERR_HASH_MISMATCH with Nix's message.
MUST_CHECK bool fetcher_file(StoreIo *io, const FetcherFile *file, Buf *ret_store_path, Err *err);

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

MUST_CHECK bool fetcher_git(StoreIo *io, const FetcherGit *git, FetcherGitTree *ret, Err *err);
