// service_url.c: the grammar of service URLs.
#include "castore/service_url.h"

bool service_url_split(Span url, Span *ret_scheme, Span *ret_rest, Err *err) {
  size_t colon = span_find_char(url, ':');
  if (colon == SIZE_MAX) return err_set(err, ERR_USAGE, "'%.*s' is not a service URL: it has no ':'", SPAN_ARG(url));
  *ret_scheme = span_sub(url, 0, colon);
  *ret_rest = span_from(url, colon + 1);
  return true;
}

bool service_url_take(Span *rest, Span *ret_inner, Err *err) {
  size_t depth = 0;
  for (size_t i = 0; i < rest->len; i++) {
    if (rest->data[i] == '(') depth++;
    if (rest->data[i] == ')' && depth > 0) depth--;
    if (depth > 0) continue;
    if (i == 0) break;
    *ret_inner = span_sub(*rest, 1, i - 1);
    *rest = span_from(*rest, i + 1);
    return true;
  }
  return err_set(err, ERR_USAGE, "expected '(<url>)' at '%.*s'", SPAN_ARG(*rest));
}
