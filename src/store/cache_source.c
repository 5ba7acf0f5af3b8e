// cache_source.c: see cache_source.h.
#include "store/cache_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "store/store_sync.h"

struct CacheSource {
  char *url;        // owned
  const char *path; // in `url`; NULL for a server
  HttpClient *client;
};

struct CacheStream {
  int fd; // -1: a transfer
  HttpTransfer *transfer;
};

bool cache_source_new(Span url, HttpClient *client, CacheSource **ret, Err *err) {
  Span rest = url, place;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  (void)span_split(&rest, '?', &place);
  while (place.len > 1 && place.data[place.len - 1] == '/') place.len--;
  bool is_server = span_has_prefix(place, SPAN("http://")) || span_has_prefix(place, SPAN("https://"));
  bool is_path = place.len && place.data[0] == '/';
  if (span_has_prefix(place, SPAN("file:/")) && !span_has_prefix(place, SPAN("file://"))) {
    place = span_from(place, strlen("file:"));
    is_path = true;
  }
  if (!is_server && !is_path && !span_has_prefix(place, SPAN("file:///")))
    return err_set(err, ERR_OTHER, "don't know how to open the binary cache '%.*s' (file, http, https)", SPAN_ARG(url));
  if (is_path) buf_put_cstr(&text, "file://");
  buf_put_span(&text, place);
  CacheSource *source = mem_alloc_zero(sizeof *source);
  *source = (CacheSource){.url = buf_take(&text), .client = client};
  if (!is_server) source->path = source->url + sizeof "file://" - 1;
  *ret = source;
  return true;
}

void cache_source_free(CacheSource *source) {
  if (!source) return;
  mem_free(source->url);
  mem_free(source);
}

const char *cache_source_url(const CacheSource *source) {
  return source->url;
}

bool cache_source_is_remote(const CacheSource *source) {
  return !source->path;
}

static bool open_file(const char *path, int *ret_fd, Err *err) {
  *ret_fd = open(path, O_RDONLY | O_CLOEXEC);
  return *ret_fd >= 0 || errno == ENOENT || errno == ENOTDIR || err_set_errno(err, errno, "opening '%s'", path);
}

bool cache_source_open(CacheSource *source, Span name, CacheStream **ret, Err *err) {
  Buf place CLEANUP(buf_done) = BUF_INIT;
  CacheStream stream = {.fd = -1};
  bool found = false;
  buf_printf(&place, "%s/%.*s", source->path ? source->path : source->url, SPAN_ARG(name));
  bool ok = source->path ? open_file(buf_cstr(&place), &stream.fd, err)
                         : http_client_open(source->client, buf_cstr(&place), &stream.transfer, &found, err);
  *ret = NULL;
  if (!ok || (stream.fd < 0 && !stream.transfer)) return ok;
  *ret = mem_alloc(sizeof stream);
  **ret = stream;
  return true;
}

static bool take(void *ctx, void *data, size_t cap, size_t *ret_len, Err *err) {
  CacheStream *stream = ctx;
  if (stream->transfer) return http_client_read(stream->transfer, data, cap, ret_len, err);
  ByteSource file = byte_stream_from_fd(&stream->fd);
  return byte_stream_take(&file, data, cap, ret_len, err);
}

ByteSource cache_source_bytes(CacheStream *stream) {
  return (ByteSource){take, stream};
}

void cache_source_close(CacheStream *stream) {
  if (!stream) return;
  fs_close_fd(&stream->fd);
  http_client_close(stream->transfer);
  mem_free(stream);
}

static bool read_all(CacheSource *source, Span name, CacheStream *stream, size_t max_bytes, Buf *ret, Err *err) {
  ByteSource bytes = cache_source_bytes(stream);
  for (size_t start = ret->len;;) {
    size_t len;
    buf_reserve(ret, 16 << 10);
    if (!byte_stream_take(&bytes, ret->data + ret->len, 16 << 10, &len, err)) return false;
    ret->len += len;
    if (!len) return true;
    if (ret->len - start > max_bytes)
      return err_set(err, ERR_LIMIT, "'%s/%.*s' is larger than the limit of %zu bytes", source->url, SPAN_ARG(name),
                     max_bytes);
  }
}

bool cache_source_read(CacheSource *source, Span name, size_t max_bytes, Buf *ret, bool *ret_found, Err *err) {
  CacheStream *stream;
  *ret_found = false;
  if (!cache_source_open(source, name, &stream, err)) return false;
  if (!stream) return true;
  *ret_found = true;
  bool ok = read_all(source, name, stream, max_bytes, ret, err);
  cache_source_close(stream);
  return ok;
}

bool cache_source_has(CacheSource *source, Span name, bool *ret, Err *err) {
  CacheStream *stream;
  if (!cache_source_open(source, name, &stream, err)) return false;
  *ret = stream != NULL;
  cache_source_close(stream);
  return true;
}

// ---- writing

static void put_place(const CacheSource *source, Span name, Buf *ret) {
  buf_printf(ret, "%s/%.*s", source->path ? source->path : source->url, SPAN_ARG(name));
}

static bool make_folder_of(const char *place, Err *err) {
  char *folder CLEANUP(mem_free_ptr) = span_dup(fs_path_dir(span_cstr(place)));
  return fs_mkdir_all(folder, 0755, err);
}

static bool put(CacheSource *source, const char *place, const HttpUpload *upload, Err *err) {
  return http_client_put(source->client, place, upload, err) ||
         err_wrap(err, "while uploading to HTTP binary cache at '%s'", source->url);
}

bool cache_source_write(CacheSource *source, Span name, Span content, const char *type, Err *err) {
  Buf place CLEANUP(buf_done) = BUF_INIT;
  put_place(source, name, &place);
  if (!source->path) return put(source, buf_cstr(&place), &(HttpUpload){.text = content, .fd = -1, .type = type}, err);
  return make_folder_of(buf_cstr(&place), err) && fs_write_file_atomic(buf_cstr(&place), content, 0644, true, err);
}

bool cache_source_begin(CacheSource *source, CacheUpload *ret, Err *err) {
  Buf path CLEANUP(buf_done) = BUF_INIT;
  *ret = (CacheUpload){.fd = -1};
  if (!source->path) return fs_make_nameless("firn-upload", &ret->fd, err);
  buf_printf(&path, "%s/nar/.tmp-XXXXXX", source->path);
  if (!make_folder_of(buf_cstr(&path), err)) return false;
  ret->fd = mkostemp(path.data, O_CLOEXEC);
  if (ret->fd < 0) return err_set_errno(err, errno, "creating '%s'", buf_cstr(&path));
  ret->path = buf_take(&path);
  return true;
}

bool cache_source_stage(CacheSource *source, CacheUpload *upload, Span name, const char *type, Err *err) {
  Buf place CLEANUP(buf_done) = BUF_INIT;
  struct stat st;
  put_place(source, name, &place);
  if (source->path) {
    if (fchmod(upload->fd, 0644) != 0) return err_set_errno(err, errno, "setting the mode of '%s'", upload->path);
    fs_close_fd(&upload->fd);
    upload->fd = -1;
    upload->place = buf_take(&place);
    return make_folder_of(upload->place, err);
  }
  if (fstat(upload->fd, &st) != 0) return err_set_errno(err, errno, "reading what is to be uploaded");
  HttpUpload body = {.fd = upload->fd, .size_bytes = (uint64_t)st.st_size, .type = type};
  return put(source, buf_cstr(&place), &body, err);
}

bool cache_source_stage_text(CacheSource *source, Span name, Span content, const char *type, CacheUpload *ret,
                             Err *err) {
  Buf place CLEANUP(buf_done) = BUF_INIT;
  *ret = (CacheUpload){.fd = -1, .type = type};
  put_place(source, name, &place);
  if (!source->path) {
    ret->place = buf_take(&place);
    ret->text = span_dup(content);
    ret->text_len = content.len;
    return true;
  }
  Buf path CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&path, "%s.tmp-XXXXXX", buf_cstr(&place));
  if (!make_folder_of(buf_cstr(&place), err)) return false;
  int fd CLEANUP(fs_close_fd) = mkostemp(path.data, O_CLOEXEC);
  if (fd < 0) return err_set_errno(err, errno, "creating '%s'", buf_cstr(&path));
  ret->path = buf_take(&path);
  ret->place = buf_take(&place);
  if (fchmod(fd, 0644) != 0) return err_set_errno(err, errno, "setting the mode of '%s'", ret->path);
  return fs_write_all(fd, content, err) || err_wrap(err, "writing '%s'", ret->path);
}

void cache_source_list_staged(const CacheUpload *upload, Buf *ret) {
  if (upload->path) buf_put(ret, upload->path, strlen(upload->path) + 1);
}

bool cache_source_sync_staged(CacheSource *source, Span names, Err *err) {
  size_t count = 0;
  for (Span rest = names, name; span_split(&rest, 0, &name);) count++;
  return count == 0 || store_sync_files(names, count, source->path, err);
}

bool cache_source_sync_folder(CacheSource *source, const char *folder, Err *err) {
  Buf path CLEANUP(buf_done) = BUF_INIT;
  if (!source->path) return true;
  buf_printf(&path, "%s/%s", source->path, folder);
  return !fs_exists(buf_cstr(&path)) || fs_fsync_dir(buf_cstr(&path), err);
}

bool cache_source_place(CacheSource *source, CacheUpload *upload, Err *err) {
  if (!upload->place) return true;
  HttpUpload body = {.text = {upload->text, upload->text_len}, .fd = -1, .type = upload->type};
  if (!source->path && !put(source, upload->place, &body, err)) return false;
  if (source->path && rename(upload->path, upload->place) != 0)
    return err_set_errno(err, errno, "renaming '%s' to '%s'", upload->path, upload->place);
  mem_free(STEAL(upload->path));
  mem_free(STEAL(upload->place));
  return true;
}

void cache_source_end(CacheUpload *upload) {
  fs_close_fd(&upload->fd);
  upload->fd = -1;
  if (upload->path) unlink(upload->path);
  mem_free(STEAL(upload->path));
  mem_free(STEAL(upload->place));
  mem_free(STEAL(upload->text));
}

bool cache_source_make_folders(CacheSource *source, Err *err) {
  static const char *const folders[] = {"nar", "log", "realisations"};
  for (size_t i = 0; source->path && i < ARRAY_LEN(folders); i++) {
    Buf path CLEANUP(buf_done) = BUF_INIT;
    buf_printf(&path, "%s/%s", source->path, folders[i]);
    if (!fs_mkdir_all(buf_cstr(&path), 0755, err)) return false;
  }
  return true;
}
