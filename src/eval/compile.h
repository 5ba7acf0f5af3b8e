// compile.h: syntax tree -> image. One pass: names are resolved to (level, slot) and instructions emitted at once.
#pragma once

#include "base/buf.h"
#include "eval/parser.h"

typedef struct CompileScope {
  // Names that are visible without definition (builtins): resolved when the unit is loaded.
  bool (*is_global)(void *ctx, Span name);
  // NULL, or: the number of a name that every program has from its start, in C++ Nix's order; 0: it is none.
  uint32_t (*known_name)(void *ctx, Span name);
  // NULL, or: when a program first named it, counted from 1; 0: nobody has. Decides which undefined variable is reported.
  uint32_t (*name_order)(void *ctx, Span name);
  void *ctx;
  // scopedImport: names bound in an outermost env whose slots are in this order; NULL otherwise.
  const Span *scoped_names;
  uint32_t scoped_count;
  // What relative paths and those with "~/" are relative to in the texts of assertions, which show them complete.
  Span base_dir, home_dir;
} CompileScope;

// Appends the image (8-aligned words) to *ret, which must be empty. On failure *ret_error has position and message
// ("undefined variable 'x'").
MUST_CHECK bool compile_ast(const Ast *ast, Span source, const CompileScope *scope, Buf *ret, ParserError *ret_error);
