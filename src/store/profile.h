// profile.h: profiles: a symbolic link to the current one of its numbered generations, each of them a link to a store path and a root.
//
//   <profile>              -> <name>-7-link             relative, replaced atomically by a switch
//   <profile>-7-link       -> /nix/store/<hash>-<name>  the generation; made by store_roots_add
//   <profile>.lock         flock, C++ Nix's protocol (store_lock.h): changes of one profile exclude each other, those of C++ Nix too
//
// Names are those of C++ Nix, so that either works on the profiles of the other. What changes a profile holds its lock: the functions below take it
// themselves, except profile_add and profile_switch_to, whose caller reads the profile first and therefore holds the lock over both.
#pragma once

#include "store/store.h"
#include "store/store_lock.h"

typedef struct ProfileGeneration {
  uint64_t number;
  int64_t created_s; // mtime of the link
  char *link;        // owned; absolute
} ProfileGeneration;

typedef struct ProfileGenerations {
  ProfileGeneration *items; // by number, ascending
  size_t count, cap;
  bool has_current;
  uint64_t current; // what the profile points to; it need not be among the items
} ProfileGenerations;
#define PROFILE_GENERATIONS_INIT \
  { NULL, 0, 0, false, 0 }
void profile_generations_done(ProfileGenerations *generations);
const ProfileGeneration *profile_generations_find(const ProfileGenerations *generations, uint64_t number); // or NULL

// `profile` is an absolute path everywhere below. A profile that does not exist has no generations.
MUST_CHECK bool profile_list(const char *profile, ProfileGenerations *ret, Err *err);

// The profile of the user where none is named, as in Nix 2.26: what `link` (~/.nix-profile) points to. Where that link is missing it is made: to
// <root>/var/nix/profiles/per-user/root/profile for root, to $XDG_STATE_HOME/nix/profiles/profile (~/.local/state) for others. Appended.
// Root's is called <root>/var/nix/profiles/default as well, which start-up scripts of systems look for.
MUST_CHECK bool profile_default(const Store *store, const char *link, Buf *ret, Err *err);
// The folder in which the user's profiles lie, made where it is missing. Appended, without '/' at the end.
MUST_CHECK bool profile_dir(const Store *store, Buf *ret, Err *err);

// Waits for the lock. Release with store_lock_release.
MUST_CHECK bool profile_lock(const char *profile, StoreLock **ret, Err *err);

// A new generation for `path` (materialised and made a root), numbered after the last one; when the last one is `path` already, that one. The
// profile still points to where it did: profile_switch_to. *ret_number may be NULL. The caller holds the lock.
MUST_CHECK bool profile_add(Store *store, const char *profile, const StorePath *path, uint64_t *ret_number, Err *err);
// Points the profile to this generation, which must exist; durable when it returns. The caller holds the lock.
MUST_CHECK bool profile_switch_to(const char *profile, uint64_t number, Err *err);

// Both, under the lock.
MUST_CHECK bool profile_set(Store *store, const char *profile, const StorePath *path, Err *err);

// `nix-env --rollback` (no number: the newest generation older than the current one) and `--switch-generation`. *ret_from and *ret_to say what was
// done (0: there was no current one); either may be NULL. dry_run: only finds them.
MUST_CHECK bool profile_switch(const char *profile, const uint64_t *number, bool dry_run, uint64_t *ret_from,
                               uint64_t *ret_to, Err *err);

// Which generations to delete. The current one is never among them: naming it is an error, the other forms pass it over.
typedef enum ProfileDeleteKind {
  PROFILE_DELETE_NUMBERS, // these
  PROFILE_DELETE_OTHERS,  // "old": all but the current one
  PROFILE_DELETE_OLDER_THAN, // "14d": those that had been replaced before `before_s`: the one that was current then is kept
  PROFILE_DELETE_KEEP        // "+5": all but the `keep_count` newest up to the current one, and those after it
} ProfileDeleteKind;
typedef struct ProfileDelete {
  ProfileDeleteKind kind;
  uint64_t *numbers; // owned
  size_t number_count, number_cap;
  int64_t before_s; // seconds since the epoch
  uint64_t keep_count;
} ProfileDelete;
#define PROFILE_DELETE_INIT \
  { PROFILE_DELETE_NUMBERS, NULL, 0, 0, 0, 0 }
void profile_delete_done(ProfileDelete *what);
// The arguments of --delete-generations: "old", "14d", "+5", or numbers.
MUST_CHECK bool profile_delete_parse(const Span *words, size_t count, int64_t now_s, ProfileDelete *ret, Err *err);
// "14d" -> the moment before which things are older than that.
MUST_CHECK bool profile_parse_age(Span text, int64_t now_s, int64_t *ret_before_s, Err *err);
// *ret_deleted (PROFILE_GENERATIONS_INIT before) lists what was deleted, or would be, in the order in which C++ Nix tells it.
MUST_CHECK bool profile_delete(const char *profile, const ProfileDelete *what, bool dry_run,
                               ProfileGenerations *ret_deleted, Err *err);

// Every profile below `dir` (links to generations of their own name that the user may change), sorted: what nix-collect-garbage -d goes through.
// Missing folders have none; ones that may not be read are passed over.
typedef bool (*ProfileVisit)(void *ctx, const char *profile, Err *err);
MUST_CHECK bool profile_each(const char *dir, ProfileVisit visit, void *ctx, Err *err);
