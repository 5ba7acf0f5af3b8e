// build_environment.h: the environment of a derivation's builder after its set-up scripts, as `nix develop` and `nix print-dev-env` give it to a shell.
//
// It is found by building another derivation with the same inputs and variables whose builder is get_env.sh. Source of the form and of the
// details: Nix 2.26, develop.cc.
#pragma once

#include "cli/session.h"
#include "realise/json_tree.h"

typedef struct BuildEnvironment {
  JsonTree functions;  // object: name -> text between the braces
  JsonTree variables;  // object: name -> {type, value}
  JsonTree structured; // object with .attrs.json and .attrs.sh; JSON_TREE_NULL: none
} BuildEnvironment;

// Text is in `arena`.
MUST_CHECK bool build_environment_parse(Span text, Arena *arena, BuildEnvironment *ret, Err *err);
// One line of JSON, as `nix print-dev-env --json` prints it.
MUST_CHECK bool build_environment_format_json(const BuildEnvironment *environment, Buf *ret, Err *err);

// Text to be replaced in the script: an output path by a directory of the user's.
typedef struct BuildEnvironmentRewrite {
  Span from, to;
} BuildEnvironmentRewrite;

// The script that `nix develop` gives to bash. Paths of outputs become directories below `outputs_dir`; attribute files are written into `files_dir`.
MUST_CHECK bool build_environment_format_script(const BuildEnvironment *environment, Span outputs_dir, Span files_dir,
                                                const BuildEnvironmentRewrite *rewrites, size_t rewrite_count, Buf *ret,
                                                Err *err);
// Variable `name` as a string; empty when it is none.
Span build_environment_get(const BuildEnvironment *environment, const char *name);

// Instantiates the derivation that prints the environment of `drv_path`.
MUST_CHECK bool build_environment_instantiate(Session *session, const StorePath *drv_path, StorePath *ret, Err *err);
