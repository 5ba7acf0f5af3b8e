// content_address.c: text forms of content addresses.
#include "formats/content_address.h"

bool content_address_eq(const ContentAddress *a, const ContentAddress *b) {
  return a->method == b->method && hash_eq(&a->hash, &b->hash);
}

static const Span prefixes[] = {
    [CA_FLAT] = SPAN_LIT(""), [CA_NAR] = SPAN_LIT("r:"), [CA_TEXT] = SPAN_LIT("text:"), [CA_GIT] = SPAN_LIT("git:")};
static const Span names[] = {
    [CA_FLAT] = SPAN_LIT("flat"), [CA_NAR] = SPAN_LIT("nar"), [CA_TEXT] = SPAN_LIT("text"), [CA_GIT] = SPAN_LIT("git")};

Span content_address_method_prefix(CaMethod method) {
  return prefixes[method];
}

Span content_address_method_name(CaMethod method) {
  return names[method];
}

bool content_address_method_parse(Span text, bool allow_recursive, CaMethod *ret, Err *err) {
  for (unsigned i = 0; i < ARRAY_LEN(names); i++)
    if (span_eq(text, names[i])) {
      *ret = (CaMethod)i;
      return true;
    }
  if (allow_recursive && span_eq(text, SPAN("recursive"))) {
    *ret = CA_NAR;
    return true;
  }
  return err_set(err, ERR_USAGE, "Unknown file ingestion method '%.*s', expect `flat`, `nar`, or `git`",
                 SPAN_ARG(text));
}

void content_address_format(const ContentAddress *ca, Buf *ret) {
  if (ca->method != CA_TEXT) buf_put_cstr(ret, "fixed:");
  buf_put_span(ret, prefixes[ca->method]);
  hash_format(&ca->hash, HASH_FORMAT_NIX32, true, ret);
}

// Takes `prefix` off *s when it is there.
static bool skip_prefix(Span *s, Span prefix) {
  if (!span_has_prefix(*s, prefix)) return false;
  *s = span_from(*s, prefix.len);
  return true;
}

bool content_address_parse(Span text, ContentAddress *ret, Err *err) {
  Span rest = text;
  size_t colon = span_find_char(text, ':');
  if (colon == SIZE_MAX)
    return err_set(err, ERR_SYNTAX, "not a content address because it is not in the form '<prefix>:<rest>': %.*s",
                   SPAN_ARG(text));
  Span kind = span_sub(text, 0, colon);
  rest = span_from(text, colon + 1);
  if (span_eq(kind, SPAN("text"))) {
    ret->method = CA_TEXT;
  } else if (span_eq(kind, SPAN("fixed"))) {
    ret->method = skip_prefix(&rest, prefixes[CA_NAR])   ? CA_NAR
                  : skip_prefix(&rest, prefixes[CA_GIT]) ? CA_GIT
                                                         : CA_FLAT;
  } else {
    return err_set(err, ERR_SYNTAX,
                   "content address prefix '%.*s' is unrecognized. Recogonized prefixes are 'text' or 'fixed'",
                   SPAN_ARG(kind));
  }
  colon = span_find_char(rest, ':');
  if (colon == SIZE_MAX)
    return err_set(err, ERR_SYNTAX, "content address hash must be in form '<algo>:<hash>', but found: %.*s",
                   SPAN_ARG(text));
  HashAlgo algo;
  if (!hash_algo_parse(span_sub(rest, 0, colon), &algo, err)) return false;
  return hash_parse_bare(span_from(rest, colon + 1), algo, &ret->hash, err);
}

bool content_address_parse_method_algo(Span text, CaMethod *ret_method, HashAlgo *ret_algo, Err *err) {
  Span rest = text;
  *ret_method = skip_prefix(&rest, prefixes[CA_NAR])    ? CA_NAR
                : skip_prefix(&rest, prefixes[CA_GIT])  ? CA_GIT
                : skip_prefix(&rest, prefixes[CA_TEXT]) ? CA_TEXT
                                                        : CA_FLAT;
  return hash_algo_parse(rest, ret_algo, err);
}
