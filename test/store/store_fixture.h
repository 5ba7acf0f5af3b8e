// store_fixture.h: a store in the test's folder, and paths in it.
#pragma once

#include "store/store_add.h"

// Opens (creates) <test folder>/<name> as root.
Store *store_fixture_open(const char *name);
StorePath store_fixture_text(Store *store, const char *name, const char *content, const StorePath *refs,
                             size_t ref_count);
StorePath store_fixture_tree(Store *store, const char *name, const char *disk_path);
// As a build output: a tree with the given file contents, registered with references.
StorePath store_fixture_output(Store *store, char hash_char, const char *name, const char *content,
                               const StorePath *refs, size_t ref_count);
bool store_fixture_valid(Store *store, const StorePath *path);
// Runs a command of C++ Nix on the store in <test folder>/<name> (root <name>/nix). Skips the test where it is not installed. Output is appended.
void store_fixture_nix(const char *const *argv, Buf *ret_stdout);
// Builds a derivation with the program, as another process: `script` is what its builder runs. The result is linked from `link` (NULL: no link).
// False when the build failed; *ret_errors (may be NULL) then has the messages.
bool store_fixture_build(const char *store_name, const char *name, const char *script, const char *link, StorePath *ret,
                         Buf *ret_errors);
