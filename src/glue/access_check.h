// access_check.h: what restricted and pure evaluation may look at. Behaviour: Nix 2.26, AllowListSourceAccessor and checkURI.
#pragma once

#include "base/err.h"
#include "base/map.h"

typedef struct AccessCheck {
  bool restrict_eval, pure_eval;
  Map prefixes;  // allowed paths, with everything below
  Map ancestors; // of allowed paths: may be looked at, but not what else is in them
  Map uris;      // allowed-uris
} AccessCheck;

#define ACCESS_CHECK_INIT \
  { .prefixes = MAP_INIT, .ancestors = MAP_INIT, .uris = MAP_INIT }

void access_check_done(AccessCheck *check);
// `path` is absolute and canonical.
void access_check_allow(AccessCheck *check, Span path);
void access_check_allow_uri(AccessCheck *check, Span uri);
// False with "access to absolute path '…' is forbidden in …".
MUST_CHECK bool access_check_path(const AccessCheck *check, Span path, Err *err);
// The same without a message.
bool access_check_is_allowed(const AccessCheck *check, Span path);
// False with "access to URI '…' is forbidden in restricted mode".
MUST_CHECK bool access_check_uri(const AccessCheck *check, Span uri, Err *err);
