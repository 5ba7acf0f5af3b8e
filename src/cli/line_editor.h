// line_editor.h: reading lines from a person: editing, history and completion by a library (libedit) where standard input is a terminal, plain
// reading otherwise.
#pragma once

#include "base/buf.h"
#include "base/err.h"

// Candidates for the word that ends at the cursor: appended to *ret, each ended by a NUL. Texts replace the whole word.
typedef void (*LineEditorComplete)(void *ctx, Span word, Buf *ret);

typedef struct LineEditor LineEditor;

// `history` is a file that is read now and written by line_editor_free; NULL: none.
LineEditor *line_editor_new(const char *history, LineEditorComplete complete, void *ctx);
void line_editor_free(LineEditor *editor);
// Appends the next line without its newline. False at the end of the input, or when it was interrupted: *ret_interrupted tells.
bool line_editor_read(LineEditor *editor, const char *prompt, Buf *ret, bool *ret_interrupted);
void line_editor_remember(LineEditor *editor, const char *line);
