// parser.h: source text -> Ast. One pass, no backtracking over tokens, no C recursion proportional to the input beyond
// PARSER_MAX_DEPTH (an error, not a crash, beyond it). Grammar and precedences as in C++ Nix's parser.y.
#pragma once

#include "base/span.h"
#include "eval/ast.h"

// Nesting limit of expressions (parentheses, lists, sets, right operands, ...).
#define PARSER_MAX_DEPTH 1000000
// Sources are addressed by 32-bit offsets.
#define PARSER_MAX_SOURCE_BYTES ((size_t)UINT32_MAX - 1)

typedef struct ParserOptions {
  bool pipe_operators; // experimental feature: |> and <|
  bool no_url_literals;
} ParserOptions;

typedef struct ParserError {
  uint32_t pos; // byte offset in the source
  // The place of an earlier definition, else AST_NO_POS. If set, `message` ends in "already defined at " and the caller appends
  // the position in its own notation («string»:1:3, /x/y.nix:1:3).
  uint32_t other_pos;
  char *message; // owned; Nix's wording without "error: " ("syntax error, unexpected ';', expecting ...")
} ParserError;

void parser_error_done(ParserError *error);

// `source` must stay alive as long as `ret_ast` (names and strings may point into it). On failure *ret_error is set and *ret_ast
// is empty. `home` is not resolved here: EXPR_PATH keeps "~/x".
MUST_CHECK bool parser_parse(Span source, const ParserOptions *options, Ast *ret_ast, ParserError *ret_error);
