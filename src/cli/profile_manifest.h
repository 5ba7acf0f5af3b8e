// profile_manifest.h: what `nix profile` has installed: manifest.json (version 3; 1 and 2 and the manifest.nix of nix-env are read) beside the tree of
// links, both in one store path. Bit for bit what Nix 2.26 makes (nix/profile.cc), so that either works on the other's profiles: elements that
// came from flakes are kept as they are.
#pragma once

#include "cli/user_env.h"
#include "realise/build_env.h"

#define PROFILE_MANIFEST_PRIORITY 5 // where none is given
#define PROFILE_MANIFEST_BYTES_MAX ((size_t)64 << 20)

// Text lives as long as the session.
typedef struct ProfileElement {
  Span name;   // unique
  Span *paths; // store paths; sorted, each once
  size_t path_count;
  bool active;
  int64_t priority;
  JsonTree source; // an object with originalUrl, url, attrPath and outputs; NULL: it did not come from a flake
} ProfileElement;

typedef struct ProfileManifest {
  ProfileElement *items; // owned; by name
  size_t count, cap;
} ProfileManifest;

void profile_manifest_done(ProfileManifest *manifest);
// That of a profile or of one of its generations; empty where there is none. False: the error has been printed.
MUST_CHECK bool profile_manifest_read(Session *session, const char *profile, ProfileManifest *ret, int *ret_code);
// Gives it a name that is free: "hello", "hello-1", ...
void profile_manifest_add(Session *session, ProfileManifest *manifest, ProfileElement element);
void profile_manifest_remove(ProfileManifest *manifest, size_t index);

// How an element is called in messages: the flake that it came from, or the names of its packages: "hello, world".
Span profile_manifest_identifier(Session *session, const ProfileElement *element);
MUST_CHECK bool profile_manifest_format(const ProfileManifest *manifest, Buf *ret, Err *err);
// Makes the store path; all paths of the elements are valid. *ret_conflict says which files collide, when it is that.
MUST_CHECK bool profile_manifest_build(Session *session, const ProfileManifest *manifest, StorePath *ret,
                                       BuildEnvConflict *ret_conflict, Err *err);
// The lines "  hello: 1.0 -> 2.0" between two manifests.
void profile_manifest_put_difference(Session *session, const ProfileManifest *before, const ProfileManifest *after,
                                     Buf *ret);
