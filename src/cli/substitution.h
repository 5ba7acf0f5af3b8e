// substitution.h: the session's binary caches, from the settings substituters, trusted-public-keys, require-sigs and their like.
#pragma once

#include "cli/session.h"
#include "store/substituters.h"

// Made when first asked for; borrowed. *ret NULL: nothing is to be fetched. A malformed key is an error.
MUST_CHECK bool substitution_open(Session *session, Substituters **ret, Err *err);
// Would anything be asked? Not the default cache where it could not be reached a short while ago.
bool substitution_is_on(Session *session);
#define SUBSTITUTION_DEFAULT_CONNECT_S 3 // how long the default cache may take until it answers
#define SUBSTITUTION_UNREACHABLE_S 600
// How this session speaks HTTP; text is borrowed from its settings.
HttpClientConfig substitution_http(const Session *session);
