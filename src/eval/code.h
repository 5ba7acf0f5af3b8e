// code.h: the image of a compiled file: instructions, constants, descriptors and tables in one run of 32-bit words without
// pointers, so that it can be written to a file and mapped again anywhere. Loaded by unit.c, made by compile.c, run by vm.c.
//
//   image   = header, body, tables
//   body    = any order of: code blocks, string objects, number objects, set, env and formals descriptors
//   block   = [LambdaHead] CodeHead instruction...        (aligned to 2 words)
//   set     = count shape names[count] positions[count] slots[count]      names in bytewise order; shape: number in Unit.shapes
//   env     = count base slots[count]                                    base: first slot to fill (LET), 0 for ENTER
//   args    = (name pos)[arity]
//   formals = count flags cache arg base (name optional slot pos)[count]  arg: slot of the argument, base: of the first formal
//   slot    = kind (4 bits) | payload (28 bits)
//
// String and number objects are laid out as heap objects flagged OBJ_STATIC (value.h).
#pragma once

#include "eval/value.h"

typedef enum Op {
#define OP(name, words, text) OP_##name,
#include "eval/op.def"
#undef OP
  OP_COUNT_
} Op;

#define CODE_MAGIC 0x4e524946u // "FIRN"
#define CODE_VERSION 14u

typedef struct CodeImage {
  uint64_t unit; // written by unit.c when the image is loaded: the Unit *; 0 in files
  uint32_t magic, version;
  uint32_t word_count;
  uint32_t root;                         // code of the whole file
  uint32_t name_off, name_count;         // CodeName[]
  uint32_t path_off, path_count;         // word: string object (text as written)
  uint32_t global_off, global_count;     // word: name number
  uint32_t position_off, position_count; // CodePosition[], ascending by code
  uint32_t operand_off, operand_count;   // CodeOperand[], ascending by end, the enclosed before the enclosing
  uint32_t shape_count, cache_count, formals_cache_count;
  uint32_t source_len;
  uint32_t has_home_paths; // some path literal begins with "~"
} CodeImage;

typedef struct CodeName {
  uint32_t text, hash; // hash: symbol_hash
  uint32_t ordered;    // of the k-th entry: the number of the name that comes k-th in the order of symbol_order
} CodeName;            // text: word offset of a string object
typedef struct CodePosition {
  uint32_t code, pos;
} CodePosition; // an instruction and its byte offset in the source

// A piece of code whose failure Nix reports with a frame of its own ("in the left operand of the update (//) operator"). Looked at by
// unwinding only. An instruction is in it when the address behind the instruction is in (begin, end].
typedef enum OperandKind {
#define OPERAND(name, text) OPERAND_##name,
#include "eval/operand.def"
#undef OPERAND
  OPERAND_KIND_COUNT_
} OperandKind;
typedef struct CodeOperand {
  uint32_t begin, end; // word offsets in the image
  uint32_t pos;        // byte offset in the source
  uint32_t kind_depth; // OperandKind | number of operands below it << 8
  uint32_t outer;      // index + 1 of the operand around it, 0: none in this block
} CodeOperand;

typedef enum CodeKind { CODE_ROOT, CODE_THUNK, CODE_LAMBDA } CodeKind;
typedef struct CodeHead { // immediately before the first instruction
  uint32_t offset;        // of the first instruction, from the start of the image
  uint32_t max_stack;     // words of operands at most
  uint32_t kind_name;     // CodeKind | (name number + 1) << 8; 0: no name
  uint32_t pos;
} CodeHead;
typedef struct LambdaHead { // before the CodeHead of a lambda
  uint16_t arity;
  uint16_t
      early; // arguments that the body evaluates first, in order, before anything that may fail: bit i for argument i
  uint32_t env_slots;
  uint32_t formals; // descriptor, 0: none; they bind the last argument
  uint32_t args;    // argument names and positions
} LambdaHead;

enum { FORMALS_ELLIPSIS = 1 };

typedef enum SlotKind {
  SLOT_THUNK,   // payload: code
  SLOT_CLOSURE, // code
  SLOT_STR,     // string object
  SLOT_OBJ,     // number object
  SLOT_INT,     // signed
  SLOT_IMM,     // immediate number
  SLOT_VAR,     // level (8 bits) << 20 | slot: the variable as it is
  SLOT_ENV,     // slot of the set's own env, looked at when asked for
  SLOT_PATH,    // number of a path literal
  SLOT_GLOBAL,  // number of a global
  SLOT_KIND_COUNT_
} SlotKind;
#define SLOT_WORD(kind, payload) ((uint32_t)(kind) | (uint32_t)(payload) << 4)
#define SLOT_PAYLOAD_MAX ((1u << 28) - 1)
#define OP_WORD(op, a) ((uint32_t)(op) | (uint32_t)(a) << 8)
#define OP_A_MAX ((1u << 24) - 1)
// Globals that code uses without naming them.
#define CODE_GLOBAL_FIND_FILE OP_A_MAX
#define CODE_GLOBAL_NIX_PATH (OP_A_MAX - 1)

static inline const CodeHead *code_head(const uint32_t *code) {
  return (const CodeHead *)code - 1;
}
static inline const LambdaHead *code_lambda(const uint32_t *code) {
  return (const LambdaHead *)((const CodeHead *)code - 1) - 1;
}
// Words of each instruction without the variable part of WITHVAR and DYNATTRS.
extern const uint8_t code_op_words[];
// Of a SELECT_DYN or SELECT_OR_DYN, behind its first word: is its name computed?
static inline bool code_is_computed_step(const uint32_t *image, const uint32_t *ip) {
  return image[ip[1] + 1 + (ip[-1] >> 9)] & 1;
}
// What the instruction `ip` does to the number of operands, when it does not jump.
int code_op_delta(const uint32_t *ip);
static inline const uint32_t *code_image(const uint32_t *code) {
  return code - code_head(code)->offset;
}
