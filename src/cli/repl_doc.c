// repl_doc.c: see repl_doc.h.
#include "cli/repl_doc.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fs.h"
#include "cli/markdown_text.h"
#include "eval/attrs.h"
#include "eval/parser.h"
#include "eval/str.h"

enum { FUNCTORS_MAX = 100 }; // functions that are sets whose function is a set ...

static unsigned columns(void) {
  struct winsize size;
  if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return MARKDOWN_TEXT_MIN_COLUMNS;
  return size.ws_col > MARKDOWN_TEXT_MIN_COLUMNS ? size.ws_col : MARKDOWN_TEXT_MIN_COLUMNS;
}

// ---- comments

// The text of a source and where in it a position is.
static bool find_source(Vm *vm, PosId id, Pos *ret_pos, Buf *ret_text, size_t *ret_offset) {
  Err ignored = ERR_INIT;
  if (!id || !pos_resolve(vm->positions, id, ret_pos)) return false;
  const PosSource *source = ret_pos->source;
  if (source->text) buf_put(ret_text, source->text, source->len);
  else if (!source->path || !fs_read_file(source->path, PARSER_MAX_SOURCE_BYTES, ret_text, &ignored)) {
    err_done(&ignored);
    return false;
  }
  *ret_offset = (size_t)(id - pos_of(source, 0));
  return *ret_offset <= ret_text->len;
}

// Without its marks, and what its lines are indented by.
static void put_comment(Span comment, Buf *ret) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  if (comment.len <= 5) return;
  buf_put_cstr(&text, "   ");
  buf_put_span(&text, span_sub(comment, 3, comment.len - 5));
  markdown_text_unindent(buf_span(&text), ret);
}

static void put_lambda_comment(Span source, size_t offset, Buf *ret) {
  ParserOptions options = {.pipe_operators = true};
  ParserError error = {0};
  Ast ast;
  if (!parser_parse(source, &options, &ast, &error)) {
    parser_error_done(&error);
    return;
  }
  for (uint32_t i = 0; i < ast.doc_count; i++)
    if (ast.docs[i].lambda_pos == offset)
      put_comment(span_sub(source, ast.docs[i].begin, ast.docs[i].end - ast.docs[i].begin), ret);
  ast_done(&ast);
}

// The documentation comment that ends right before an attribute's name.
static void put_attr_comment(Span source, size_t offset, Buf *ret) {
  Span before = span_trim(span_sub(source, 0, offset));
  if (!span_has_suffix(before, SPAN("*/"))) return;
  size_t begin = before.len - 2;
  while (begin > 0 && !(before.data[begin] == '/' && before.data[begin + 1] == '*')) begin--;
  Span comment = span_from(before, begin);
  if (span_has_prefix(comment, SPAN("/**"))) put_comment(comment, ret);
}

static void put_place(const Pos *pos, Buf *ret) {
  buf_printf(ret, "%s:%u:%u", pos->source->origin, pos->line, pos->column);
}

// ---- kinds of values

static void put_builtin(Vm *vm, Value v, Buf *ret) {
  const Builtin *builtin = vm->builtins[value_builtin_index(v)];
  Buf text CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&text, "Synopsis: `builtins.%s` %s\n\n%s", builtin->name, builtin->args ? builtin->args : "",
             builtin->doc ? builtin->doc : "");
  markdown_text_put(buf_span(&text), columns(), ret);
}

static void put_lambda(Vm *vm, Value v, Buf *ret) {
  Buf name CLEANUP(buf_done) = BUF_INIT, source CLEANUP(buf_done) = BUF_INIT, comment CLEANUP(buf_done) = BUF_INIT;
  Pos pos;
  size_t offset;
  vm_function_name(vm, v, &name);
  bool named = name.len > 2 && name.data[0] == '\'';
  bool found = find_source(vm, vm_function_pos(vm, v), &pos, &source, &offset);
  buf_put_cstr(ret, "Function ");
  if (named) buf_printf(ret, "%.*s\n", (int)name.len - 2, name.data + 1);
  if (found) {
    if (named) buf_put_cstr(ret, "… ");
    buf_put_cstr(ret, "defined at ");
    put_place(&pos, ret);
    put_lambda_comment(buf_span(&source), offset, &comment);
  }
  buf_put_char(ret, '\n');
  if (!comment.len) return;
  buf_put_char(ret, '\n');
  markdown_text_put(buf_span(&comment), columns(), ret);
}

// Of a set that can be called: of what it is after the first, invisible argument. False: an error is pending.
static bool step_into_functor(Vm *vm, HeapRoot *value) {
  HeapRoot fn = {0};
  heap_add_root(&vm->heap, &fn, attrs_get(vm, value->value, SYM_functor));
  bool ok = vm_call_root(vm, &fn, value, 1, value);
  heap_remove_root(&vm->heap, &fn);
  return ok;
}

// ---- attributes

// "a.b.c" -> "a.b" and "c". False: it is no selection.
static bool split_select(Span expr, Span *ret_set, Buf *ret_name) {
  ParserOptions options = {.pipe_operators = true};
  ParserError error = {0};
  Ast ast;
  if (!parser_parse(expr, &options, &ast, &error)) return parser_error_done(&error), false;
  bool ok = ast.root->kind == EXPR_SELECT && !ast.root->parenthesised;
  if (ok) {
    const ExprSelect *select = (const ExprSelect *)ast.root;
    const AstAttrName *last = &select->path[select->path_count - 1];
    ok = !select->fallback && last->name != AST_NO_NAME && last->pos < expr.len;
    if (ok) buf_put_span(ret_name, ast.names[last->name].text);
    if (ok) *ret_set = span_trim(span_sub(expr, 0, last->pos));
    if (ok && ret_set->len) ret_set->len--; // the dot
  }
  ast_done(&ast);
  return ok;
}

// *ret_found: the value is the attribute of a set, and where that is written is known. False: an error is pending.
static bool put_attribute(Session *session, Span expr, const HeapRoot *scope, bool *ret_found, Buf *ret) {
  Vm *vm = session->vm;
  Span set_text;
  Buf name CLEANUP(buf_done) = BUF_INIT, source CLEANUP(buf_done) = BUF_INIT, comment CLEANUP(buf_done) = BUF_INIT;
  Pos pos;
  size_t offset;
  *ret_found = false;
  if (!split_select(expr, &set_text, &name)) return true;
  HeapRoot set = {0};
  heap_add_root(&vm->heap, &set, VALUE_NULL);
  Span cwd = span_cstr(session_absolute(session, "."));
  bool ok = vm_eval_text_scoped(vm, set_text, cwd, SPAN("«string»"), scope, true, &set);
  PosId id =
      ok && value_is_attrs(set.value) ? attrs_position(set.value, symbol_intern(vm->symbols, buf_span(&name))) : 0;
  heap_remove_root(&vm->heap, &set);
  if (!ok || !find_source(vm, id, &pos, &source, &offset)) return ok;
  *ret_found = true;
  buf_printf(ret, "Attribute %s\n\n… defined at ", buf_cstr(&name));
  put_place(&pos, ret);
  buf_put_cstr(ret, "\n\n");
  put_attr_comment(buf_span(&source), offset, &comment);
  if (comment.len) markdown_text_put(buf_span(&comment), columns(), ret);
  else buf_put_cstr(ret, "No documentation found.\n");
  return true;
}

static bool put_value(Session *session, Span expr, HeapRoot *value, const HeapRoot *scope, Buf *ret, Err *err) {
  Vm *vm = session->vm;
  for (int i = 0; value_is_attrs(value->value) && attrs_has(value->value, SYM_functor) && i < FUNCTORS_MAX; i++)
    if (!step_into_functor(vm, value)) return false;
  if (value_is_builtin(value->value)) return put_builtin(vm, value->value, ret), true;
  if (value_is_function(value->value) && vm_function_pos(vm, value->value))
    return put_lambda(vm, value->value, ret), true;
  bool found;
  if (!put_attribute(session, expr, scope, &found, ret)) return false;
  return found || err_set(err, ERR_EVAL, "value does not have documentation");
}

bool repl_doc_put(Session *session, Span expr, const HeapRoot *value, const HeapRoot *scope, Buf *ret, Err *err) {
  Vm *vm = session->vm;
  HeapRoot own = {0};
  heap_add_root(&vm->heap, &own, value->value);
  bool ok = put_value(session, expr, &own, scope, ret, err);
  heap_remove_root(&vm->heap, &own);
  while (ret->len && ret->data[ret->len - 1] == '\n') ret->len--;
  return ok;
}
