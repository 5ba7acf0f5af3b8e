// shebang.h: scripts whose second line says which program and packages they need:
//
//   #!/usr/bin/env nix-shell
//   #!nix-shell -i python3 -p python3 "python3Packages.numpy"
//
//   #! /usr/bin/env nix
//   #! nix shell -f ``<nixpkgs>`` hello --command bash
//
// The kernel gives the name of the script as the first argument; options come from these lines, and what followed the name is for the script.
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define SHEBANG_BYTES_MAX ((size_t)16 << 20) // of a script

typedef struct Shebang {
  const char *script; // borrowed from argv; NULL: this is no script
  char **script_args; // borrowed, NULL-terminated
  char **argv;        // owned with its strings: argv[0] and the words of the script's lines
  int argc;
  Arena arena;
} Shebang;

// Whether argv[1] is such a script for the program `name` ("nix-shell"): then *ret has what to parse instead of argv.
bool shebang_read(int argc, char **argv, const char *name, Shebang *ret);
// The same for `nix`, whose lines follow the first one without others between and quote with two backticks; the script's name and arguments stand behind
// their words in *ret (shebang_done in any case). Nix 2.26: libutil/args.cc.
MUST_CHECK bool shebang_read_nix(int argc, char **argv, Shebang *ret, bool *ret_is_script, Err *err);
void shebang_done(Shebang *shebang);
// What a shell is to do to have `interpreter` run the script. In `arena`.
const char *shebang_command(const Shebang *shebang, const char *interpreter, Arena *arena);
