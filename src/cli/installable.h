// installable.h: what operands of the newer commands mean: store paths ("/nix/store/x.drv^out"), or attributes of the root that -f, -E or a default
// names ("hello", "hello^dev,doc", "hello^*").
#pragma once

#include "cli/build_command.h"

typedef struct InstallableQuery {
  const char *const *operands; // none: the root itself
  size_t count;
  const char *default_file; // the root where neither -f nor -E is given: "<nixpkgs>"; NULL: that is an error
  bool one_output; // attributes without '^' mean the derivation's own output, not those that are installed by default
} InstallableQuery;

// The evaluator's answers are remembered (eval_cache.h). False: the error has been printed.
MUST_CHECK bool installable_find(Session *session, const InstallableQuery *query, BuildTargetList *ret, int *ret_code);
// The root that the options name, or the default. False with *err set when there is none.
MUST_CHECK bool installable_root(Session *session, const char *default_file, TargetRoot *ret, Err *err);
