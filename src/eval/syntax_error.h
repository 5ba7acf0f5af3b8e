// syntax_error.h: what bison would say about a source that does not parse. The parser proper only
// finds out that there is an error; this runs the LALR(1) automaton of the grammar (syntax.grammar,
// the tables are generated at build time) over the tokens from the start, because which tokens an
// error message calls expected depends on bison's state merging and default reductions.
#pragma once

#include "eval/parser.h"

// True and *ret_error if `source` has a syntax error (or one of its tokens is wrong): position and "syntax error, unexpected X,
// expecting Y or Z". Errors of other kinds (duplicate attributes, ...) are not found here. Law (fuzzed): what the parser accepts
// has no error here, and what it calls a syntax error has one.
bool syntax_error_find(Span source, const ParserOptions *options, ParserError *ret_error);
