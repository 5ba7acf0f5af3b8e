// store_command.h: parts of `firn store` that nix-store shares.
#pragma once

#include "cli/session.h"
#include "store/store_gc.h"

// Are there at least and at most so many operands? With Nix's messages.
MUST_CHECK bool store_command_operands(Session *session, size_t least, size_t most, Err *err);
MUST_CHECK bool store_command_no_operands(Session *session, Err *err);
// --json and --directory exclude each other.
MUST_CHECK bool store_command_check_listing(Session *session, Err *err);
// Follows symbolic links on disk until the path is in the store ("result/bin" -> "/nix/store/x/bin"); appends it.
MUST_CHECK bool store_command_follow(Session *session, const char *path, Buf *ret, Err *err);
// The store path that a path on the command line is, is in, or that links of it lead to.
MUST_CHECK bool store_command_path(Session *session, const char *operand, StorePath *ret, Err *err);
// Those of all operands, in their order.
MUST_CHECK bool store_command_paths(Session *session, StorePathList *ret, Err *err);
MUST_CHECK bool store_command_gc_options(Session *session, StoreGcOptions *ret, Err *err);
// Collects and prints what was deleted or found.
MUST_CHECK bool store_command_collect(Session *session, const StoreGcOptions *options, Err *err);
