// code_emit.c: see code_emit.h.
#include "eval/code_emit.h"

uint32_t code_emit_string(CodeEmit *emit, Span text) {
  code_emit_align(emit);
  uint32_t at = code_emit_here(emit);
  Head head = HEAD(T_STRING, OBJ_STATIC, text.len);
  uint64_t context = 0;
  buf_put(emit->image, &head, 8);
  buf_put(emit->image, &context, 8);
  buf_put_span(emit->image, text);
  buf_put_char(emit->image, 0);
  if (text.len < 7) buf_put_repeat(emit->image, 0, 7 - text.len);
  code_emit_align(emit);
  return at;
}

uint32_t code_emit_number(CodeEmit *emit, unsigned type, uint64_t bits) {
  code_emit_align(emit);
  uint32_t at = code_emit_here(emit);
  Head head = HEAD(type, OBJ_STATIC, 0);
  buf_put(emit->image, &head, 8);
  buf_put(emit->image, &bits, 8);
  return at;
}

uint32_t code_emit_table(CodeEmit *emit, const void *data, size_t bytes) {
  code_emit_align(emit);
  uint32_t at = code_emit_here(emit);
  buf_put(emit->image, data, bytes);
  return at;
}

void code_emit_begin_block(CodeEmit *emit, CodeBlock *block, CodeKind kind, uint32_t name, uint32_t pos) {
  *block = (CodeBlock){.kind = kind,
                       .name = name,
                       .pos = pos,
                       .code_start = emit->code_count,
                       .position_start = emit->pending_count,
                       .operand_start = emit->pending_operand_count,
                       .outer = emit->block};
  emit->block = block;
}

// Moves the operands of the finished block, whose code is at `at`, to the final table. They were noted when they ended, so those around one
// come behind it.
static void end_operands(CodeEmit *emit, const CodeBlock *b, uint32_t at) {
  size_t n = emit->pending_operand_count - b->operand_start, first = emit->operand_count;
  MEM_RESERVE(emit->operands, emit->operand_cap, first + n);
  emit->operand_count += n;
  for (size_t i = n; i-- > 0;) {
    CodeOperand operand = emit->pending_operands[b->operand_start + i];
    operand.begin += at - (uint32_t)b->code_start;
    operand.end += at - (uint32_t)b->code_start;
    uint32_t outer = i + 1 < n ? (uint32_t)(first + i + 2) : 0;
    while (outer && emit->operands[outer - 1].begin >= operand.end) outer = emit->operands[outer - 1].outer;
    operand.outer = outer;
    emit->operands[first + i] = operand;
  }
  emit->pending_operand_count = b->operand_start;
}

uint32_t code_emit_end_block(CodeEmit *emit, const LambdaHead *lambda) {
  CodeBlock *b = emit->block;
  code_emit_align(emit);
  if (lambda) buf_put(emit->image, lambda, sizeof *lambda);
  uint32_t at = code_emit_here(emit) + (uint32_t)(sizeof(CodeHead) / 4);
  CodeHead head = {at, b->max_depth + 1, b->kind | b->name << 8, b->pos};
  buf_put(emit->image, &head, sizeof head);
  buf_put(emit->image, emit->code + b->code_start, (emit->code_count - b->code_start) * 4);
  size_t n = emit->pending_count - b->position_start;
  MEM_RESERVE(emit->positions, emit->position_cap, emit->position_count + n);
  for (size_t i = b->position_start; i < emit->pending_count; i++)
    emit->positions[emit->position_count++] =
        (CodePosition){at + emit->pending[i].code - (uint32_t)b->code_start, emit->pending[i].pos};
  end_operands(emit, b, at);
  emit->code_count = b->code_start;
  emit->pending_count = b->position_start;
  emit->block = b->outer;
  return at;
}

void code_emit_done(CodeEmit *emit) {
  mem_free(emit->code);
  mem_free(emit->pending);
  mem_free(emit->positions);
  mem_free(emit->pending_operands);
  mem_free(emit->operands);
}
