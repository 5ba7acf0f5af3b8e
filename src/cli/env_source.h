// env_source.h: where nix-env gets packages from: ~/.nix-defexpr or -f, by name, attribute path or expression; store paths; another profile.
#pragma once

#include "cli/user_env.h"

typedef struct EnvSource {
  TargetRoot root;
  bool newest_only; // of several packages of one name: this system's, then priority, then version
} EnvSource;

// The root that -f or ~/.nix-defexpr means. A folder without default.nix is a set of what lies in it.
MUST_CHECK bool env_source_root(Session *session, TargetRoot *ret, Err *err);

// Makes ~/.nix-defexpr, where it is not there, with links to the channels of the user and of root. Without permission nothing happens.
void env_source_make_default(Session *session);

// All packages of the root below `attr_path` for the wanted system (--system-filter), names only; NULL: the error has been printed. *ret_indexes (owned by
// the caller) are those that count.
PackageSet *env_source_all(Session *session, const char *attr_path, size_t **ret_indexes, size_t *ret_count,
                           int *ret_code);
// Those whose names match, in the order of the selectors (none: all). `indexes` is filtered in place.
MUST_CHECK bool env_source_filter(Session *session, PackageSet *set, const char *const *selectors, size_t count,
                                  bool newest_only, size_t **indexes, size_t *index_count, int *ret_code);
// What the operands of --install, --upgrade and --set name, completely described. With `names` (else NULL) only packages of these names, and those
// that cannot be evaluated are there as broken elements: most packages that an upgrade looks at are not chosen.
MUST_CHECK bool env_source_find(Session *session, bool newest_only, const Map *names, UserEnv *ret, int *ret_code);
// Evaluates a broken element again, to print what is wrong with it; false always.
MUST_CHECK bool env_source_fail(Session *session, const UserEnvElement *element, int *ret_code);
