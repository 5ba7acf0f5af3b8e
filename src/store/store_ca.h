// store_ca.h: is a path that claims to follow from its content what it claims? Such paths need no signature, so that this is all there is between a
// binary cache that nobody trusts and the store.
//
// Nix 2.26: isContentAddressed, and the check of `ca` in LocalStore::addToStore. Test: test/cli/cache_upload_test.sh.
#pragma once

#include "castore/castore.h"
#include "formats/path_info.h"

// Does the path follow from the content address and the references? Says nothing about the content.
bool store_ca_is_claimed(const PathInfo *info, Span store_dir);
// Does the content address follow from the content, whose root and NAR hash are in `info`? True without a content address. What a NAR does not say (SHA-256
// of it) is read again. ERR_HASH_MISMATCH with Nix's message.
MUST_CHECK bool store_ca_check(const Castore *castore, const PathInfo *info, Span store_dir, Err *err);
