// assert_diff.h: what makes `assert a == b` fail: the first difference, with the way to it. Messages of assertEqValues in Nix 2.26.
#pragma once

#include "eval/native.h"

// (a, b, text of the condition as a string, position of the assert as integer) -> never returns a value: the error is EVAL_ERROR_ASSERT.
extern const NativeDef assert_diff_native;
