// indent.h: the indentation of ''-strings: what all lines have in common is dropped.
#pragma once

#include "eval/ast.h"

// A part of a string or path that is being read: literal text (expr NULL) or an interpolation.
typedef struct IndentPiece {
  Span text;
  Expr *expr;
  uint32_t pos;
  bool indent; // text in which blanks at the start of a line are indentation; false for escapes
} IndentPiece;

// Strips the literal pieces, drops those that become empty, and returns how many are left. Lines of blanks only do not count for the
// common indentation; the last line goes if it has nothing but blanks. Texts are in the arena afterwards.
size_t indent_strip(Arena *arena, IndentPiece *pieces, size_t count);
