// derivation_parse.h: reads the ATerm text of a .drv file.
//
//   drv     = "Derive(" body ")" | "DrvWithVersion(" "\"xp-dyn-drv\"" "," body ")"
//   body    = outputs "," inputs "," strings(srcs) "," str(platform) "," str(builder) "," strings(args) "," env
//   outputs = "[" ("(" str(name) "," str(path) "," str(method-algo) "," str(hash) ")") % "," "]"
//   inputs  = "[" ("(" str(drv path) "," node ")") % "," "]"
//   node    = strings | "(" strings "," "[" ("(" str(output) "," node ")") % "," "]" ")"     (second form: versioned only)
//   env     = "[" ("(" str "," str ")") % "," "]"
//   strings = "[" str % "," "]"          str = '"' ( "\\" any | any but '"' and '\\' )* '"'     (\n \r \t, else the character)
//
// More strict than Nix, which tolerates missing and leading commas, repeated keys, and escapes in strings that it never
// escapes (paths, output names, hashes, the platform): what this accepts, Nix accepts.
// Sets that are not sorted are sorted (Nix keeps them in maps), so that parse, then format, is the identity on every
// text that Nix or this project wrote (derivation_test checks it on a store).
#pragma once

#include "base/arena.h"
#include "formats/derivation.h"

#define DERIVATION_PARSE_SIZE_MAX ((size_t)1 << 30) // bytes of text
#define DERIVATION_PARSE_DYNAMIC_DEPTH_MAX 32       // nesting of dynamic inputs

// `name` is the derivation's (derivation_name_of_path). Strings without escapes point into `text`, the rest is in `arena`:
// the result lives as long as both. Errors are ERR_SYNTAX (ERR_LIMIT) and name the byte offset.
MUST_CHECK bool derivation_parse(Span text, Span name, Span store_dir, Arena *arena, Derivation *ret, Err *err);

// Only what the text refers to, its input sources and input derivations: sorted by store_path_cmp, unique, in `arena`. What stands
// behind the inputs, nearly all of the text, is not looked at. Law: the inputs of derivation_parse (derivation_test).
MUST_CHECK bool derivation_parse_references(Span text, Span store_dir, Arena *arena, StorePath **ret, size_t *ret_count,
                                            Err *err);
