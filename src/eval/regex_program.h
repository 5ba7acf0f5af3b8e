// regex_program.h: a pattern as a graph of nodes that regex.c walks.
//
// Grammar (libstdc++'s reading of POSIX ERE):
//
//   disjunction = alternative { "|" alternative }
//   alternative = { assertion | atom { quantifier } }          may be empty
//   assertion   = "^" | "$"                                     takes no quantifier
//   quantifier  = "*" | "+" | "?" | "{" n [ "," [ m ] ] "}"
//   atom        = "." | "(" disjunction ")" | bracket | char | "\" any byte, taken literally
//   bracket     = "[" [ "^" ] { char | char "-" char | "[:class:]" | "[=name=]" | "[.name.]" } "]"
#pragma once

#include "base/arena.h"
#include "base/err.h"

typedef enum RegexOp {
  REGEX_OP_CHAR,   // one byte, `byte`
  REGEX_OP_ANY,    // one byte but NUL
  REGEX_OP_SET,    // one byte of `set`
  REGEX_OP_BEGIN,  // ^
  REGEX_OP_END,    // $
  REGEX_OP_OPEN,   // group `number` begins
  REGEX_OP_CLOSE,  // and ends
  REGEX_OP_REPEAT, // `alt` once more (it comes back here, or goes where `next` goes), or `next`
  REGEX_OP_LOOP,   // like REPEAT, and `alt` is one CHAR, ANY or SET that comes back here
  REGEX_OP_ALT,    // `alt` or `next`
  REGEX_OP_ACCEPT,
} RegexOp;

typedef struct RegexSet {
  uint64_t bits[4];
} RegexSet; // by byte

static inline bool regex_program_set_has(const RegexSet *set, unsigned char byte) {
  return set->bits[byte >> 6] >> (byte & 63) & 1;
}

#define REGEX_NO_COUNTER UINT32_MAX

typedef struct RegexNode {
  uint8_t op; // RegexOp
  uint8_t byte;
  uint32_t next, alt;
  // A group; or of a REPEAT whose body can match nothing: the counter that ends it (else REGEX_NO_COUNTER).
  uint32_t number;
  const RegexSet *set;
} RegexNode;

typedef struct RegexProgram {
  Arena arena;
  RegexNode *nodes; // owned
  uint32_t node_count, node_cap;
  uint32_t start;
  uint32_t group_count; // without the whole match
  uint32_t counter_count;
  // The bytes that a match can begin with; unless it can be empty.
  RegexSet first;
  bool can_be_empty;
} RegexProgram;

// False: *err is set and the program is empty.
MUST_CHECK bool regex_program_build(Span pattern, RegexProgram *ret, Err *err);
void regex_program_done(RegexProgram *program);
