// path_command.h: parts of commands about store paths that others share.
#pragma once

#include "cli/session.h"

// Which packages and versions came and went between two closures; `indent` stands before each line.
MUST_CHECK bool path_command_put_difference(Session *session, Store *store, const StorePath *before,
                                            const StorePath *after, const char *indent, Buf *ret, Err *err);
