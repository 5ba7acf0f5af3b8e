// output_diff.h: says file by file how two trees differ, when a rebuild gave another output.
//
// Test: test/realise/scheduler_test.c.
#pragma once

#include "castore/castore.h"

#define OUTPUT_DIFF_LINES_MAX 50u // more are only counted

// Appends a line for each difference, every line with "\n  " before it: "changed: bin/x", "only before: …", "only now: …", "mode
// changed: …". Directories with equal digests are not entered. A missing directory is an error.
MUST_CHECK bool output_diff_trees(const Castore *castore, const CastoreNode *before, const CastoreNode *now, Buf *ret,
                                  Err *err);
