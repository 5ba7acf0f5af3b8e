// code_emit.h: an image (code.h) under construction: instructions, the objects and descriptors between them, and the notes about both. Knows
// nothing of syntax trees and names.
//
// The code of a block lies in the image in one piece, and blocks are begun inside others. So instructions collect in a scratch array, those
// of the innermost block on top, and move to the image when their block ends; with them go the positions and operands noted meanwhile.
// Objects and descriptors are written to the image at once. Offsets are in words of 4 bytes.
#pragma once

#include "base/buf.h"
#include "base/mem.h"
#include "eval/code.h"

// A block in progress, in the caller's storage until code_emit_end_block.
typedef struct CodeBlock {
  uint32_t kind, name, pos; // as in CodeHead
  size_t code_start, position_start, operand_start;
  uint32_t depth, max_depth; // operands
  struct CodeBlock *outer;
} CodeBlock;

typedef struct CodeEmit {
  Buf *image;     // borrowed; begins with room for the CodeImage
  uint32_t *code; // scratch
  size_t code_count, code_cap;
  CodePosition *pending; // positions of blocks in progress, relative to the scratch array
  size_t pending_count, pending_cap;
  CodePosition *positions; // final
  size_t position_count, position_cap;
  CodeOperand *pending_operands; // as positions: of blocks in progress, then final
  size_t pending_operand_count, pending_operand_cap;
  CodeOperand *operands;
  size_t operand_count, operand_cap;
  CodeBlock *block; // the innermost
} CodeEmit;

void code_emit_done(CodeEmit *emit); // all but the image

// ---- into the image

static inline uint32_t code_emit_here(const CodeEmit *emit) {
  return (uint32_t)(emit->image->len / 4);
}

static inline void code_emit_align(CodeEmit *emit) {
  while (emit->image->len % 8) buf_put_char(emit->image, 0);
}

// A word of a descriptor.
static inline void code_emit_put_word(CodeEmit *emit, uint32_t word) {
  Buf *image = emit->image;
  if (UNLIKELY(image->cap - image->len < sizeof word + 1)) buf_reserve(image, sizeof word);
  memcpy(image->data + image->len, &word, sizeof word);
  image->len += sizeof word;
}

// These return where the object or table is.
uint32_t code_emit_string(CodeEmit *emit, Span text);
uint32_t code_emit_number(CodeEmit *emit, unsigned type, uint64_t bits); // T_BIGINT, T_FLOAT
uint32_t code_emit_table(CodeEmit *emit, const void *data, size_t bytes);

// ---- instructions of the innermost block

// A further word of the instruction just begun.
static inline void code_emit_word(CodeEmit *emit, uint32_t word) {
  MEM_RESERVE(emit->code, emit->code_cap, emit->code_count + 1);
  emit->code[emit->code_count++] = word;
}

// Changes the operand count without an instruction: where control flow joins.
static inline void code_emit_adjust(CodeEmit *emit, int delta) {
  CodeBlock *block = emit->block;
  block->depth = (uint32_t)((int)block->depth + delta);
  if (block->depth > block->max_depth) block->max_depth = block->depth;
}

// An instruction that changes the operand count by `delta`; `a` is at most OP_A_MAX.
static inline void code_emit_op(CodeEmit *emit, Op op, uint32_t a, int delta) {
  code_emit_word(emit, OP_WORD(op, a));
  code_emit_adjust(emit, delta);
}

// The next instruction is at that place of the source.
static inline void code_emit_position(CodeEmit *emit, uint32_t pos) {
  MEM_RESERVE(emit->pending, emit->pending_cap, emit->pending_count + 1);
  emit->pending[emit->pending_count++] = (CodePosition){(uint32_t)emit->code_count, pos};
}

// A jump word, of the instruction just begun; returns its place for code_emit_land.
static inline size_t code_emit_jump(CodeEmit *emit) {
  code_emit_word(emit, 0);
  return emit->code_count - 1;
}

// The jump at `place` (last word of its instruction) leads here.
static inline void code_emit_land(CodeEmit *emit, size_t place) {
  emit->code[place] = (uint32_t)(emit->code_count - place - 1);
}

// Where an operand begins that ends with code_emit_operand.
typedef struct OperandStart {
  uint32_t code, depth;
} OperandStart;
static inline OperandStart code_emit_operand_start(const CodeEmit *emit) {
  return (OperandStart){(uint32_t)emit->code_count, emit->block->depth};
}

// What has been emitted since `start` is an operand of that kind.
static inline void code_emit_operand(CodeEmit *emit, OperandStart start, OperandKind kind, uint32_t pos) {
  uint32_t end = (uint32_t)emit->code_count;
  MEM_RESERVE(emit->pending_operands, emit->pending_operand_cap, emit->pending_operand_count + 1);
  emit->pending_operands[emit->pending_operand_count++] =
      (CodeOperand){start.code, end, pos, kind | start.depth << 8, 0};
}

// ---- blocks

// `name`: number of the name + 1, 0: none.
void code_emit_begin_block(CodeEmit *emit, CodeBlock *block, CodeKind kind, uint32_t name, uint32_t pos);
// Moves the innermost block into the image, behind `lambda` where it has one; returns the offset of its code.
uint32_t code_emit_end_block(CodeEmit *emit, const LambdaHead *lambda);
