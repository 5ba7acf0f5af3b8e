// print_json.h: values as JSON (builtins.toJSON, --json): nlohmann's text, no white space, keys in bytewise order.
#pragma once

#include "eval/vm.h"

enum {
  PRINT_JSON_COPY =
      1, // paths are copied to the store, and the store path is written (builtins.toJSON, nix-instantiate)
  PRINT_JSON_LAZY = 2, // what is not evaluated is an error (nix-instantiate --json without --strict)
};

// (value, flags as raw integer) -> string with the context of all strings in it. Evaluates as it goes; errors carry "while evaluating
// attribute 'x'" frames. Derivations and sets with __toString or outPath become strings.
extern const NativeDef print_json_native;
