// http_client.h: reads from HTTP and HTTPS servers, as streams that the reader pulls, and puts files there.
//
// The transfers are libcurl's, which is loaded when the first URL is opened: programs that open none do not pay for starting it. A client may be used
// by several threads at once, each with transfers of its own; connections are kept and used again.
//
// What is transient (connections that fail, 408, 429, 5xx) is tried again, with growing pauses, as long as nothing has been read.
// Tests: test/cli/substitute_test.sh, test/cli/fetch_test.sh.
#pragma once

#include "base/err.h"
#include "base/span.h"

typedef struct HttpClient HttpClient;
typedef struct HttpTransfer HttpTransfer;

// Zero where libcurl's or no limit is wanted; text is copied and may be NULL.
typedef struct HttpClientConfig {
  unsigned connect_timeout_s;
  unsigned stalled_timeout_s; // without a byte; 0: 300
  unsigned attempts;          // 0: 5
  uint64_t max_bytes_per_s;
  const char *netrc_file, *ca_file;
  const char *user_agent;
} HttpClientConfig;

HttpClient *http_client_new(const HttpClientConfig *config);
// All transfers must be closed.
void http_client_free(HttpClient *client);
// Every transfer, now and later, fails with ERR_INTERRUPTED within a moment. Any thread.
void http_client_cancel(HttpClient *client);

// Waits for the server's answer. *ret_found is false, and *ret NULL, for 403, 404 and 410. Other failures are "unable to download '<url>': …".
MUST_CHECK bool http_client_open(HttpClient *client, const char *url, HttpTransfer **ret, bool *ret_found, Err *err);

// The content of a file that is put on a server.
typedef struct HttpUpload {
  Span text;           // of a small one; or
  int fd;              // else -1: read at its own offsets from 0 on, again when the transfer is tried again
  uint64_t size_bytes; // of `fd`
  const char *type;    // its MIME type
} HttpUpload;

// A question with conditions. Text is borrowed for the call.
typedef struct HttpRequest {
  const char *url;
  const char *validator;    // what http_client_validator said of the answer that the asker still has; NULL or "": none
  int cancel_fd;            // once it is readable the transfer fails with ERR_INTERRUPTED; -1: never
  const HttpUpload *upload; // NULL: something is asked for; else it is put there. Borrowed until the transfer is closed
} HttpRequest;
// As http_client_open, but what is not there is an error, too ("HTTP error 404"). *ret is NULL where the server says that nothing has changed.
MUST_CHECK bool http_client_request(HttpClient *client, const HttpRequest *request, HttpTransfer **ret, Err *err);
// Of the answer: its ETag, else the time it was last modified, else "". Borrowed from the transfer.
const char *http_client_validator(const HttpTransfer *transfer);

// As read(2): *ret_len is 0 at the end. A body that ends early is an error.
MUST_CHECK bool http_client_read(HttpTransfer *transfer, char *data, size_t cap, size_t *ret_len, Err *err);
void http_client_close(HttpTransfer *transfer); // NULL is allowed

// PUT, until the server has taken it. Failures are "unable to upload '<url>': ...".
MUST_CHECK bool http_client_put(HttpClient *client, const char *url, const HttpUpload *upload, Err *err);
