// regex_program.c: pattern -> tree -> nodes. The nodes are made from the end to the beginning, so that each knows where it goes on.
#include "eval/regex_program.h"

#include "base/mem.h"
#include "eval/regex.h"

// ---- the tree ----

typedef enum TreeKind {
  TREE_BYTES, // one node: CHAR, ANY, SET, BEGIN, END
  TREE_GROUP,
  TREE_SEQUENCE,    // children in order
  TREE_ALTERNATIVE, // two children
  TREE_REPEAT,      // child, min to max times
} TreeKind;

#define UNLIMITED INT64_MAX

typedef struct Tree {
  uint8_t kind; // TreeKind
  uint8_t op;   // of TREE_BYTES
  uint8_t byte;
  bool nullable; // can match nothing
  bool plus;     // a TREE_REPEAT written "+"
  uint32_t height;
  uint32_t group;
  int64_t min, max;
  const RegexSet *set;
  struct Tree *child; // first
  struct Tree *next;  // sibling
} Tree;

typedef struct Builder {
  const char *at, *end;
  RegexProgram *program;
  Arena *arena; // of the tree; sets go to the program's
  Span pattern;
  Err *err;
  int depth; // of groups
} Builder;

static Tree *fail(Builder *b) {
  (void)err_set(b->err, ERR_EVAL, "invalid regular expression '%.*s'", SPAN_ARG(b->pattern));
  return NULL;
}

static bool fail_large(Builder *b) {
  return err_set(b->err, ERR_EVAL, "memory limit exceeded by regular expression '%.*s'", SPAN_ARG(b->pattern));
}

static Tree *new_tree(Builder *b, TreeKind kind) {
  Tree *tree = ARENA_NEW(b->arena, Tree);
  *tree = (Tree){.kind = (uint8_t)kind};
  return tree;
}

static Tree *new_bytes(Builder *b, RegexOp op, char byte) {
  Tree *tree = new_tree(b, TREE_BYTES);
  tree->op = (uint8_t)op;
  tree->byte = (uint8_t)byte;
  tree->nullable = op == REGEX_OP_BEGIN || op == REGEX_OP_END;
  return tree;
}

// ---- bracket expressions ----

static void add_byte(RegexSet *set, unsigned char byte) {
  set->bits[byte >> 6] |= 1ull << (byte & 63);
}

static bool in_class(Span name, unsigned char c) {
  bool lower = c >= 'a' && c <= 'z', upper = c >= 'A' && c <= 'Z', digit = c >= '0' && c <= '9';
  bool alnum = lower || upper || digit, graph = c > ' ' && c < 0x7f;
  if (span_eq_cstr(name, "alnum")) return alnum;
  if (span_eq_cstr(name, "w")) return alnum || c == '_';
  if (span_eq_cstr(name, "alpha")) return lower || upper;
  if (span_eq_cstr(name, "blank")) return c == ' ' || c == '\t';
  if (span_eq_cstr(name, "cntrl")) return c < ' ' || c == 0x7f;
  if (span_eq_cstr(name, "digit") || span_eq_cstr(name, "d")) return digit;
  if (span_eq_cstr(name, "graph")) return graph;
  if (span_eq_cstr(name, "lower")) return lower;
  if (span_eq_cstr(name, "print")) return graph || c == ' ';
  if (span_eq_cstr(name, "punct")) return graph && !alnum;
  if (span_eq_cstr(name, "space") || span_eq_cstr(name, "s")) return c == ' ' || (c >= '\t' && c <= '\r');
  if (span_eq_cstr(name, "upper")) return upper;
  return digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); // xdigit
}

static bool add_class(RegexSet *set, Span name) {
  static const char *const classes[] = {"alnum", "alpha", "blank", "cntrl", "d",     "digit", "graph", "lower",
                                        "print", "punct", "s",     "space", "upper", "w",     "xdigit"};
  char lower[8];
  if (name.len >= sizeof lower) return false;
  for (size_t i = 0; i < name.len; i++) {
    char c = name.data[i];
    lower[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
  }
  name.data = lower;
  for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
    if (!span_eq_cstr(name, classes[i])) continue;
    for (int c = 0; c < 256; c++)
      if (in_class(name, (unsigned char)c)) add_byte(set, (unsigned char)c);
    return true;
  }
  return false;
}

// The byte with that POSIX name, or -1. Digits and punctuation have only long names.
static int collating_element(Span name) {
  static const char *const controls[] = {"NUL",
                                         "SOH",
                                         "STX",
                                         "ETX",
                                         "EOT",
                                         "ENQ",
                                         "ACK",
                                         "alert",
                                         "backspace",
                                         "tab",
                                         "newline",
                                         "vertical-tab",
                                         "form-feed",
                                         "carriage-return",
                                         "SO",
                                         "SI",
                                         "DLE",
                                         "DC1",
                                         "DC2",
                                         "DC3",
                                         "DC4",
                                         "NAK",
                                         "SYN",
                                         "ETB",
                                         "CAN",
                                         "EM",
                                         "SUB",
                                         "ESC",
                                         "IS4",
                                         "IS3",
                                         "IS2",
                                         "IS1",
                                         "space",
                                         "exclamation-mark",
                                         "quotation-mark",
                                         "number-sign",
                                         "dollar-sign",
                                         "percent-sign",
                                         "ampersand",
                                         "apostrophe",
                                         "left-parenthesis",
                                         "right-parenthesis",
                                         "asterisk",
                                         "plus-sign",
                                         "comma",
                                         "hyphen",
                                         "period",
                                         "slash",
                                         "zero",
                                         "one",
                                         "two",
                                         "three",
                                         "four",
                                         "five",
                                         "six",
                                         "seven",
                                         "eight",
                                         "nine",
                                         "colon",
                                         "semicolon",
                                         "less-than-sign",
                                         "equals-sign",
                                         "greater-than-sign",
                                         "question-mark",
                                         "commercial-at"};
  static const char *const brackets[] = {"left-square-bracket", "backslash",  "right-square-bracket",
                                         "circumflex",          "underscore", "grave-accent"};
  static const char *const braces[] = {"left-curly-bracket", "vertical-line", "right-curly-bracket", "tilde", "DEL"};
  char c = name.len == 1 ? name.data[0] : 0;
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return c;
  for (size_t i = 0; i < ARRAY_LEN(controls); i++)
    if (span_eq_cstr(name, controls[i])) return (int)i;
  for (size_t i = 0; i < ARRAY_LEN(brackets); i++)
    if (span_eq_cstr(name, brackets[i])) return '[' + (int)i;
  for (size_t i = 0; i < ARRAY_LEN(braces); i++)
    if (span_eq_cstr(name, braces[i])) return '{' + (int)i;
  return -1;
}

typedef enum ItemKind {
  ITEM_CHAR,
  ITEM_DASH,
  ITEM_END,
  ITEM_CLASS,
  ITEM_EQUIVALENCE,
  ITEM_COLLATING,
  ITEM_ERROR
} ItemKind;

typedef struct Item {
  ItemKind kind;
  char byte;
  Span name;
} Item;

// "[:name:]" and the like; `at` is behind the '['.
static Item named_item(Builder *b) {
  char mark = *b->at++;
  const char *start = b->at, *close = memchr(start, mark, (size_t)(b->end - start));
  if (!close || b->end - close < 2 || close[1] != ']') return (Item){ITEM_ERROR, 0, {0}};
  b->at = close + 2;
  ItemKind kind = mark == ':' ? ITEM_CLASS : mark == '=' ? ITEM_EQUIVALENCE : ITEM_COLLATING;
  return (Item){kind, 0, span_make(start, (size_t)(close - start))};
}

static Item next_item(Builder *b, bool first) {
  if (b->at == b->end) return (Item){ITEM_ERROR, 0, {0}};
  char c = *b->at++;
  if (c == '-') return (Item){ITEM_DASH, c, {0}};
  if (c == ']' && !first) return (Item){ITEM_END, c, {0}};
  if (c != '[') return (Item){ITEM_CHAR, c, {0}};
  if (b->at == b->end) return (Item){ITEM_ERROR, 0, {0}};
  return strchr(".:=", *b->at) && *b->at ? named_item(b) : (Item){ITEM_CHAR, c, {0}};
}

// What stands before a '-': a range needs a single byte.
typedef enum Before { BEFORE_NOTHING, BEFORE_CHAR, BEFORE_CLASS } Before;

typedef struct Bracket {
  RegexSet set;
  Before before;
  char last; // if BEFORE_CHAR; already in the set
} Bracket;

static void bracket_char(Bracket *bracket, char c) {
  add_byte(&bracket->set, (unsigned char)c);
  bracket->before = BEFORE_CHAR;
  bracket->last = c;
}

// Bytes compare as signed characters, as on x86.
static bool bracket_range(Bracket *bracket, char to) {
  int from = (signed char)bracket->last;
  if (from > (signed char)to) return false;
  for (int c = from; c <= (signed char)to; c++) add_byte(&bracket->set, (unsigned char)c);
  bracket->before = BEFORE_NOTHING;
  return true;
}

static bool bracket_named(Bracket *bracket, Item item) {
  bracket->before = BEFORE_CLASS;
  if (item.kind == ITEM_CLASS) return add_class(&bracket->set, item.name);
  int c = collating_element(item.name);
  if (c < 0) return false;
  if (item.kind == ITEM_COLLATING) {
    bracket_char(bracket, (char)c);
    return true;
  }
  // libstdc++ folds case to find what is equivalent.
  add_byte(&bracket->set, (unsigned char)c);
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) add_byte(&bracket->set, (unsigned char)(c ^ 32));
  return true;
}

typedef enum DashResult { DASH_OK, DASH_END, DASH_BAD } DashResult;

// A '-' that is not the first thing in the brackets.
static DashResult bracket_dash(Builder *b, Bracket *bracket) {
  Item item = next_item(b, false);
  if (item.kind == ITEM_END) {
    bracket_char(bracket, '-');
    return DASH_END;
  }
  if (item.kind == ITEM_ERROR || bracket->before != BEFORE_CHAR) return DASH_BAD;
  if (item.kind != ITEM_CHAR && item.kind != ITEM_DASH) return DASH_BAD;
  return bracket_range(bracket, item.byte) ? DASH_OK : DASH_BAD;
}

// Behind the '['.
static Tree *parse_bracket(Builder *b) {
  Bracket bracket = {0};
  bool negated = b->at < b->end && *b->at == '^';
  if (negated) b->at++;
  for (bool first = true;; first = false) {
    Item item = next_item(b, first);
    if (item.kind == ITEM_END) break;
    if (item.kind == ITEM_CHAR || (item.kind == ITEM_DASH && first)) {
      bracket_char(&bracket, item.byte);
    } else if (item.kind == ITEM_DASH) {
      DashResult result = bracket_dash(b, &bracket);
      if (result == DASH_END) break;
      if (result == DASH_BAD) return fail(b);
    } else if (item.kind == ITEM_ERROR || !bracket_named(&bracket, item)) {
      return fail(b);
    }
  }
  RegexSet *set = ARENA_NEW(&b->program->arena, RegexSet);
  *set = bracket.set;
  if (negated)
    for (int i = 0; i < 4; i++) set->bits[i] = ~set->bits[i];
  Tree *tree = new_bytes(b, REGEX_OP_SET, 0);
  tree->set = set;
  return tree;
}

// ---- pattern -> tree ----

static Tree *parse_disjunction(Builder *b);

static bool parse_number(Builder *b, int64_t *ret) {
  if (b->at == b->end || *b->at < '0' || *b->at > '9') return false;
  int64_t value = 0;
  for (; b->at < b->end && *b->at >= '0' && *b->at <= '9'; b->at++)
    if (value <= REGEX_MAX_STATES) value = value * 10 + (*b->at - '0'); // more is too much anyhow
  *ret = value;
  return true;
}

// Behind the '{'.
static bool parse_interval(Builder *b, Tree *repeat) {
  if (!parse_number(b, &repeat->min)) return false;
  repeat->max = repeat->min;
  if (b->at < b->end && *b->at == ',') {
    b->at++;
    if (!parse_number(b, &repeat->max)) repeat->max = UNLIMITED;
  }
  return b->at < b->end && *b->at++ == '}' && repeat->min <= repeat->max;
}

static Tree *parse_quantifiers(Builder *b, Tree *atom) {
  for (; b->at < b->end; b->at++) {
    char c = *b->at;
    if (c != '*' && c != '+' && c != '?' && c != '{') break;
    Tree *repeat = new_tree(b, TREE_REPEAT);
    repeat->child = atom;
    repeat->height = atom->height + 1;
    if (repeat->height > REGEX_MAX_DEPTH) {
      (void)fail_large(b);
      return NULL;
    }
    repeat->plus = c == '+';
    repeat->min = c == '+' ? 1 : 0;
    repeat->max = c == '?' ? 1 : UNLIMITED;
    if (c == '{') {
      b->at++;
      if (!parse_interval(b, repeat)) return fail(b);
      b->at--;
    }
    repeat->nullable = repeat->min == 0 || atom->nullable;
    atom = repeat;
  }
  return atom;
}

// Behind the '('.
static Tree *parse_group(Builder *b) {
  if (++b->depth > REGEX_MAX_DEPTH) {
    (void)fail_large(b);
    return NULL;
  }
  Tree *group = new_tree(b, TREE_GROUP);
  group->group = ++b->program->group_count;
  group->child = parse_disjunction(b);
  if (!group->child) return NULL;
  if (b->at == b->end || *b->at++ != ')') return fail(b);
  group->nullable = group->child->nullable;
  group->height = group->child->height + 1;
  b->depth--;
  return group;
}

// Characters that are not literal. `]` and `}` are. Only these may follow a backslash (libstdc++ under -std=c++20 refuses others).
static bool is_special(char c) {
  return c == '\0' || strchr(".[\\()*+?{|^$", c) != NULL;
}

static Tree *parse_escape(Builder *b) {
  if (b->at == b->end || !*b->at || !is_special(*b->at)) return fail(b);
  return new_bytes(b, REGEX_OP_CHAR, *b->at++);
}

static Tree *parse_atom(Builder *b) {
  char c = *b->at++;
  if (!is_special(c)) return new_bytes(b, REGEX_OP_CHAR, c);
  switch (c) {
  case '.': return new_bytes(b, REGEX_OP_ANY, 0);
  case '[': return parse_bracket(b);
  case '(': return parse_group(b);
  case '\\': return parse_escape(b);
  default: return fail(b); // a quantifier without an atom, or NUL
  }
}

static Tree *parse_alternative(Builder *b) {
  Tree *sequence = new_tree(b, TREE_SEQUENCE);
  Tree **last = &sequence->child;
  sequence->nullable = true;
  while (b->at < b->end && *b->at != '|' && *b->at != ')') {
    Tree *term;
    if (*b->at == '^' || *b->at == '$') {
      term = new_bytes(b, *b->at == '^' ? REGEX_OP_BEGIN : REGEX_OP_END, 0);
      b->at++;
    } else {
      term = parse_atom(b);
      if (term) term = parse_quantifiers(b, term);
    }
    if (!term) return NULL;
    sequence->nullable &= term->nullable;
    if (term->height > sequence->height) sequence->height = term->height;
    *last = term;
    last = &term->next;
  }
  return sequence;
}

// "a|b|c" leans to the left, as in libstdc++.
static Tree *parse_disjunction(Builder *b) {
  Tree *left = parse_alternative(b);
  while (left && b->at < b->end && *b->at == '|') {
    b->at++;
    Tree *right = parse_alternative(b);
    if (!right) return NULL;
    Tree *both = new_tree(b, TREE_ALTERNATIVE);
    both->child = left;
    left->next = right;
    both->nullable = left->nullable || right->nullable;
    both->height = left->height > right->height ? left->height : right->height;
    left = both;
  }
  return left;
}

// ---- tree -> nodes ----

#define NO_NODE UINT32_MAX

static uint32_t new_node(Builder *b, RegexNode node) {
  RegexProgram *program = b->program;
  if (program->node_count >= REGEX_MAX_STATES) {
    if (!err_is_set(b->err)) (void)fail_large(b);
    return NO_NODE;
  }
  MEM_RESERVE(program->nodes, program->node_cap, program->node_count + 1);
  program->nodes[program->node_count] = node;
  return program->node_count++;
}

static uint32_t emit(Builder *b, const Tree *tree, uint32_t next);

static uint32_t emit_bytes(Builder *b, const Tree *tree, uint32_t next) {
  return new_node(b, (RegexNode){.op = tree->op, .byte = tree->byte, .set = tree->set, .next = next});
}

// A node that matches `body` once more or goes on to `next`. `back`: the body comes back to it.
static uint32_t emit_choice(Builder *b, const Tree *body, uint32_t after_body, uint32_t next, bool back) {
  bool single = back && body->kind == TREE_BYTES && !body->nullable;
  uint32_t counter = body->nullable ? b->program->counter_count++ : REGEX_NO_COUNTER;
  uint32_t node =
      new_node(b, (RegexNode){.op = single ? REGEX_OP_LOOP : REGEX_OP_REPEAT, .number = counter, .next = next});
  if (node == NO_NODE) return NO_NODE;
  uint32_t alt = emit(b, body, back ? node : after_body);
  b->program->nodes[node].alt = alt;
  return alt == NO_NODE ? NO_NODE : node;
}

static uint32_t emit_repeat(Builder *b, const Tree *repeat, uint32_t next) {
  uint32_t node = next;
  if (repeat->max == UNLIMITED) {
    node = emit_choice(b, repeat->child, 0, next, true);
    // "x+" is entered behind its choice; "x{1,}" has a copy of x in front.
    if (repeat->plus) return node == NO_NODE ? NO_NODE : b->program->nodes[node].alt;
  } else {
    for (int64_t i = repeat->max - repeat->min; i > 0 && node != NO_NODE; i--)
      node = emit_choice(b, repeat->child, node, next, false);
  }
  for (int64_t i = repeat->min; i > 0 && node != NO_NODE; i--) {
    uint32_t before = b->program->node_count;
    node = emit(b, repeat->child, node);
    if (b->program->node_count == before) break; // nothing to repeat
  }
  return node;
}

static uint32_t emit_sequence(Builder *b, const Tree *sequence, uint32_t next) {
  // From the last child to the first: their list runs the other way.
  size_t count = 0;
  for (const Tree *child = sequence->child; child; child = child->next) count++;
  const Tree **children = ARENA_ARRAY(b->arena, const Tree *, count);
  size_t i = 0;
  for (const Tree *child = sequence->child; child; child = child->next) children[i++] = child;
  while (i > 0 && next != NO_NODE) next = emit(b, children[--i], next);
  return next;
}

// a|b|c: left-leaning, as many levels as there are alternatives, so without recursion to the left.
static uint32_t emit_alternative(Builder *b, const Tree *tree, uint32_t next) {
  uint32_t top = NO_NODE, parent = NO_NODE;
  for (; tree->kind == TREE_ALTERNATIVE; tree = tree->child) {
    uint32_t right = emit(b, tree->child->next, next);
    uint32_t node = right == NO_NODE ? NO_NODE : new_node(b, (RegexNode){.op = REGEX_OP_ALT, .next = right});
    if (node == NO_NODE) return NO_NODE;
    if (parent == NO_NODE) top = node;
    else b->program->nodes[parent].alt = node;
    parent = node;
  }
  uint32_t left = emit(b, tree, next);
  b->program->nodes[parent].alt = left;
  return left == NO_NODE ? NO_NODE : top;
}

static uint32_t emit_group(Builder *b, const Tree *group, uint32_t next) {
  next = new_node(b, (RegexNode){.op = REGEX_OP_CLOSE, .number = group->group, .next = next});
  if (next != NO_NODE) next = emit(b, group->child, next);
  if (next != NO_NODE) next = new_node(b, (RegexNode){.op = REGEX_OP_OPEN, .number = group->group, .next = next});
  return next;
}

static uint32_t emit(Builder *b, const Tree *tree, uint32_t next) {
  switch ((TreeKind)tree->kind) {
  case TREE_BYTES: return emit_bytes(b, tree, next);
  case TREE_GROUP: return emit_group(b, tree, next);
  case TREE_SEQUENCE: return emit_sequence(b, tree, next);
  case TREE_ALTERNATIVE: return emit_alternative(b, tree, next);
  case TREE_REPEAT: return emit_repeat(b, tree, next);
  }
  return NO_NODE;
}

// ---- the bytes that a match can begin with ----

static void add_first(RegexProgram *program, const RegexNode *node) {
  if (node->op == REGEX_OP_CHAR) add_byte(&program->first, node->byte);
  if (node->op == REGEX_OP_SET)
    for (int i = 0; i < 4; i++) program->first.bits[i] |= node->set->bits[i];
  if (node->op == REGEX_OP_ANY)
    for (int i = 0; i < 4; i++) program->first.bits[i] = UINT64_MAX;
  if (node->op == REGEX_OP_ACCEPT) program->can_be_empty = true;
}

static void find_first(RegexProgram *program) {
  uint32_t *work = mem_alloc_array(program->node_count, sizeof *work), count = 0;
  bool *seen = mem_alloc_zero(program->node_count);
  work[count++] = program->start;
  seen[program->start] = true;
  while (count) {
    const RegexNode *node = &program->nodes[work[--count]];
    bool branches = node->op == REGEX_OP_REPEAT || node->op == REGEX_OP_LOOP || node->op == REGEX_OP_ALT;
    bool passes = branches || node->op == REGEX_OP_OPEN || node->op == REGEX_OP_CLOSE || node->op == REGEX_OP_BEGIN ||
                  node->op == REGEX_OP_END;
    if (!passes) add_first(program, node);
    if (passes && !seen[node->next]) seen[work[count++] = node->next] = true;
    if (branches && !seen[node->alt]) seen[work[count++] = node->alt] = true;
  }
  mem_free(work);
  mem_free(seen);
}

bool regex_program_build(Span pattern, RegexProgram *ret, Err *err) {
  *ret = (RegexProgram){0};
  Arena trees = ARENA_INIT;
  Err own = ERR_INIT;
  Builder b = {pattern.data, pattern.data + pattern.len, ret, &trees, pattern, &own, 0};
  const Tree *tree = parse_disjunction(&b);
  if (tree && b.at < b.end) tree = fail(&b); // a ')' too much
  if (tree) {
    uint32_t accept = new_node(&b, (RegexNode){.op = REGEX_OP_ACCEPT});
    ret->start = emit(&b, tree, accept);
  }
  arena_done(&trees);
  if (err_is_set(&own)) {
    regex_program_done(ret);
    return err_move(err, &own);
  }
  find_first(ret);
  return true;
}

void regex_program_done(RegexProgram *program) {
  arena_done(&program->arena);
  mem_free(program->nodes);
  *program = (RegexProgram){0};
}
