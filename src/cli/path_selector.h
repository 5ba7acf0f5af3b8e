// path_selector.h: what operands of commands about store paths mean: store paths and links to them, outputs of derivations ("/nix/store/x.drv^out"),
// or, with -f and -E, attributes; with --derivation the derivations that make them; with --all everything; with --stdin also the words of standard input.
#pragma once

#include "cli/build_command.h"
#include "cli/store_view.h"

typedef enum PathSelectorFlags {
  PATH_SELECTOR_BUILD = 1,     // outputs are made; otherwise what would have to be is only said
  PATH_SELECTOR_RECURSIVE = 2, // with everything that the paths refer to, also without --recursive
  PATH_SELECTOR_UNSORTED = 4,  // as they were named: the paths need not be valid
  PATH_SELECTOR_KNOWN = 8, // an output whose path only building tells is left out; path_selector_one: its name_len is 0
} PathSelectorFlags;

// Each path once, behind those that it refers to. False: the error has been printed.
MUST_CHECK bool path_selector_find(Session *session, StoreView *view, unsigned flags, StorePathList *ret,
                                   int *ret_code);
// What was named, in this order, without closures: out_path of all is set.
MUST_CHECK bool path_selector_targets(Session *session, unsigned flags, BuildTargetList *ret, int *ret_code);
// One operand that has to be one path.
MUST_CHECK bool path_selector_one(Session *session, StoreView *view, const char *operand, unsigned flags,
                                  StorePath *ret, int *ret_code);
// The derivations that operands mean (themselves, or those that make them), sorted, written into the store.
MUST_CHECK bool path_selector_drvs(Session *session, StorePathList *ret, int *ret_code);
