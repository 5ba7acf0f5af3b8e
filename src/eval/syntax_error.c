#include "eval/syntax_error.h"
void syntax_error_explain(Span source, const ParserOptions *options, ParserError *ret_error) {
  (void)source;
  (void)options;
  *ret_error = (ParserError){0, AST_NO_POS, span_dup(SPAN("syntax error"))};
}
