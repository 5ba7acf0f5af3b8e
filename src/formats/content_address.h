// content_address.h: what the path of a store object was computed from, and its text forms:
//
//   content-address = "text:" hash | "fixed:" [ "r:" | "git:" ] hash        hash = algo ":" nixbase32
//   method-algo     = [ "r:" | "git:" | "text:" ] algo                     (derivation outputs)
#pragma once

#include "formats/hash.h"

// How file system objects are turned into the bytes that are hashed.
typedef enum CaMethod {
  CA_FLAT, // the content of one regular file
  CA_NAR,  // the NAR serialisation ("recursive")
  CA_TEXT, // as flat, with references in the store path
  CA_GIT,  // git tree or blob; SHA-1 only
} CaMethod;

typedef struct ContentAddress {
  CaMethod method;
  Hash hash;
} ContentAddress;

bool content_address_eq(const ContentAddress *a, const ContentAddress *b);
// "fixed:r:sha256:<nixbase32>".
void content_address_format(const ContentAddress *ca, Buf *ret);
// Accepts each bare hash form after the algorithm, as Nix does; messages are Nix's.
MUST_CHECK bool content_address_parse(Span text, ContentAddress *ret, Err *err);

// "", "r:", "text:" or "git:".
Span content_address_method_prefix(CaMethod method);
// "flat", "nar", "text" or "git": the JSON form.
Span content_address_method_name(CaMethod method);
// "flat", "nar" (or "recursive" where `allow_recursive`, as outputHashMode spells it), "text", "git".
MUST_CHECK bool content_address_method_parse(Span text, bool allow_recursive, CaMethod *ret, Err *err);
// Splits "r:sha256" into method and algorithm.
MUST_CHECK bool content_address_parse_method_algo(Span text, CaMethod *ret_method, HashAlgo *ret_algo, Err *err);
