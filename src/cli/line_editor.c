// line_editor.c: see line_editor.h. libedit's readline interface keeps its state in globals: one editor at a time.
#include "cli/line_editor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

#ifdef HAVE_LIBEDIT
#include <editline/readline.h>
#endif

struct LineEditor {
  char *history; // owned; NULL: none
  LineEditorComplete complete;
  void *ctx;
  bool is_terminal;
  Buf candidates; // of the word being completed
  size_t next;
};

static void read_plain(FILE *in, Buf *ret, bool *ret_end) {
  int c;
  size_t start = ret->len;
  while ((c = getc(in)) != EOF && c != '\n') buf_put_char(ret, (char)c);
  *ret_end = c == EOF && ret->len == start;
}

#ifdef HAVE_LIBEDIT
static LineEditor *current; // what libedit's callbacks belong to

static char *next_candidate(const char *text, int state) {
  LineEditor *editor = current;
  if (state == 0) {
    buf_clear(&editor->candidates);
    editor->next = 0;
    editor->complete(editor->ctx, span_cstr(text), &editor->candidates);
  }
  if (editor->next >= editor->candidates.len) return NULL;
  const char *candidate = editor->candidates.data + editor->next;
  editor->next += strlen(candidate) + 1;
  return span_dup(span_cstr(candidate)); // freed by libedit
}

static char **complete(const char *text, int start, int end) {
  rl_attempted_completion_over = 1;
  rl_completion_append_character = 0;
  return rl_completion_matches(text, next_candidate);
}
#endif

LineEditor *line_editor_new(const char *history, LineEditorComplete complete_fn, void *ctx) {
  LineEditor *editor = mem_alloc_zero(sizeof(*editor));
  editor->history = history ? span_dup(span_cstr(history)) : NULL;
  editor->complete = complete_fn;
  editor->ctx = ctx;
  editor->is_terminal = isatty(STDIN_FILENO);
#ifdef HAVE_LIBEDIT
  if (editor->is_terminal) {
    current = editor;
    rl_readline_name = "firn";
    rl_initialize();
    rl_attempted_completion_function = complete;
    rl_basic_word_break_characters = (char *)" \t\n()[]{};:,=+*!&|<>?\"'";
    stifle_history(1000);
    if (editor->history) read_history(editor->history);
  }
#endif
  return editor;
}

void line_editor_free(LineEditor *editor) {
#ifdef HAVE_LIBEDIT
  if (editor->is_terminal && editor->history) write_history(editor->history);
  current = NULL;
#endif
  mem_free(editor->history);
  buf_done(&editor->candidates);
  mem_free(editor);
}

bool line_editor_read(LineEditor *editor, const char *prompt, Buf *ret, bool *ret_interrupted) {
  *ret_interrupted = false;
#ifdef HAVE_LIBEDIT
  if (editor->is_terminal) {
    errno = 0;
    char *line = readline(prompt);
    *ret_interrupted = !line && errno == EINTR;
    if (!line) return false;
    buf_put_cstr(ret, line);
    free(line);
    return true;
  }
#endif
  if (editor->is_terminal) {
    fputs(prompt, stdout);
    fflush(stdout);
  }
  bool end;
  errno = 0;
  read_plain(stdin, ret, &end);
  *ret_interrupted = end && ferror(stdin) && errno == EINTR;
  if (*ret_interrupted) clearerr(stdin);
  return !end;
}

void line_editor_remember(LineEditor *editor, const char *line) {
#ifdef HAVE_LIBEDIT
  if (editor->is_terminal && *line) add_history(line);
#endif
}
