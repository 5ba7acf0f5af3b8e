// print_xml.h: values as XML (builtins.toXML, nix-instantiate --xml).
#pragma once

#include "eval/vm.h"

enum {
  PRINT_XML_STRICT = 1,   // evaluate everything; without it thunks are <unevaluated />
  PRINT_XML_LOCATION = 2, // path, line and column of attributes and functions
};

// (value, flags as raw integer) -> string with the context of all strings in it.
extern const NativeDef print_xml_native;

// Appends ' name="value"', the value quoted as XML wants it.
void print_xml_put_attr(Buf *out, Span name, Span value);
