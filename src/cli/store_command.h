// store_command.h: parts of `firn store` that nix-store shares.
#pragma once

#include "cli/session.h"
#include "store/store_gc.h"

// Follows symbolic links on disk until the path is in the store ("result/bin" -> "/nix/store/x/bin"); appends it.
MUST_CHECK bool store_command_follow(Session *session, const char *path, Buf *ret, Err *err);
void store_command_gc_options(Session *session, StoreGcOptions *ret);
// Collects and prints what was deleted or found.
MUST_CHECK bool store_command_collect(Session *session, const StoreGcOptions *options, Err *err);
