// package.h: packages among values: found by attribute paths or by search, described as plain data (name, outputs, meta attributes).
//
// The questions are written in the Nix language (package.nix) and answered as JSON. Of many packages only names are evaluated; what else is asked
// about those that are wanted is added later (package_set_complete).
#pragma once

#include "cli/target.h"
#include "realise/json_tree.h"

typedef struct PackageOutput {
  Span name, path;
} PackageOutput;

// Text lives as long as the session.
typedef struct Package {
  Span attr_path; // "python3Packages.numpy"
  Span name;      // "hello-2.10"
  Span system;
  bool failed; // an assertion failed: nothing is known but attr_path
  // From package_set_complete:
  bool is_complete;
  Span drv_path; // empty: unknown
  Span out_path, output_name;
  PackageOutput *outputs; // all
  size_t output_count;
  bool output_specified; // by attribute: x.dev
  Span main_program;
  // A string or a path (TargetQuery.strings) instead of a package: out_path is its text, and this its context: store path -> what is meant of it.
  bool is_string;
  JsonTree context;
  unsigned failed_parts; // of package_set_parts
  JsonTree meta;         // an object; also from package_set_meta
  JsonTree bad_meta;     // names of those that are no plain data
} Package;

typedef struct PackageSet PackageSet;

// All packages that the attribute paths name in these roots (sets are searched as nix-env does), in order, each once. `ignore_failures`: sets whose
// evaluation throws or fails an assertion are passed over. NULL: the error has been printed and *ret_code is set.
PackageSet *package_set_new(Session *session, const TargetQuery *query, bool ignore_failures, int *ret_code);
void package_set_free(PackageSet *set); // NULL is fine; before the session's evaluator goes
size_t package_set_count(const PackageSet *set);
const Package *package_set_get(const PackageSet *set, size_t i);
// Describes some of them completely. False: the error has been printed.
MUST_CHECK bool package_set_complete(PackageSet *set, const size_t *indexes, size_t count, int *ret_code);
MUST_CHECK bool package_set_complete_all(PackageSet *set, int *ret_code);
// Parts of a description, for queries of many packages of which some cannot be evaluated.
enum {
  PACKAGE_DRV_PATH = 1,
  PACKAGE_OUT_PATH = 2,
  PACKAGE_OUTPUT_NAMES = 4, // and output_name
  PACKAGE_OUTPUT_PATHS = 8, // and PACKAGE_OUTPUT_NAMES
  PACKAGE_META = 16,
  PACKAGE_DESCRIPTION = 32, // of meta
};
// Describes only these parts of some of them; nothing else is evaluated. Where an assertion or `throw` stands in the way the part is in
// failed_parts, as nix-env passes over such packages; of meta attributes those up to the first such one are there.
MUST_CHECK bool package_set_parts(PackageSet *set, unsigned parts, const size_t *indexes, size_t count, int *ret_code);
// 0, 1, ... to the number of packages; owned by the caller.
size_t *package_set_indexes(const PackageSet *set, size_t *ret_count);
// Only their meta attributes.
MUST_CHECK bool package_set_meta(PackageSet *set, const size_t *indexes, size_t count, int *ret_code);

// Those of a complete package that are installed by default: the one that was chosen, or those of meta.outputsToInstall, or all. In `arena`.
MUST_CHECK bool package_outputs_to_install(const Package *package, Arena *arena, const PackageOutput **ret,
                                           size_t *ret_count, Err *err);
// Numbers may be given as strings.
int64_t package_meta_int(const Package *package, Span name, int64_t fallback);
// NULL when it is not there.
const JsonTree *package_meta(const Package *package, Span name);

// What `nix run` starts. `program` empty: it is no app, but perhaps a package. `context` are derivations and what is used of them.
typedef struct PackageApp {
  Span program;
  JsonTree context; // object: store path -> list of outputs
} PackageApp;
MUST_CHECK bool package_find_app(Session *session, const TargetRoot *root, const char *attr_path, PackageApp *ret,
                                 int *ret_code);
