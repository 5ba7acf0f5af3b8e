// structured_attrs.h: the files .attrs.json and .attrs.sh of a derivation with __structuredAttrs, as C++ Nix 2.26 writes them
// (prepareStructuredAttrs and writeStructuredAttrsShell in parsed-derivations.cc).
//
// Test: test/realise/structured_attrs_test.c.
#pragma once

#include "realise/json_tree.h"

// The shell text: "declare name=value" for members that bash can hold (strings, whole numbers, null, Booleans, and lists and sets of
// these); others are left out. Numbers are C ints there, so what does not fit wraps around.
void structured_attrs_format_shell(const JsonTree *attrs, Buf *ret);
