// print_force.h: evaluates what print_value will print with given options, and no more (depth, derivations), keeping going after errors.
#pragma once

#include "eval/print.h"

// (value, raw pointer to a PrintOptions that outlives the call) -> the list of failures for print_value, VALUE_EMPTY_LIST when there
// are none. With throw_top_level the error of the value itself is raised.
extern const NativeDef print_force_native;
