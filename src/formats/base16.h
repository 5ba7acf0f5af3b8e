// base16.h: lower-case hexadecimal.
#pragma once

#include "base/buf.h"

// Writes 2 * len characters to `ret` (no NUL).
void base16_encode(const void *data, size_t len, char *ret);
void base16_put(Buf *buf, const void *data, size_t len);
// Decodes `text`, which must have 2 * len digits of either case, into `ret`. False on a wrong length or a foreign
// character. Law: decode(encode(x)) = x (base_text_test).
MUST_CHECK bool base16_decode(Span text, void *ret, size_t len);
