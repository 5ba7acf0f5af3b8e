// base64.h: RFC 4648 base64, standard alphabet with padding, and the URL alphabet without.
#pragma once

#include "base/buf.h"
#include "base/err.h"

static inline size_t base64_len(size_t len) {
  return (len + 2) / 3 * 4;
}
void base64_put(Buf *buf, const void *data, size_t len);
// URL and file name safe alphabet ('-', '_'), no padding.
void base64_put_url(Buf *buf, const void *data, size_t len);
// Appends the decoded bytes. Nix's leniency is kept, because keys and hashes in the field depend on it: line feeds are
// skipped, decoding stops at the first '=', missing padding is fine, surplus bits are ignored. Fails with Nix's
// "invalid character in Base64 string: 'c'".
MUST_CHECK bool base64_decode(Span text, Buf *ret, Err *err);
// Strict, unpadded, URL alphabet: no white space, surplus bits zero.
MUST_CHECK bool base64_decode_url(Span text, Buf *ret, Err *err);
