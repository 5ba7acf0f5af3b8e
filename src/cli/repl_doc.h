// repl_doc.h: what `:doc` of the REPL says about a value. Behaviour: Nix 2.26, EvalState::getDoc and repl.cc.
#pragma once

#include "cli/session.h"

// `expr` is the text that was typed, `value` what it evaluates to, `scope` the set of variables (roots of the caller). Appends the documentation. False: there is
// none ("value does not have documentation"), or an error is pending in the VM and *err is not set.
MUST_CHECK bool repl_doc_put(Session *session, Span expr, const HeapRoot *value, const HeapRoot *scope, Buf *ret,
                             Err *err);
