// print.h: values as text: what `nix-instantiate --eval` prints, what `nix eval`, the REPL, builtins.trace and error messages print.
// JSON and XML are in print_json.h and print_xml.h.
//
// Printing never evaluates: print_force.h is the native that evaluates what will be printed first. No recursion: the stack of open
// sets and lists is an array.
#pragma once

#include "eval/vm.h"

#define PRINT_UNLIMITED SIZE_MAX

typedef struct PrintOptions {
  bool derivation_paths; // "«derivation /nix/store/x.drv»" for derivations
  bool throw_top_level;  // for print_force: an error of the value itself is not printed but raised
  bool track_repeated;   // "«repeated»" for a set or list that was printed before
  bool colour;
  unsigned pretty_indent; // 0: one line
  // Limits, PRINT_UNLIMITED for none. The number of attributes and of list items are counted over the whole output.
  size_t max_depth, max_attrs, max_list_items, max_string_bytes;
} PrintOptions;

extern const PrintOptions print_options_trace; // builtins.trace
extern const PrintOptions print_options_error; // values in error messages
extern const PrintOptions print_options_eval;  // `nix eval`

// In the syntax of `nix eval` and the REPL: "«thunk»", "«lambda f @ /x.nix:1:2»", "«primop map»". `v` may be a thunk.
// `failures`: VALUE_ABSENT, or a list from print_force: [thunk message thunk message ...] for "«error: message»".
void print_value(Vm *vm, Value v, const PrintOptions *options, Value failures, Buf *ret);
// In the syntax of `nix-instantiate --eval`: "<CODE>", "<LAMBDA>", "<PRIMOP>", a blank before "]" and "}".
void print_plain(Vm *vm, Value v, Buf *ret);

// Parts.
void print_string_literal(Span s, Buf *ret); // "a\nb\${c}"
void print_attr_name(Span name, Buf *ret);   // quoted where it is no identifier or is a keyword
void print_float(double d, Buf *ret);        // as C++ streams do: six significant digits
void print_path(Span path, Buf *ret);        // as it is; "<nix/x>" below EVAL_IO_NIX_DIR
