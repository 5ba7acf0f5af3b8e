// http_client.c: see http_client.h.
//
// A transfer drives a multi handle of its own in the reader's thread; body bytes wait in a buffer, and when that is full libcurl is told to pause.
#include "net/http_client.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"

enum {
  HELD_BYTES_MAX = 1 << 20,
  WAIT_MS = 100, // how long a cancelled transfer may go on
  RETRY_FIRST_MS = 250,
  STALLED_TIMEOUT_S = 300,
  ATTEMPTS = 5,
  REDIRECTS_MAX = 10,
  VALIDATOR_BYTES_MAX = 1000, // a longer one is not kept
};

#define CURL_SYMBOLS(_)  \
  _(easy_init)           \
  _(easy_cleanup)        \
  _(easy_reset)          \
  _(easy_setopt)         \
  _(easy_getinfo)        \
  _(easy_pause)          \
  _(easy_strerror)       \
  _(global_init)         \
  _(multi_init)          \
  _(multi_cleanup)       \
  _(multi_add_handle)    \
  _(multi_remove_handle) \
  _(multi_perform)       \
  _(multi_poll)          \
  _(multi_info_read)     \
  _(multi_strerror)      \
  _(slist_append)        \
  _(slist_free_all)

typedef struct CurlLibrary {
#define CURL_FIELD(name) __typeof__(&curl_##name) name;
  CURL_SYMBOLS(CURL_FIELD)
#undef CURL_FIELD
} CurlLibrary;

// A multi handle keeps its connections; transfers take one and give it back.
typedef struct Connection {
  CURLM *multi;
  CURL *easy;
  struct Connection *next;
} Connection;

struct HttpClient {
  HttpClientConfig config; // text is owned
  atomic_bool cancelled;
  pthread_mutex_t mutex; // everything below
  bool loaded;
  CurlLibrary curl;
  Connection *idle;
};

struct HttpTransfer {
  HttpClient *client;
  Connection *connection;
  char *url;           // that was asked for
  HttpRequest request; // its url is not used
  struct curl_slist *headers;
  Buf etag, modified; // of the answer
  Buf held;
  size_t read_pos;
  uint64_t sent_bytes; // of what is put there
  bool added, paused, done, answered;
  CURLcode result;
  char message[CURL_ERROR_SIZE];
};

static char *copy(const char *text) {
  return text && *text ? span_dup(span_cstr(text)) : NULL;
}

HttpClient *http_client_new(const HttpClientConfig *config) {
  HttpClient *client = mem_alloc_zero(sizeof *client);
  client->config = *config;
  client->config.netrc_file = copy(config->netrc_file);
  client->config.ca_file = copy(config->ca_file);
  client->config.user_agent = copy(config->user_agent);
  pthread_mutex_init(&client->mutex, NULL);
  return client;
}

static void free_connection(HttpClient *client, Connection *connection) {
  if (connection->easy) client->curl.easy_cleanup(connection->easy);
  if (connection->multi) client->curl.multi_cleanup(connection->multi);
  mem_free(connection);
}

void http_client_free(HttpClient *client) {
  if (!client) return;
  while (client->idle) {
    Connection *connection = client->idle;
    client->idle = connection->next;
    free_connection(client, connection);
  }
  mem_free((char *)(uintptr_t)client->config.netrc_file);
  mem_free((char *)(uintptr_t)client->config.ca_file);
  mem_free((char *)(uintptr_t)client->config.user_agent);
  pthread_mutex_destroy(&client->mutex);
  mem_free(client);
}

void http_client_cancel(HttpClient *client) {
  atomic_store(&client->cancelled, true);
}

// --- libcurl

// Under the mutex. The library is never unloaded: it has threads and handlers of its own.
static bool load(HttpClient *client, Err *err) {
  if (client->loaded) return true;
  void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  if (!library) return err_set(err, ERR_OTHER, "the library libcurl is needed for http: %s", dlerror());
#define CURL_FIND(name)                                                                        \
  client->curl.name = (__typeof__(client->curl.name))(uintptr_t)dlsym(library, "curl_" #name); \
  if (!client->curl.name) return err_set(err, ERR_OTHER, "libcurl is too old: it lacks curl_" #name);
  CURL_SYMBOLS(CURL_FIND)
#undef CURL_FIND
  if (client->curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
    return err_set(err, ERR_OTHER, "libcurl does not start");
  return client->loaded = true;
}

static Connection *take_connection(HttpClient *client, Err *err) {
  pthread_mutex_lock(&client->mutex);
  Connection *connection = NULL;
  if (load(client, err)) {
    connection = client->idle;
    if (connection) client->idle = connection->next;
    else {
      connection = mem_alloc_zero(sizeof *connection);
      connection->multi = client->curl.multi_init();
      connection->easy = client->curl.easy_init();
      if (!connection->multi || !connection->easy) {
        free_connection(client, STEAL(connection));
        err_set(err, ERR_OTHER, "libcurl makes no handle");
      }
    }
  }
  pthread_mutex_unlock(&client->mutex);
  return connection;
}

static void give_connection(HttpClient *client, Connection *connection) {
  pthread_mutex_lock(&client->mutex);
  connection->next = client->idle;
  client->idle = connection;
  pthread_mutex_unlock(&client->mutex);
}

// --- transfers

static size_t on_body(char *data, size_t size, size_t count, void *ctx) {
  HttpTransfer *transfer = ctx;
  if (transfer->held.len - transfer->read_pos >= HELD_BYTES_MAX) {
    transfer->paused = true;
    return CURL_WRITEFUNC_PAUSE;
  }
  transfer->answered = true;
  buf_put(&transfer->held, data, size * count);
  return size * count;
}

static bool take_header(Span line, const char *name, Buf *ret) {
  Span given;
  if (!span_split(&line, ':', &given) || given.len != strlen(name) || strncasecmp(given.data, name, given.len) != 0)
    return false;
  line = span_trim(line);
  buf_clear(ret);
  if (line.len <= VALIDATOR_BYTES_MAX) buf_put_span(ret, line);
  return true;
}

static size_t on_header(char *data, size_t size, size_t count, void *ctx) {
  HttpTransfer *transfer = ctx;
  Span line = span_make(data, size * count);
  if (span_has_prefix(line, SPAN("HTTP/"))) { // of the next answer, behind a redirection
    buf_clear(&transfer->etag);
    buf_clear(&transfer->modified);
  } else if (!take_header(line, "etag", &transfer->etag)) {
    take_header(line, "last-modified", &transfer->modified);
  }
  return size * count;
}

static size_t on_upload(char *data, size_t size, size_t count, void *ctx) {
  HttpTransfer *transfer = ctx;
  const HttpUpload *upload = transfer->request.upload;
  size_t cap = size * count, len = 0;
  if (upload->fd >= 0) {
    ssize_t got = pread(upload->fd, data, cap, (off_t)transfer->sent_bytes);
    if (got < 0) return CURL_READFUNC_ABORT;
    len = (size_t)got;
  } else {
    Span rest = span_from(upload->text, (size_t)transfer->sent_bytes);
    len = rest.len < cap ? rest.len : cap;
    if (len) memcpy(data, rest.data, len);
  }
  transfer->sent_bytes += len;
  return len;
}

// Of libcurl, which sends it again behind a redirection.
static int on_rewind(void *ctx, curl_off_t offset, int origin) {
  HttpTransfer *transfer = ctx;
  if (origin != SEEK_SET || offset < 0) return CURL_SEEKFUNC_CANTSEEK;
  transfer->sent_bytes = (uint64_t)offset;
  return CURL_SEEKFUNC_OK;
}

static bool is_etag(const char *validator) {
  return validator[0] == '"' || strncmp(validator, "W/", 2) == 0;
}

static void set_headers(HttpTransfer *transfer) {
  const char *validator = transfer->request.validator;
  const HttpUpload *upload = transfer->request.upload;
  if ((!upload && (!validator || !*validator)) || transfer->headers) return;
  Buf line CLEANUP(buf_done) = BUF_INIT;
  if (upload) buf_printf(&line, "Content-Type: %s", upload->type);
  else buf_printf(&line, "%s: %s", is_etag(validator) ? "If-None-Match" : "If-Modified-Since", validator);
  transfer->headers = transfer->client->curl.slist_append(NULL, buf_cstr(&line));
}

static void set_options(HttpTransfer *transfer) {
  HttpClient *client = transfer->client;
  const HttpClientConfig *config = &client->config;
  CURL *easy = transfer->connection->easy;
  client->curl.easy_reset(easy);
  set_headers(transfer);
#define SET(option, value) client->curl.easy_setopt(easy, CURLOPT_##option, value)
  SET(URL, transfer->url);
  SET(WRITEFUNCTION, on_body);
  SET(WRITEDATA, transfer);
  SET(HEADERFUNCTION, on_header);
  SET(HEADERDATA, transfer);
  if (transfer->headers) SET(HTTPHEADER, transfer->headers);
  const HttpUpload *upload = transfer->request.upload;
  if (upload) {
    SET(UPLOAD, 1L);
    SET(INFILESIZE_LARGE, (curl_off_t)(upload->fd >= 0 ? upload->size_bytes : upload->text.len));
    SET(READFUNCTION, on_upload);
    SET(READDATA, transfer);
    SET(SEEKFUNCTION, on_rewind);
    SET(SEEKDATA, transfer);
  }
  SET(ERRORBUFFER, transfer->message);
  SET(FOLLOWLOCATION, 1L);
  SET(MAXREDIRS, (long)REDIRECTS_MAX);
  SET(NOSIGNAL, 1L);
  SET(FAILONERROR, 0L);
  SET(PROTOCOLS_STR, "http,https");
  SET(REDIR_PROTOCOLS_STR, "http,https");
  SET(USERAGENT, config->user_agent ? config->user_agent : "firn");
  SET(LOW_SPEED_LIMIT, 1L);
  SET(LOW_SPEED_TIME, (long)(config->stalled_timeout_s ? config->stalled_timeout_s : STALLED_TIMEOUT_S));
  if (config->connect_timeout_s) SET(CONNECTTIMEOUT, (long)config->connect_timeout_s);
  if (config->max_bytes_per_s) SET(MAX_RECV_SPEED_LARGE, (curl_off_t)config->max_bytes_per_s);
  if (config->ca_file) SET(CAINFO, config->ca_file);
  if (config->netrc_file) {
    SET(NETRC_FILE, config->netrc_file);
    SET(NETRC, (long)CURL_NETRC_OPTIONAL);
  }
#undef SET
}

static bool was_cancelled(const HttpTransfer *transfer, Err *err) {
  struct pollfd cancel = {.fd = transfer->request.cancel_fd, .events = POLLIN};
  if (!atomic_load(&transfer->client->cancelled) && poll(&cancel, 1, 0) <= 0) return false;
  err_set(err, ERR_INTERRUPTED, "interrupted by the user");
  return true;
}

static CURLMcode wait_for_more(HttpTransfer *transfer) {
  struct curl_waitfd cancel = {.fd = transfer->request.cancel_fd, .events = CURL_WAIT_POLLIN};
  bool can_cancel = cancel.fd >= 0;
  return transfer->client->curl.multi_poll(transfer->connection->multi, can_cancel ? &cancel : NULL, can_cancel ? 1 : 0,
                                           WAIT_MS, NULL);
}

static const char *verb(const HttpTransfer *transfer) {
  return transfer->request.upload ? "upload" : "download";
}

// Moves the transfer on: until bytes are there, or the end.
static bool advance(HttpTransfer *transfer, Err *err) {
  CurlLibrary *curl = &transfer->client->curl;
  Connection *connection = transfer->connection;
  while (!transfer->done && transfer->read_pos == transfer->held.len) {
    int running, left;
    if (was_cancelled(transfer, err)) return false;
    if (transfer->paused) {
      transfer->paused = false;
      curl->easy_pause(connection->easy, CURLPAUSE_CONT);
    }
    CURLMcode code = curl->multi_perform(connection->multi, &running);
    for (CURLMsg *m; code == CURLM_OK && (m = curl->multi_info_read(connection->multi, &left));) {
      if (m->msg != CURLMSG_DONE) continue;
      transfer->done = true;
      transfer->result = m->data.result;
    }
    if (code == CURLM_OK && !transfer->done && transfer->read_pos == transfer->held.len) code = wait_for_more(transfer);
    if (code != CURLM_OK)
      return err_set(err, ERR_IO, "unable to %s '%s': %s", verb(transfer), transfer->url, curl->multi_strerror(code));
  }
  return true;
}

static void detach(HttpTransfer *transfer) {
  if (transfer->added)
    transfer->client->curl.multi_remove_handle(transfer->connection->multi, transfer->connection->easy);
  transfer->added = false;
}

static bool attach(HttpTransfer *transfer, Err *err) {
  detach(transfer);
  transfer->done = transfer->paused = transfer->answered = false;
  transfer->message[0] = 0;
  transfer->result = CURLE_OK;
  buf_clear(&transfer->held);
  buf_clear(&transfer->etag);
  buf_clear(&transfer->modified);
  transfer->read_pos = 0;
  transfer->sent_bytes = 0;
  set_options(transfer);
  CURLMcode code = transfer->client->curl.multi_add_handle(transfer->connection->multi, transfer->connection->easy);
  transfer->added = code == CURLM_OK;
  return transfer->added || err_set(err, ERR_OTHER, "unable to %s '%s': %s", verb(transfer), transfer->url,
                                    transfer->client->curl.multi_strerror(code));
}

static const char *why(const HttpTransfer *transfer) {
  return transfer->message[0] ? transfer->message : transfer->client->curl.easy_strerror(transfer->result);
}

// Of the answer: whether it is that nothing has changed; or an error (ERR_NOT_FOUND only for what is not there), and whether it may pass.
static bool judge(HttpTransfer *transfer, bool *ret_unchanged, bool *ret_transient, Err *err) {
  long status = 0;
  *ret_transient = false;
  if (transfer->done && transfer->result != CURLE_OK) {
    *ret_transient = transfer->result != CURLE_URL_MALFORMAT && transfer->result != CURLE_UNSUPPORTED_PROTOCOL &&
                     transfer->result != CURLE_TOO_MANY_REDIRECTS && transfer->result != CURLE_PEER_FAILED_VERIFICATION;
    return err_set(err, ERR_IO, "unable to %s '%s': %s", verb(transfer), transfer->url, why(transfer));
  }
  transfer->client->curl.easy_getinfo(transfer->connection->easy, CURLINFO_RESPONSE_CODE, &status);
  *ret_unchanged = status == 304 && transfer->headers && !transfer->request.upload;
  if (*ret_unchanged || (status >= 200 && status < 300)) return true;
  *ret_transient = status == 408 || status == 429 || status >= 500;
  bool missing = status == 403 || status == 404 || status == 410;
  return err_set(err, missing ? ERR_NOT_FOUND : ERR_IO, "unable to %s '%s': HTTP error %ld", verb(transfer),
                 transfer->url, status);
}

// 250 ms, 500 ms, ..., in steps so that a cancelled client does not wait.
static bool wait_to_retry(const HttpTransfer *transfer, unsigned attempt, Err *err) {
  for (unsigned left_ms = RETRY_FIRST_MS << (attempt < 6 ? attempt : 6); left_ms;) {
    unsigned step_ms = left_ms < WAIT_MS ? left_ms : WAIT_MS;
    if (was_cancelled(transfer, err)) return false;
    nanosleep(&(struct timespec){.tv_nsec = step_ms * 1000000l}, NULL);
    left_ms -= step_ms;
  }
  return true;
}

static bool start(HttpTransfer *transfer, bool *ret_unchanged, Err *err) {
  unsigned attempts = transfer->client->config.attempts ? transfer->client->config.attempts : ATTEMPTS;
  for (unsigned attempt = 0;;) {
    bool transient;
    Err failed = ERR_INIT;
    if (!attach(transfer, err) || !advance(transfer, err)) return false;
    if (judge(transfer, ret_unchanged, &transient, &failed)) return true;
    if (!transient || ++attempt >= attempts) return err_move(err, &failed);
    log_msg(LOG_TALKATIVE, "%s; trying again", err_message(&failed));
    err_done(&failed);
    if (!wait_to_retry(transfer, attempt - 1, err)) return false;
  }
}

bool http_client_request(HttpClient *client, const HttpRequest *request, HttpTransfer **ret, Err *err) {
  Connection *connection = take_connection(client, err);
  *ret = NULL;
  if (!connection) return false;
  HttpTransfer *transfer = mem_alloc_zero(sizeof *transfer);
  *transfer = (HttpTransfer){
      .client = client, .connection = connection, .url = span_dup(span_cstr(request->url)), .request = *request};
  bool unchanged = false;
  bool ok = start(transfer, &unchanged, err);
  if (ok && !unchanged) *ret = transfer;
  else http_client_close(transfer);
  return ok;
}

bool http_client_open(HttpClient *client, const char *url, HttpTransfer **ret, bool *ret_found, Err *err) {
  Err failed = ERR_INIT;
  *ret_found = http_client_request(client, &(HttpRequest){.url = url, .cancel_fd = -1}, ret, &failed);
  if (!*ret_found && failed.kind != ERR_NOT_FOUND) return err_move(err, &failed);
  err_done(&failed);
  return true;
}

const char *http_client_validator(const HttpTransfer *transfer) {
  const Buf *text = transfer->etag.len ? &transfer->etag : &transfer->modified;
  return text->len ? buf_cstr((Buf *)(uintptr_t)text) : "";
}

bool http_client_read(HttpTransfer *transfer, char *data, size_t cap, size_t *ret_len, Err *err) {
  if (!advance(transfer, err)) return false;
  size_t there = transfer->held.len - transfer->read_pos;
  *ret_len = there < cap ? there : cap;
  if (*ret_len) memcpy(data, transfer->held.data + transfer->read_pos, *ret_len);
  transfer->read_pos += *ret_len;
  if (transfer->read_pos == transfer->held.len) {
    buf_clear(&transfer->held);
    transfer->read_pos = 0;
  }
  if (*ret_len || transfer->result == CURLE_OK) return true;
  return err_set(err, ERR_IO, "unable to %s '%s': %s", verb(transfer), transfer->url, why(transfer));
}

bool http_client_put(HttpClient *client, const char *url, const HttpUpload *upload, Err *err) {
  HttpTransfer *transfer;
  if (!http_client_request(client, &(HttpRequest){.url = url, .cancel_fd = -1, .upload = upload}, &transfer, err))
    return false;
  char answer[4096]; // nobody reads it, but the server writes it
  size_t len = 1;
  bool ok = true;
  while (ok && len) ok = http_client_read(transfer, answer, sizeof(answer), &len, err);
  http_client_close(transfer);
  return ok;
}

void http_client_close(HttpTransfer *transfer) {
  if (!transfer) return;
  detach(transfer);
  give_connection(transfer->client, transfer->connection);
  if (transfer->headers) transfer->client->curl.slist_free_all(transfer->headers);
  buf_done(&transfer->held);
  buf_done(&transfer->etag);
  buf_done(&transfer->modified);
  mem_free(transfer->url);
  mem_free(transfer);
}
