// cache_source.h: where the files of a binary cache are: in a directory (file://, or an absolute path) or on a server (http://, https://), which takes
// files that are put there (PUT).
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
MUST_CHECK bool cache_source_has(CacheSource *source, Span name, bool *ret, Err *err);

// Replaces a small file. `type` is its MIME type. In a directory it is on the disk when this returns.
MUST_CHECK bool cache_source_write(CacheSource *source, Span name, Span content, const char *type, Err *err);
// A file on its way, in two steps. What is staged has been uploaded to a server, or lies complete in the directory beside the place it will have. What was begun
// or staged is ended once.
typedef struct CacheUpload {
  int fd;      // where the caller writes, until it is staged
  char *path;  // owned; of a directory: the temporary name; NULL: it has none
  char *place; // owned; where it belongs; NULL: it is there
  char *text;  // owned; for a server: what waits to be uploaded
  size_t text_len;
  const char *type; // of `text`
} CacheUpload;
// Large: begun, written to `fd`, staged. Servers get it here.
MUST_CHECK bool cache_source_begin(CacheSource *source, CacheUpload *ret, Err *err);
MUST_CHECK bool cache_source_stage(CacheSource *source, CacheUpload *upload, Span name, const char *type, Err *err);
// Small. Servers get it when it is placed. *ret is to be ended also after a failure; `type` lasts.
MUST_CHECK bool cache_source_stage_text(CacheSource *source, Span name, Span content, const char *type,
                                        CacheUpload *ret, Err *err);
// Of a directory: appends the temporary name with its NUL; waits until these files are on the disk; waits for the names in one of its folders ("."), if it is there.
void cache_source_list_staged(const CacheUpload *upload, Buf *ret);
MUST_CHECK bool cache_source_sync_staged(CacheSource *source, Span names, Err *err);
MUST_CHECK bool cache_source_sync_folder(CacheSource *source, const char *folder, Err *err);
// Gives it its name, at once.
MUST_CHECK bool cache_source_place(CacheSource *source, CacheUpload *upload, Err *err);
void cache_source_end(CacheUpload *upload); // removes what was not placed
// Of a directory: makes it and the folders of a binary cache.
MUST_CHECK bool cache_source_make_folders(CacheSource *source, Err *err);
