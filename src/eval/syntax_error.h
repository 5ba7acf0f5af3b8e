// syntax_error.h: what bison would say about a source that does not parse. The parser proper only
// finds out that there is an error; this runs the LALR(1) automaton of the grammar (syntax.grammar,
// the tables are generated at build time) over the tokens from the start, because which tokens an
// error message calls expected depends on bison's state merging and default reductions.
#pragma once

#include "eval/parser.h"

// `source` has a syntax error. Sets *ret_error: position and "syntax error, unexpected X, expecting
// Y or Z".
void syntax_error_explain(Span source, const ParserOptions *options, ParserError *ret_error);
