// user_env.h: user environments: what nix-env installs: elements (packages with the outputs that were chosen), the manifest that remembers them, and
// the tree of links to their files, which becomes a generation of a profile. Formats and derivations are bit for bit those of C++ Nix
// (nix-env/user-env.cc), so that either works on the other's profiles.
#pragma once

#include "cli/package.h"
#include "store/profile.h"

// Text lives as long as the session.
typedef struct UserEnvElement {
  Span name, system, attr_path;
  Span drv_path; // empty: not known
  Span out_path;
  PackageOutput *outputs; // those that are installed
  size_t output_count;
  JsonTree meta;
  bool is_broken; // it cannot be evaluated, and has only name, attr_path and meta
} UserEnvElement;

typedef struct UserEnv {
  UserEnvElement *items; // owned
  size_t count, cap;
} UserEnv;

void user_env_done(UserEnv *env);
void user_env_add(UserEnv *env, const UserEnvElement *element);
MUST_CHECK bool user_env_element(Session *session, const Package *package, UserEnvElement *ret, Err *err);
// Sets a meta attribute to a string.
void user_env_set_flag(Session *session, UserEnvElement *element, const char *name, const char *value);
Span user_env_flag(const UserEnvElement *element, const char *name); // empty when it is no string or Boolean

// The profile of this user where none is named: what ~/.nix-profile leads to. In the session's arena.
MUST_CHECK bool user_env_default_profile(Session *session, const char **ret, Err *err);
// The store path that a profile points to; *ret_found false: there is no such profile.
MUST_CHECK bool user_env_current(Session *session, const char *profile, StorePath *ret, bool *ret_found, Err *err);
// What is installed in a profile; nothing where there is none. False: the error has been printed.
MUST_CHECK bool user_env_read(Session *session, const char *profile, UserEnv *ret, int *ret_code);
// Builds the elements and the environment and makes it the profile's new generation. *ret_changed: the profile has been changed by somebody else since
// `before` was read: nothing was done, the caller begins anew. False: the error has been printed.
MUST_CHECK bool user_env_install(Session *session, const UserEnv *env, const char *profile, const StorePath *before,
                                 bool has_before, bool *ret_changed, int *ret_code);
// The table of --list-generations.
void user_env_format_generations(const ProfileGenerations *generations, Buf *ret);
