// compile_select.c: see compile_select.h.
#include "eval/compile_select.h"

#include "eval/ast_print.h"
#include "eval/expr_traits.h"

// `pos`: of the whole selection, where a missing attribute is reported.
static void compile_select_step(Compiler *c, const AstAttrName *step, uint32_t pos, size_t *fallback_jump) {
  compile_op_at(c, fallback_jump ? OP_SELECT_OR : OP_SELECT, c->cache_count++, 0, pos);
  compile_emit(c, step->name);
  if (fallback_jump) *fallback_jump = compile_jump(c);
}

// For traces: the number of steps, then for each the number of its name << 1, or the text of its expression << 1 | 1.
static uint32_t compile_path_descriptor(Compiler *c, const ExprSelect *select) {
  uint32_t *words = mem_alloc_array(select->path_count, sizeof *words);
  for (uint32_t i = 0; i < select->path_count; i++) {
    const AstAttrName *step = &select->path[i];
    if (!step->expr) {
      words[i] = step->name << 1;
      continue;
    }
    Buf text = BUF_INIT;
    if (c->text_budget) ast_print_attr_path(c->ast->names, step, 1, &text);
    else buf_put_cstr(&text, "…");
    compile_spend_text(c, text.len);
    words[i] = compile_string_object(c, buf_span(&text)) << 1 | 1;
    buf_done(&text);
  }
  uint32_t at = compile_here(c);
  compile_put_word(c, select->path_count);
  for (uint32_t i = 0; i < select->path_count; i++) compile_put_word(c, words[i]);
  mem_free(words);
  return at;
}

// A path with computed names. A name is evaluated before the set that it is looked up in; the names of the path and the places of what was
// found stay on the stack until the end, for traces.
static void compile_select_dynamic(Compiler *c, const ExprSelect *select) {
  uint32_t count = select->path_count, descriptor = compile_path_descriptor(c, select);
  size_t *jumps = mem_alloc_array(count, sizeof *jumps);
  for (uint32_t i = 0; i < count; i++) {
    const AstAttrName *step = &select->path[i];
    OperandStart start = compile_operand_start(c);
    if (step->expr) compile_strict(c, step->expr);
    else compile_op(c, OP_NAME, step->name, 1);
    bool lazy = i + 1 < count && select->path[i + 1].expr;
    compile_op_at(c, select->fallback ? OP_SELECT_OR_DYN : OP_SELECT_DYN, i << 1 | lazy, 1, select->head.pos);
    compile_emit(c, step->expr ? expr_traits_known_pos(step->expr) : AST_NO_POS);
    compile_emit(c, descriptor);
    if (select->fallback) jumps[i] = compile_jump(c);
    compile_operand(c, start, OPERAND_STEP, select->fallback ? 4 : 3); // words of the instruction at its end
  }
  if (select->fallback) {
    compile_op(c, OP_JMP, 0, 0);
    size_t done = compile_jump(c);
    for (uint32_t i = 0; i < count; i++) compile_land(c, jumps[i]);
    compile_adjust(c, -1);
    OperandStart start = compile_operand_start(c);
    compile_strict(c, select->fallback);
    compile_operand(c, start, OPERAND_FALLBACK, descriptor);
    compile_land(c, done);
  }
  mem_free(jumps);
  compile_op(c, OP_DROP, 2 * count, -2 * (int)count);
}

static bool compile_is_dynamic_path(const ExprSelect *select) {
  for (uint32_t i = 0; i < select->path_count; i++)
    if (select->path[i].expr) return true;
  return false;
}

// Of a path without computed names: traces name the step before one that fails. They find it by walking along the path again, from the value
// of a variable that is still there, or else from the subject, which is kept on the stack.
static bool compile_keeps_subject(const Compiler *c, const ExprSelect *select) {
  if (select->path_count < 2) return false;
  if (select->fallback) return !expr_traits_is_silent(select->fallback);
  return select->subject->kind != EXPR_VAR || (!c->bindings[((const ExprVar *)select->subject)->name] && c->with);
}

void compile_select(Compiler *c, const ExprSelect *select) {
  compile_strict(c, select->subject);
  if (compile_is_dynamic_path(select)) {
    compile_select_dynamic(c, select);
    return;
  }
  bool kept = compile_keeps_subject(c, select);
  if (kept) compile_op(c, OP_DUP, 0, 1);
  if (!select->fallback) {
    for (uint32_t i = 0; i < select->path_count; i++) compile_select_step(c, &select->path[i], select->head.pos, NULL);
    if (kept) compile_op(c, OP_DROP, 1, -1);
    return;
  }
  size_t *jumps = mem_alloc_array(select->path_count, sizeof *jumps);
  for (uint32_t i = 0; i < select->path_count; i++)
    compile_select_step(c, &select->path[i], select->head.pos, &jumps[i]);
  compile_op(c, OP_JMP, 0, 0);
  size_t done = compile_jump(c);
  for (uint32_t i = 0; i < select->path_count; i++) compile_land(c, jumps[i]);
  mem_free(jumps);
  compile_adjust(c, -1);
  OperandStart start = compile_operand_start(c);
  compile_strict(c, select->fallback);
  if (kept) compile_operand(c, start, OPERAND_PLAIN_FALLBACK, select->head.pos);
  compile_land(c, done);
  if (kept) compile_op(c, OP_DROP, 1, -1);
}

void compile_select_has(Compiler *c, const ExprSelect *has) {
  compile_strict(c, has->subject);
  uint32_t last = has->path_count - 1;
  size_t *jumps = mem_alloc_array((size_t)last + 1, sizeof *jumps);
  for (uint32_t i = 0; i < last; i++) {
    const AstAttrName *step = &has->path[i];
    if (step->expr) {
      compile_strict(c, step->expr);
      compile_op_at(c, OP_HAS_NEXT_DYN, 0, -1, step->pos);
      compile_emit(c, expr_traits_known_pos(step->expr));
    } else {
      compile_op_at(c, OP_HAS_NEXT, c->cache_count++, 0, step->pos);
      compile_emit(c, step->name);
    }
    jumps[i] = compile_jump(c);
  }
  const AstAttrName *step = &has->path[last];
  if (step->expr) {
    compile_strict(c, step->expr);
    compile_op_at(c, OP_HAS_DYN, 0, -1, step->pos);
    compile_emit(c, expr_traits_known_pos(step->expr));
  } else {
    compile_op_at(c, OP_HAS, c->cache_count++, 0, step->pos);
    compile_emit(c, step->name);
  }
  if (last) {
    compile_op(c, OP_JMP, 0, 0);
    size_t done = compile_jump(c);
    for (uint32_t i = 0; i < last; i++) compile_land(c, jumps[i]);
    compile_adjust(c, -1);
    compile_op(c, OP_IMM, (uint32_t)(VALUE_FALSE >> 3), 1);
    compile_land(c, done);
  }
  mem_free(jumps);
}
