// substitution.h: the session's binary caches, from the settings substituters, trusted-public-keys, require-sigs and their like.
#pragma once

#include "cli/session.h"
#include "store/substituters.h"

// Made when first asked for; borrowed. *ret NULL: nothing is to be fetched. A malformed key is an error.
MUST_CHECK bool substitution_open(Session *session, Substituters **ret, Err *err);
// Would anything be asked?
bool substitution_is_on(const Session *session);
// How this session speaks HTTP; text is borrowed from its settings.
HttpClientConfig substitution_http(const Session *session);
