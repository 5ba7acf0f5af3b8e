// syntax_error.c: the automaton and, in front of it, the tokens as C++ Nix's flex scanner delivers them: a stack of modes says
// whether a string, a path or an expression is being read, and `}` returns to the mode of its opening bracket whether or not the
// grammar agrees.
#include "eval/syntax_error.h"

#include "base/buf.h"
#include "base/mem.h"
#include "eval/lexer.h"
#include "eval/syntax_tables.h"

enum { MAX_EXPECTED = 4 }; // bison lists none if there are more

typedef enum Mode { MODE_EXPR, MODE_STRING, MODE_IND, MODE_PATH, MODE_PATH_SLASH } Mode;

typedef struct Scanner {
  Lexer lexer;
  uint8_t *modes; // owned; never empty
  size_t mode_count, mode_cap;
  // A piece of a string was delivered, what ended it comes next.
  bool has_stop;
  LexerStop stop;
  uint32_t stop_pos;
  // The token.
  TokenKind kind;
  uint32_t pos, before_pos; // and of the token before it
} Scanner;

static void push_mode(Scanner *sc, Mode mode) {
  MEM_RESERVE(sc->modes, sc->mode_cap, sc->mode_count + 1);
  sc->modes[sc->mode_count++] = (uint8_t)mode;
}

static void pop_mode(Scanner *sc) {
  if (sc->mode_count > 1) sc->mode_count--;
}

static void set_token(Scanner *sc, TokenKind kind, uint32_t pos) {
  sc->kind = kind;
  sc->pos = pos;
}

static void scan_expr(Scanner *sc) {
  lexer_next(&sc->lexer);
  set_token(sc, sc->lexer.kind, sc->lexer.pos);
  switch ((int)sc->kind) {
  case TOKEN_DOLLAR_CURLY:
  case TOKEN_LBRACE: push_mode(sc, MODE_EXPR); break;
  case TOKEN_RBRACE: pop_mode(sc); break;
  case TOKEN_QUOTE: push_mode(sc, MODE_STRING); break;
  case TOKEN_IND_OPEN: push_mode(sc, MODE_IND); break;
  case TOKEN_PATH:
  case TOKEN_HPATH:
    push_mode(sc, sc->lexer.text.data[sc->lexer.text.len - 1] == '/' ? MODE_PATH_SLASH : MODE_PATH);
    break;
  case TOKEN_EOF: // a NUL byte is a token of one byte, and the end for bison
    if (sc->lexer.at < sc->lexer.end) sc->pos++;
    break;
  default: break;
  }
}

// What ended a piece, as a token.
static void scan_stop(Scanner *sc, LexerStop stop, uint32_t pos, TokenKind close) {
  switch (stop) {
  case LEXER_STOP_INTERP:
    set_token(sc, TOKEN_DOLLAR_CURLY, pos);
    push_mode(sc, MODE_EXPR);
    return;
  case LEXER_STOP_END:
    set_token(sc, close, pos);
    pop_mode(sc);
    return;
  case LEXER_STOP_ERROR: set_token(sc, TOKEN_ERROR, pos); return;
  case LEXER_STOP_EOF:
  case LEXER_STOP_MORE: break;
  }
  set_token(sc, TOKEN_EOF, (uint32_t)(sc->lexer.end - sc->lexer.src));
}

static void scan_string(Scanner *sc) {
  if (!sc->has_stop) {
    sc->stop = lexer_string_piece(&sc->lexer, &sc->stop_pos);
    if (sc->stop == LEXER_STOP_ERROR) {
      set_token(sc, TOKEN_ERROR, sc->lexer.pos);
      return;
    }
    if (sc->stop_pos > sc->lexer.pos) {
      sc->has_stop = true;
      set_token(sc, TOKEN_STR, sc->lexer.pos);
      return;
    }
  }
  sc->has_stop = false;
  scan_stop(sc, sc->stop, sc->stop_pos, TOKEN_QUOTE);
}

static void scan_ind(Scanner *sc) {
  bool indent;
  LexerStop stop = lexer_ind_piece(&sc->lexer, &indent);
  if (stop == LEXER_STOP_MORE) set_token(sc, TOKEN_IND_STR, sc->lexer.pos);
  else scan_stop(sc, stop, sc->lexer.pos, TOKEN_IND_CLOSE);
}

static void scan_path(Scanner *sc, bool after_slash) {
  uint32_t last_pos = sc->pos;
  LexerStop stop = lexer_path_piece(&sc->lexer, after_slash);
  uint8_t *mode = &sc->modes[sc->mode_count - 1];
  if (stop == LEXER_STOP_MORE) {
    *mode = sc->lexer.text.data[sc->lexer.text.len - 1] == '/' ? MODE_PATH_SLASH : MODE_PATH;
    set_token(sc, TOKEN_STR, sc->lexer.pos);
    return;
  }
  *mode = MODE_PATH;
  scan_stop(sc, stop, sc->lexer.pos, TOKEN_PATH_END);
  if (sc->kind == TOKEN_PATH_END) sc->pos = sc->lexer.at < sc->lexer.end ? last_pos : sc->before_pos;
}

static void scan(Scanner *sc) {
  uint32_t last_pos = sc->pos;
  uint32_t path_pos = sc->before_pos;
  bool path_at_end = sc->kind == TOKEN_PATH_END && sc->lexer.at == sc->lexer.end;
  switch ((Mode)sc->modes[sc->mode_count - 1]) {
  case MODE_EXPR: scan_expr(sc); break;
  case MODE_STRING: scan_string(sc); break;
  case MODE_IND: scan_ind(sc); break;
  case MODE_PATH: scan_path(sc, false); break;
  case MODE_PATH_SLASH: scan_path(sc, true); break;
  }
  // Looking for more of a path, flex meets the end of the file and forgets the last token's place.
  if (path_at_end) sc->pos = path_pos;
  sc->before_pos = last_pos;
}

// ---- the automaton ----

typedef struct States {
  uint8_t *items; // owned
  size_t count, cap;
} States;
_Static_assert(SYNTAX_STATES <= 256, "states fit a byte");

static void push_state(States *states, int state) {
  MEM_RESERVE(states->items, states->cap, states->count + 1);
  states->items[states->count++] = (uint8_t)state;
}

static void reduce(States *states, int rule) {
  states->count -= syntax_lengths[rule];
  push_state(states, syntax_gotos[states->items[states->count - 1]][syntax_heads[rule]]);
}

// Reduces until `kind` can be shifted and shifts it. False: it has no place.
static bool accept_token(States *states, TokenKind kind) {
  for (;;) {
    int state = states->items[states->count - 1];
    int action = syntax_actions[state][kind];
    if (action > 0) {
      push_state(states, action);
      return true;
    }
    if (action == SYNTAX_ERROR) return false;
    int rule = action < 0 ? -action : syntax_defaults[state];
    if (!rule) return false;
    reduce(states, rule);
  }
}

static char *unexpected_message(int state, TokenKind kind) {
  Buf message = BUF_INIT;
  buf_printf(&message, "syntax error, unexpected %s", lexer_token_text(kind));
  int expected[MAX_EXPECTED], count = 0;
  for (int token = 0; token < TOKEN_COUNT; token++) {
    int action = syntax_actions[state][token];
    if (!action || action == SYNTAX_ERROR) continue;
    if (count == MAX_EXPECTED) {
      count = 0;
      break;
    }
    expected[count++] = token;
  }
  for (int i = 0; i < count; i++)
    buf_printf(&message, "%s%s", i ? " or " : ", expecting ", lexer_token_text((TokenKind)expected[i]));
  return buf_take(&message);
}

bool syntax_error_find(Span source, const ParserOptions *options, ParserError *ret_error) {
  Arena arena = ARENA_INIT;
  Scanner sc = {.kind = TOKEN_EOF};
  States states = {0};
  lexer_init(&sc.lexer, source, NULL, &arena, options->pipe_operators);
  push_mode(&sc, MODE_EXPR);
  push_state(&states, 0);
  bool ok = true;
  do {
    scan(&sc);
    ok = sc.kind != TOKEN_ERROR && accept_token(&states, sc.kind);
  } while (ok && sc.kind != TOKEN_EOF);
  if (!ok) {
    char *message = sc.kind == TOKEN_ERROR ? lexer_error_message(&sc.lexer)
                                           : unexpected_message(states.items[states.count - 1], sc.kind);
    *ret_error = (ParserError){sc.pos, AST_NO_POS, message};
  }
  mem_free(sc.modes);
  mem_free(states.items);
  arena_done(&arena);
  return !ok;
}
