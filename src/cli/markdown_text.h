// markdown_text.h: documentation as it is read in a terminal.
#pragma once

#include "base/buf.h"

#define MARKDOWN_TEXT_MIN_COLUMNS 60u

// Appends `source` (paragraphs, lists, fenced and indented code, headings; *emphasis*, `code` and [links](url) inside), lines filled up to `columns`, without marks,
// without empty lines at both ends, ending in a newline unless it is empty.
void markdown_text_put(Span source, unsigned columns, Buf *ret);
// Removes the white space that all lines begin with (the first one is taken to begin where it does), as Nix does with comments and documentation.
void markdown_text_unindent(Span source, Buf *ret);
