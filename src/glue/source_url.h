// source_url.h: URLs as fetchGit and fetchMercurial take them. Grammar, errors and what is escaped: Nix 2.26, url.cc and url-parts.hh.
//
//   url       = scheme ":" ( "//" authority { "/" segment } | path ) [ "?" query ] [ "#" fragment ]
//   scheme    = a-z { a-z | 0-9 | "+" | "." | "-" }
//   query     = { name "=" value "&" }                    sorted by name when it is written again; what has no "=" is dropped
//   segment   = { unreserved | "%" hex hex | one of !$&'"()*+,;=:@ }
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define SOURCE_URL_MAX_BYTES ((size_t)64 << 10)
#define SOURCE_URL_MAX_PARAMS 64u

typedef struct SourceUrlParam {
  Span name, value; // decoded
} SourceUrlParam;

// In an arena.
typedef struct SourceUrl {
  Span scheme;
  bool has_authority;
  Span authority;
  Span path;                                    // decoded
  Span fragment;                                // decoded
  SourceUrlParam params[SOURCE_URL_MAX_PARAMS]; // sorted by name, each name once: the first counts
  size_t param_count;
} SourceUrl;

// "'x' is not a valid URL"; "file:// URL 'x' has unexpected authority 'y'".
MUST_CHECK bool source_url_parse(Span text, Arena *arena, SourceUrl *ret, Err *err);
// Replaces a parameter or adds it, in its place.
MUST_CHECK bool source_url_set_param(SourceUrl *url, Span name, Span value, Err *err);
void source_url_format(const SourceUrl *url, Buf *ret);
// What fetchGit makes of its argument before it is parsed: "user@host:path" becomes ssh://, a path a file: URL. Appends.
void source_url_fix_git(Span text, Buf *ret);
