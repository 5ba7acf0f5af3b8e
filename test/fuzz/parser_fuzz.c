// parser_fuzz.c: any bytes. The first byte chooses the options. What parses has no syntax error for the automaton, prints, and every
// node lies within the source; what does not parse has a message and a position in the source.
#include "fuzz/fuzz.h"

#include "base/buf.h"
#include "eval/ast_print.h"
#include "eval/parser.h"
#include "eval/syntax_error.h"

static void check_tree(Span source, const ParserOptions *options, Ast *ast) {
  ParserError error;
  FUZZ_CHECK(!syntax_error_find(source, options, &error));
  FUZZ_CHECK(ast->root->pos == AST_NO_POS || ast->root->pos <= source.len);
  for (uint32_t i = 1; i < ast->doc_count; i++) FUZZ_CHECK(ast->docs[i - 1].lambda_pos <= ast->docs[i].lambda_pos);
  Buf printed = BUF_INIT;
  ast_print(ast, SPAN("/base"), SPAN("/home/me"), &printed);
  FUZZ_CHECK(printed.len > 0);
  buf_done(&printed);
}

static void check_error(Span source, const ParserOptions *options, const ParserError *error) {
  FUZZ_CHECK(error->message && error->message[0]);
  FUZZ_CHECK(error->pos <= source.len);
  FUZZ_CHECK(error->other_pos == AST_NO_POS || error->other_pos < error->pos);
  ParserError syntax;
  bool found = syntax_error_find(source, options, &syntax);
  if (strstr(error->message, "syntax error"))
    FUZZ_CHECK(found && syntax.pos == error->pos && strcmp(syntax.message, error->message) == 0);
  if (found) parser_error_done(&syntax);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
  if (size_bytes == 0) return 0;
  ParserOptions options = {.pipe_operators = data[0] & 1, .no_url_literals = data[0] & 2};
  Span source = span_make(data + 1, size_bytes - 1);
  Ast ast;
  ParserError error;
  if (parser_parse(source, &options, &ast, &error)) {
    check_tree(source, &options, &ast);
    ast_done(&ast);
  } else {
    check_error(source, &options, &error);
    parser_error_done(&error);
  }
  return 0;
}
