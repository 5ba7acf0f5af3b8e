// lexer.c: hand-written, one pass. What is frequent (identifiers, blanks, plain text in strings) is scanned 16 bytes at a time where
// the machine has SSE2, by a table of character classes elsewhere.
#include "eval/lexer.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

// ---- character classes ----

enum {
  CHAR_SPACE = 1,   // [ \t\r\n]
  CHAR_ID = 2,      // [a-zA-Z0-9_'-]
  CHAR_ALPHA = 4,   // [a-zA-Z_]
  CHAR_DIGIT = 8,   // [0-9]
  CHAR_PATH = 16,   // [a-zA-Z0-9._+-]
  CHAR_SCHEME = 32, // [a-zA-Z0-9+.-]
  CHAR_URI = 64,    // [a-zA-Z0-9%/?:@&=+$,_.!~*'-]
};

#define ALNUM_BITS (CHAR_ID | CHAR_PATH | CHAR_SCHEME | CHAR_URI)
static const uint8_t char_bits[256] = {
    [' '] = CHAR_SPACE,
    ['\t'] = CHAR_SPACE,
    ['\r'] = CHAR_SPACE,
    ['\n'] = CHAR_SPACE,
    ['a' ... 'z'] = ALNUM_BITS | CHAR_ALPHA,
    ['A' ... 'Z'] = ALNUM_BITS | CHAR_ALPHA,
    ['0' ... '9'] = ALNUM_BITS | CHAR_DIGIT,
    ['_'] = CHAR_ID | CHAR_ALPHA | CHAR_PATH | CHAR_URI,
    ['\''] = CHAR_ID | CHAR_URI,
    ['-'] = CHAR_ID | CHAR_PATH | CHAR_SCHEME | CHAR_URI,
    ['.'] = CHAR_PATH | CHAR_SCHEME | CHAR_URI,
    ['+'] = CHAR_PATH | CHAR_SCHEME | CHAR_URI,
    ['%'] = CHAR_URI,
    ['/'] = CHAR_URI,
    ['?'] = CHAR_URI,
    [':'] = CHAR_URI,
    ['@'] = CHAR_URI,
    ['&'] = CHAR_URI,
    ['='] = CHAR_URI,
    ['$'] = CHAR_URI,
    [','] = CHAR_URI,
    ['!'] = CHAR_URI,
    ['~'] = CHAR_URI,
    ['*'] = CHAR_URI,
};

static inline bool is(char c, unsigned bits) {
  return (char_bits[(unsigned char)c] & bits) != 0;
}

static inline const char *skip_class(const char *p, const char *end, unsigned bits) {
  while (p < end && is(*p, bits)) p++;
  return p;
}

// The byte at p + i, or NUL behind the end: no rule of the grammar needs to tell the two apart
// where this is used.
static inline char peek(const Lexer *lexer, const char *p, size_t i) {
  return (size_t)(lexer->end - p) > i ? p[i] : '\0';
}

static inline const char *skip_identifier(const char *p, const char *end) {
#ifdef __SSE2__
  while (end - p >= 16) {
    __m128i v = _mm_loadu_si128((const __m128i *)p);
    // Unsigned range checks by adding an offset that moves the range to the bottom of the signed
    // range.
    __m128i lower = _mm_or_si128(v, _mm_set1_epi8(0x20));
    __m128i alpha =
        _mm_cmplt_epi8(_mm_add_epi8(lower, _mm_set1_epi8((char)(0x80 - 'a'))), _mm_set1_epi8((char)(0x80 + 26)));
    __m128i digit =
        _mm_cmplt_epi8(_mm_add_epi8(v, _mm_set1_epi8((char)(0x80 - '0'))), _mm_set1_epi8((char)(0x80 + 10)));
    __m128i other =
        _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('_')),
                     _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\'')), _mm_cmpeq_epi8(v, _mm_set1_epi8('-'))));
    unsigned mask = (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(alpha, digit), other));
    if (mask != 0xffff) return p + __builtin_ctz(~mask);
    p += 16;
  }
#endif
  return skip_class(p, end, CHAR_ID);
}

// First byte that is one of the four, or the end.
static inline const char *find_any4(const char *p, const char *end, char a, char b, char c, char d) {
#ifdef __SSE2__
  for (; end - p >= 16; p += 16) {
    __m128i v = _mm_loadu_si128((const __m128i *)p);
    __m128i hit = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8(a)), _mm_cmpeq_epi8(v, _mm_set1_epi8(b))),
                               _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8(c)), _mm_cmpeq_epi8(v, _mm_set1_epi8(d))));
    unsigned mask = (unsigned)_mm_movemask_epi8(hit);
    if (mask) return p + __builtin_ctz(mask);
  }
#endif
  while (p < end && *p != a && *p != b && *p != c && *p != d) p++;
  return p;
}

static inline const char *skip_blanks(const char *p, const char *end) {
#ifdef __SSE2__
  for (; end - p >= 16; p += 16) {
    __m128i v = _mm_loadu_si128((const __m128i *)p);
    __m128i hit =
        _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8(' ')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\n'))),
                     _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\t')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\r'))));
    unsigned mask = (unsigned)_mm_movemask_epi8(hit);
    if (mask != 0xffff) return p + __builtin_ctz(~mask);
  }
#endif
  return skip_class(p, end, CHAR_SPACE);
}

// ---- blanks and comments ----

// Behind the "*/" that closes the comment at `p`, or NULL.
static const char *block_comment_end(Lexer *lexer, const char *p) {
  if (lexer->no_comment_end) return NULL;
  for (const char *q = p + 2; q < lexer->end && (q = memchr(q, '*', (size_t)(lexer->end - q))); q++)
    if (peek(lexer, q, 1) == '/') return q + 2;
  lexer->no_comment_end = true;
  return NULL;
}

static const char *skip_comments(Lexer *lexer, const char *p) {
  for (;;) {
    p = skip_blanks(p, lexer->end);
    if (p == lexer->end) return p;
    if (*p == '#') {
      p = find_any4(p, lexer->end, '\n', '\r', '\n', '\r');
    } else if (*p == '/' && peek(lexer, p, 1) == '*') {
      const char *q = block_comment_end(lexer, p);
      if (!q) return p;
      if (p[2] == '*' && p[3] != '*' && p[3] != '/') {
        lexer->doc_begin = (uint32_t)(p - lexer->src);
        lexer->doc_end = (uint32_t)(q - lexer->src);
      }
      p = q;
    } else {
      return p;
    }
  }
}

static inline const char *skip_space(Lexer *lexer) {
  const char *p = lexer->at;
  lexer->doc_begin = lexer->doc_end = 0;
  if (LIKELY(p < lexer->end)) {
    if (*p == ' ') p++;
    if (p < lexer->end && !is(*p, CHAR_SPACE) && *p != '#' && *p != '/') return p;
  }
  return skip_comments(lexer, p);
}

// ---- paths and URLs ----

static const char *path_run_end(Lexer *lexer, const char *p) {
  if (p >= lexer->path_run_end) lexer->path_run_end = skip_class(p, lexer->end, CHAR_PATH);
  return lexer->path_run_end;
}

static const char *scheme_run_end(Lexer *lexer, const char *p) {
  if (p >= lexer->scheme_run_end) lexer->scheme_run_end = skip_class(p, lexer->end, CHAR_SCHEME);
  return lexer->scheme_run_end;
}

static inline bool starts_interp(const Lexer *lexer, const char *p) {
  return peek(lexer, p, 0) == '$' && peek(lexer, p, 1) == '{';
}

// (\/{PATH_CHAR}+)* and one more slash, if there is one.
static const char *skip_path_segments(const Lexer *lexer, const char *p) {
  while (peek(lexer, p, 0) == '/' && is(peek(lexer, p, 1), CHAR_PATH)) p = skip_class(p + 1, lexer->end, CHAR_PATH);
  return peek(lexer, p, 0) == '/' ? p + 1 : p;
}

static void finish(Lexer *lexer, TokenKind kind, const char *end) {
  lexer->kind = (uint8_t)kind;
  lexer->text = span_make(lexer->src + lexer->pos, (size_t)(end - (lexer->src + lexer->pos)));
  lexer->at = end;
}

static void finish_error(Lexer *lexer, LexerError error, const char *end) {
  finish(lexer, TOKEN_ERROR, end);
  lexer->error = error;
}

// If a slash at `slash` makes the token at `lexer->pos` a path: {PATH_CHAR}*(\/{PATH_CHAR}+)+\/? or
// {PATH_SEG} before "${".
static bool finish_path(Lexer *lexer, TokenKind kind, const char *slash) {
  if (!is(peek(lexer, slash, 1), CHAR_PATH) && !starts_interp(lexer, slash + 1)) return false;
  finish(lexer, kind, skip_path_segments(lexer, slash));
  return true;
}

// A path or an URL is longer than any other token that starts at `p`, a path character.
static bool try_path_or_uri(Lexer *lexer, const char *p) {
  const char *end = path_run_end(lexer, p);
  if (end == lexer->end) return false;
  if (*end == '/') return finish_path(lexer, TOKEN_PATH, end);
  if (*end != ':' || !is(*p, CHAR_ALPHA) || *p == '_' || !is(peek(lexer, end, 1), CHAR_URI)) return false;
  if (scheme_run_end(lexer, p) != end) return false;
  finish(lexer, TOKEN_URI, skip_class(end + 1, lexer->end, CHAR_URI));
  return true;
}

// <nixpkgs/lib>
static bool try_search_path(Lexer *lexer, const char *p) {
  const char *q = path_run_end(lexer, p + 1);
  if (q == p + 1) return false;
  while (peek(lexer, q, 0) == '/' && is(peek(lexer, q, 1), CHAR_PATH)) q = skip_class(q + 1, lexer->end, CHAR_PATH);
  if (peek(lexer, q, 0) != '>') return false;
  finish(lexer, TOKEN_SPATH, q + 1);
  return true;
}

// ---- identifiers and keywords ----

// Keywords are at most seven bytes: compared as one little-endian word.
#define WORD2(a, b) ((uint64_t)(a) | (uint64_t)(b) << 8)
#define WORD3(a, b, c) (WORD2(a, b) | (uint64_t)(c) << 16)
#define WORD4(a, b, c, d) (WORD3(a, b, c) | (uint64_t)(d) << 24)
#define WORD6(a, b, c, d, e, f) (WORD4(a, b, c, d) | WORD2(e, f) << 32)
#define WORD7(a, b, c, d, e, f, g) (WORD4(a, b, c, d) | WORD3(e, f, g) << 32)

static TokenKind keyword(uint64_t word) {
  switch (word) {
  case WORD2('i', 'f'): return TOKEN_IF;
  case WORD4('t', 'h', 'e', 'n'): return TOKEN_THEN;
  case WORD4('e', 'l', 's', 'e'): return TOKEN_ELSE;
  case WORD6('a', 's', 's', 'e', 'r', 't'): return TOKEN_ASSERT;
  case WORD4('w', 'i', 't', 'h'): return TOKEN_WITH;
  case WORD3('l', 'e', 't'): return TOKEN_LET;
  case WORD2('i', 'n'): return TOKEN_IN;
  case WORD3('r', 'e', 'c'): return TOKEN_REC;
  case WORD7('i', 'n', 'h', 'e', 'r', 'i', 't'): return TOKEN_INHERIT;
  case WORD2('o', 'r'): return TOKEN_OR_KW;
  default: return TOKEN_ID;
  }
}

static inline uint64_t load_word(const Lexer *lexer, const char *p, size_t len) {
  uint64_t word = 0;
  if (LIKELY(lexer->end - p >= 8)) {
    memcpy(&word, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return len >= 8 ? word : word & ((1ull << (len * 8)) - 1);
  }
  for (size_t i = len; i-- > 0;) word = word << 8 | (unsigned char)p[i];
  return word;
}

static inline void lex_identifier(Lexer *lexer, const char *p) {
  const char *end = skip_identifier(p + 1, lexer->end);
  char next = peek(lexer, end, 0);
  // `x: y` is far more frequent than an URL, `a.b` than a path.
  if (UNLIKELY(next == '/' || next == '.' || next == '+' || (next == ':' && is(peek(lexer, end, 1), CHAR_URI))) &&
      try_path_or_uri(lexer, p))
    return;
  size_t len = (size_t)(end - p);
  lexer->at = end;
  lexer->kind = TOKEN_ID;
  if (len <= 7) {
    TokenKind kind = keyword(load_word(lexer, p, len));
    if (kind != TOKEN_ID) {
      lexer->kind = (uint8_t)kind;
      return;
    }
  }
  if (!lexer->names) return;
  lexer->name = name_table_intern(lexer->names, span_make(p, len), name_table_hash(span_make(p, len)));
  name_table_mention(lexer->names, lexer->name);
}

// ---- numbers ----

static void lex_float(Lexer *lexer, const char *p, const char *end) {
  if (end < lexer->end && (*end == 'e' || *end == 'E')) {
    const char *q = end + 1;
    if (peek(lexer, q, 0) == '+' || peek(lexer, q, 0) == '-') q++;
    if (is(peek(lexer, q, 0), CHAR_DIGIT)) end = skip_class(q, lexer->end, CHAR_DIGIT);
  }
  char small[64], *text = small;
  size_t len = (size_t)(end - p);
  if (len >= sizeof small) text = mem_alloc(len + 1);
  memcpy(text, p, len);
  text[len] = '\0';
  errno = 0;
  lexer->floating = strtod(text, NULL);
  bool bad = errno != 0;
  if (text != small) mem_free(text);
  if (bad) finish_error(lexer, LEXER_BAD_FLOAT, end);
  else finish(lexer, TOKEN_FLOAT, end);
}

static void lex_integer(Lexer *lexer, const char *p, const char *end) {
  int64_t value = 0;
  for (const char *q = p; q < end; q++)
    if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *q - '0', &value)) {
      finish_error(lexer, LEXER_BAD_INTEGER, end);
      return;
    }
  lexer->integer = value;
  finish(lexer, TOKEN_INT, end);
}

// FLOAT is (([1-9][0-9]*\.[0-9]*)|(0?\.[0-9]+))([Ee][+-]?[0-9]+)?
static void lex_number(Lexer *lexer, const char *p) {
  const char *end = skip_class(p, lexer->end, CHAR_DIGIT);
  if (end < lexer->end && is(*end, CHAR_PATH) | (*end == '/') && try_path_or_uri(lexer, p)) return;
  if (peek(lexer, end, 0) == '.') {
    const char *fraction_end = skip_class(end + 1, lexer->end, CHAR_DIGIT);
    if (*p != '0' || (end == p + 1 && fraction_end > end + 1)) {
      lex_float(lexer, p, fraction_end);
      return;
    }
  }
  lex_integer(lexer, p, end);
}

// ---- the other tokens ----

static void lex_dot(Lexer *lexer, const char *p) {
  char next = peek(lexer, p, 1);
  if ((is(next, CHAR_PATH) || next == '/') && try_path_or_uri(lexer, p)) return;
  if (is(next, CHAR_DIGIT)) lex_float(lexer, p, skip_class(p + 1, lexer->end, CHAR_DIGIT));
  else if (next == '.' && peek(lexer, p, 2) == '.') finish(lexer, TOKEN_ELLIPSIS, p + 3);
  else finish(lexer, TOKEN_DOT, p + 1);
}

// An operator of one byte, or of two if `second` follows.
static inline void lex_operator(Lexer *lexer, const char *p, TokenKind one, char second, TokenKind two) {
  if (peek(lexer, p, 1) == second) finish(lexer, two, p + 2);
  else finish(lexer, one, p + 1);
}

static void lex_pipe(Lexer *lexer, const char *p, TokenKind kind) {
  if (lexer->pipe_operators) finish(lexer, kind, p + 2);
  else finish_error(lexer, LEXER_PIPE_DISABLED, p + 2);
}

static void lex_indented_open(Lexer *lexer, const char *p) {
  const char *q = p + 2;
  while (peek(lexer, q, 0) == ' ') q++;
  finish(lexer, TOKEN_IND_OPEN, peek(lexer, q, 0) == '\n' ? q + 1 : p + 2);
}

static void lex_punctuation(Lexer *lexer, const char *p) {
  char next = peek(lexer, p, 1);
  switch (*p) {
  case '.': lex_dot(lexer, p); return;
  case '-':
  case '+':
    if ((is(next, CHAR_PATH) || next == '/') && try_path_or_uri(lexer, p)) return;
    if (*p == '-') lex_operator(lexer, p, TOKEN_MINUS, '>', TOKEN_IMPL);
    else lex_operator(lexer, p, TOKEN_PLUS, '+', TOKEN_CONCAT);
    return;
  case '/':
    if (!finish_path(lexer, TOKEN_PATH, p)) lex_operator(lexer, p, TOKEN_SLASH, '/', TOKEN_UPDATE);
    return;
  case '~':
    if (next == '/' && finish_path(lexer, TOKEN_HPATH, p + 1)) return;
    break;
  case '<':
    if (is(next, CHAR_PATH) && try_search_path(lexer, p)) return;
    if (next == '|') lex_pipe(lexer, p, TOKEN_PIPE_FROM);
    else lex_operator(lexer, p, TOKEN_LT, '=', TOKEN_LEQ);
    return;
  case '|':
    if (next == '>') {
      lex_pipe(lexer, p, TOKEN_PIPE_INTO);
      return;
    }
    if (next != '|') break;
    finish(lexer, TOKEN_OR, p + 2);
    return;
  case '&':
    if (next != '&') break;
    finish(lexer, TOKEN_AND, p + 2);
    return;
  case '$':
    if (next != '{') break;
    finish(lexer, TOKEN_DOLLAR_CURLY, p + 2);
    return;
  case '\'':
    if (next != '\'') break;
    lex_indented_open(lexer, p);
    return;
  case '>': lex_operator(lexer, p, TOKEN_GT, '=', TOKEN_GEQ); return;
  case '=': lex_operator(lexer, p, TOKEN_ASSIGN, '=', TOKEN_EQ); return;
  case '!': lex_operator(lexer, p, TOKEN_BANG, '=', TOKEN_NEQ); return;
  case '*': finish(lexer, TOKEN_STAR, p + 1); return;
  case '"': finish(lexer, TOKEN_QUOTE, p + 1); return;
  case '\0': finish(lexer, TOKEN_EOF, p); return; // bison takes the character 0 for the end of the file
  default: break;
  }
  finish(lexer, TOKEN_INVALID, p + 1);
}

// Tokens of one byte that can be nothing else. TOKEN_EOF: look closer.
static const uint8_t single_byte_tokens[256] = {
    ['('] = TOKEN_LPAREN,   [')'] = TOKEN_RPAREN,   ['{'] = TOKEN_LBRACE,    ['}'] = TOKEN_RBRACE,
    ['['] = TOKEN_LBRACKET, [']'] = TOKEN_RBRACKET, [';'] = TOKEN_SEMICOLON, [','] = TOKEN_COMMA,
    [':'] = TOKEN_COLON,    ['@'] = TOKEN_AT,       ['?'] = TOKEN_QUESTION,
};

void lexer_next(Lexer *lexer) {
  const char *p = skip_space(lexer);
  lexer->pos = (uint32_t)(p - lexer->src);
  if (UNLIKELY(p == lexer->end)) {
    finish(lexer, TOKEN_EOF, p);
    return;
  }
  unsigned char c = (unsigned char)*p;
  if (LIKELY(char_bits[c] & CHAR_ALPHA)) {
    lex_identifier(lexer, p);
  } else if (single_byte_tokens[c]) {
    lexer->kind = single_byte_tokens[c];
    lexer->at = p + 1;
  } else if (char_bits[c] & CHAR_DIGIT) {
    lex_number(lexer, p);
  } else {
    lex_punctuation(lexer, p);
  }
}

void lexer_init(Lexer *lexer, Span source, NameTable *names, Arena *arena, bool pipe_operators) {
  *lexer = (Lexer){0};
  lexer->src = lexer->at = lexer->path_run_end = lexer->scheme_run_end = source.data ? source.data : "";
  lexer->end = lexer->src + source.len;
  lexer->names = names;
  lexer->arena = arena;
  lexer->pipe_operators = pipe_operators;
}

// ---- inside strings and paths ----

// Resolves backslashes; CR and CR LF become LF. An escaped CR stays.
static Span unescape(Lexer *lexer, Span raw) {
  char *out = arena_alloc(lexer->arena, raw.len + 1);
  size_t len = 0;
  for (size_t i = 0; i < raw.len;) {
    char c = raw.data[i++];
    if (c == '\\' && i < raw.len) {
      c = raw.data[i++];
      c = c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c;
    } else if (c == '\r') {
      c = '\n';
      if (i < raw.len && raw.data[i] == '\n') i++;
    }
    out[len++] = c;
  }
  return span_make(out, len);
}

// Bytes of `raw` that are NUL and not escaped.
static bool has_nul(Span raw) {
  for (size_t i = 0; i < raw.len; i++) {
    if (raw.data[i] == '\\') i++;
    else if (raw.data[i] == '\0') return true;
  }
  return false;
}

LexerStop lexer_string_piece(Lexer *lexer, uint32_t *ret_stop_pos) {
  const char *start = lexer->at, *p = start, *end = lexer->end;
  bool plain = true;
  LexerStop stop = LEXER_STOP_EOF;
  lexer->pos = (uint32_t)(start - lexer->src);
  for (;;) {
    p = find_any4(p, end, '"', '$', '\\', '\r');
    if (p == end) break;
    if (*p == '"') {
      stop = LEXER_STOP_END;
      break;
    }
    char next = peek(lexer, p, 1);
    if (*p == '\r') {
      plain = false;
      p++;
    } else if (*p == '\\') {
      if (end - p < 2) break;
      plain = false;
      p += 2;
    } else if (next == '{' && end - p >= 2) {
      stop = LEXER_STOP_INTERP;
      break;
    } else if (next == '\\') { // "$\x": the backslash is an escape, the dollar no part of it
      if (end - p < 3) break;
      plain = false;
      p += 3;
    } else if (next == '"') {
      p++;
    } else {
      if (end - p < 2) break;
      p += 2; // the next byte is literal too, even if it is a dollar: "$${x}" interpolates nothing
      if (next == '\r') {
        plain = false;
      }
    }
  }
  Span raw = span_make(start, (size_t)(p - start));
  *ret_stop_pos = (uint32_t)(p - lexer->src);
  lexer->at = p + (stop == LEXER_STOP_END ? 1 : stop == LEXER_STOP_INTERP ? 2 : 0);
  lexer->text = plain ? raw : unescape(lexer, raw);
  if (UNLIKELY(memchr(raw.data, '\0', raw.len) != NULL) && has_nul(raw)) {
    lexer->kind = TOKEN_ERROR;
    lexer->error = LEXER_NUL_BYTE;
    return LEXER_STOP_ERROR;
  }
  return stop;
}

// ([^\$\']|\$[^\{\']|\'[^\'\$])+
static const char *skip_ind_text(const char *p, const char *end) {
  for (;;) {
    p = find_any4(p, end, '\'', '$', '\'', '$');
    if (end - p < 2) return p;
    if (*p == '$' ? p[1] == '{' || p[1] == '\'' : p[1] == '\'' || p[1] == '$') return p;
    p += 2;
  }
}

static LexerStop ind_escape(Lexer *lexer, const char *p, size_t len, Span text) {
  lexer->at = p + len;
  lexer->text = text;
  return LEXER_STOP_MORE;
}

LexerStop lexer_ind_piece(Lexer *lexer, bool *ret_indent) {
  const char *p = lexer->at, *end = lexer->end;
  lexer->pos = (uint32_t)(p - lexer->src);
  *ret_indent = false;
  if (p == end) return LEXER_STOP_EOF;
  const char *q = skip_ind_text(p, end);
  if (q > p) {
    *ret_indent = true;
    lexer->text = span_make(p, (size_t)(q - p));
    lexer->at = q;
    if (LIKELY(!memchr(p, '\0', (size_t)(q - p)))) return LEXER_STOP_MORE;
    lexer->kind = TOKEN_ERROR;
    lexer->error = LEXER_NUL_BYTE;
    return LEXER_STOP_ERROR;
  }
  char next = peek(lexer, p, 1);
  if (*p == '$') {
    if (next != '{') return ind_escape(lexer, p, 1, SPAN("$"));
    lexer->at = p + 2;
    return LEXER_STOP_INTERP;
  }
  if (next != '\'') return ind_escape(lexer, p, 1, SPAN("'"));
  switch (peek(lexer, p, 2)) {
  case '$': return ind_escape(lexer, p, 3, SPAN("$"));
  case '\'': return ind_escape(lexer, p, 3, SPAN("''"));
  case '\\':
    if (end - p >= 4) return ind_escape(lexer, p, 4, unescape(lexer, span_make(p + 2, 2)));
    break;
  default: break;
  }
  lexer->at = p + 2;
  return LEXER_STOP_END;
}

LexerStop lexer_path_piece(Lexer *lexer, bool after_slash) {
  const char *p = lexer->at;
  // Where the file ends, C++ Nix blames a trailing slash on the piece that has it.
  if (p < lexer->end) lexer->pos = (uint32_t)(p - lexer->src);
  if (starts_interp(lexer, p)) {
    lexer->at = p + 2;
    return LEXER_STOP_INTERP;
  }
  const char *q = skip_path_segments(lexer, skip_class(p, lexer->end, CHAR_PATH));
  if (q > p) {
    lexer->text = span_make(p, (size_t)(q - p));
    lexer->at = q;
    return LEXER_STOP_MORE;
  }
  if (!after_slash) return LEXER_STOP_END;
  lexer->kind = TOKEN_ERROR;
  lexer->error = LEXER_TRAILING_SLASH;
  return LEXER_STOP_ERROR;
}

// ---- messages ----

static char *nul_message(Span text) {
  Buf buf = BUF_INIT;
  buf_put_cstr(&buf, "input string '");
  for (size_t i = 0; i < text.len; i++) {
    if (text.data[i]) buf_put_char(&buf, text.data[i]);
    else buf_put_cstr(&buf, "␀");
  }
  buf_put_cstr(&buf, "' cannot be represented as Nix string because it contains null bytes");
  return buf_take(&buf);
}

char *lexer_error_message(const Lexer *lexer) {
  Buf buf = BUF_INIT;
  switch (lexer->error) {
  case LEXER_BAD_INTEGER: buf_printf(&buf, "invalid integer '%.*s'", SPAN_ARG(lexer->text)); break;
  case LEXER_BAD_FLOAT: buf_printf(&buf, "invalid float '%.*s'", SPAN_ARG(lexer->text)); break;
  case LEXER_PIPE_DISABLED:
    buf_put_cstr(&buf, "experimental Nix feature 'pipe-operators' is disabled; add "
                       "'--extra-experimental-features pipe-operators' to enable it");
    break;
  case LEXER_TRAILING_SLASH: buf_put_cstr(&buf, "path has a trailing slash"); break;
  case LEXER_NUL_BYTE: return nul_message(lexer->text);
  case LEXER_OK: break;
  }
  return buf_take(&buf);
}

const char *lexer_token_text(TokenKind kind) {
  static const char *const texts[] = {
#define TOKEN(name, text) text,
#include "eval/token.def"
#undef TOKEN
  };
  return kind < TOKEN_COUNT ? texts[kind] : "invalid token";
}
