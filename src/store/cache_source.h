// cache_source.h: where the files of a binary cache are read from: a directory (file://, or an absolute path) or a server (http://, https://).
#pragma once

#include "castore/byte_stream.h"
#include "net/http_client.h"

typedef struct CacheSource CacheSource;
typedef struct CacheStream CacheStream;

// `client` is borrowed, and only needed for servers. Parameters behind '?' are ignored. Opens nothing yet.
MUST_CHECK bool cache_source_new(Span url, HttpClient *client, CacheSource **ret, Err *err);
void cache_source_free(CacheSource *source);
const char *cache_source_url(const CacheSource *source); // without parameters and the last '/'
bool cache_source_is_remote(const CacheSource *source);
// A small file as a whole; more than `max_bytes` is ERR_LIMIT. *ret_found false when it is not there.
MUST_CHECK bool cache_source_read(CacheSource *source, Span name, size_t max_bytes, Buf *ret, bool *ret_found,
                                  Err *err);
// *ret NULL when it is not there.
MUST_CHECK bool cache_source_open(CacheSource *source, Span name, CacheStream **ret, Err *err);
ByteSource cache_source_bytes(CacheStream *stream);
void cache_source_close(CacheStream *stream); // NULL is allowed
