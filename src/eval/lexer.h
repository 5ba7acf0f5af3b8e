// lexer.h: source text -> tokens. As in C++ Nix's lexer.l the longest match wins, and what a byte
// means depends on where it stands: the caller asks for the next token of an expression
// (lexer_next) or for the next piece of a string, an indented string or a path, because only it
// knows which of them is open.
//
// Linear in the source: what has been looked at in vain (the end of a run of path characters, a
// missing end of a comment) is remembered.
#pragma once

#include "eval/name_table.h"

typedef enum TokenKind {
#define TOKEN(name, text) TOKEN_##name,
#include "eval/token.def"
#undef TOKEN
  TOKEN_COUNT,
  TOKEN_ERROR = TOKEN_COUNT, // Lexer.error says what
} TokenKind;

typedef enum LexerError {
  LEXER_OK,
  LEXER_BAD_INTEGER,    // does not fit 64 bits
  LEXER_BAD_FLOAT,      // out of range
  LEXER_PIPE_DISABLED,  // |> or <| without the experimental feature
  LEXER_TRAILING_SLASH, // a path that ends in a slash
  LEXER_NUL_BYTE,       // inside a string
} LexerError;

typedef struct Lexer {
  const char *src, *end; // borrowed
  const char *at;        // first byte behind the token
  NameTable *names;      // NULL: identifiers are not interned
  Arena *arena;          // for unescaped text
  bool pipe_operators;

  // The current token.
  uint8_t kind; // TokenKind
  LexerError error;
  uint32_t pos; // of its first byte
  AstName name; // ID
  int64_t integer;
  double floating;
  Span text; // of a piece; of an invalid token; what a message quotes

  // Facts about the bytes ahead: the end of the run of path (URI scheme) characters that `at` may
  // stand in.
  const char *path_run_end, *scheme_run_end;
  bool no_comment_end; // there is no "*/" any more
  // The last documentation comment before the current token, if doc_begin < doc_end.
  uint32_t doc_begin, doc_end;
} Lexer;

void lexer_init(Lexer *lexer, Span source, NameTable *names, Arena *arena, bool pipe_operators);

// The next token of an expression. TOKEN_PATH, TOKEN_HPATH, TOKEN_QUOTE and TOKEN_IND_OPEN are only
// the begin of something: the functions below read on. For paths, `text` is the first piece.
void lexer_next(Lexer *lexer);

// What ended a piece of a string or of a path.
typedef enum LexerStop {
  LEXER_STOP_END,    // closing quotes (consumed), or the path is over
  LEXER_STOP_INTERP, // "${", consumed
  LEXER_STOP_MORE,   // another piece follows
  LEXER_STOP_EOF,
  LEXER_STOP_ERROR, // `error` is set
} LexerStop;

// Inside "...": the literal text (without escapes) up to the next `${` or `"`. `pos` and `text`
// tell where and what it was; no piece is an empty text. `*ret_stop_pos` is where the terminator
// starts.
LexerStop lexer_string_piece(Lexer *lexer, uint32_t *ret_stop_pos);
// Inside ''...'': one token of text. `*ret_indent` is false for an escape, whose text is not
// subject to stripping. LEXER_STOP_MORE with a text, else a terminator without one.
LexerStop lexer_ind_piece(Lexer *lexer, bool *ret_indent);
// After a path or after an interpolation in it: one more piece (LEXER_STOP_MORE) or what ends it.
// `after_slash`: the text so far ends in a slash.
LexerStop lexer_path_piece(Lexer *lexer, bool after_slash);

// The text of an error, owned by the caller.
char *lexer_error_message(const Lexer *lexer);
// How messages name a token ("';'", "ID", "end of file").
const char *lexer_token_text(TokenKind kind);
