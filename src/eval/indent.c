// indent.c: two passes over the pieces: the first finds the smallest indentation, the second drops it.
#include "eval/indent.h"

// Indentation that all lines of an indented string have in common, SIZE_MAX if no line counts.
// Lines of blanks only do not.
static size_t common_indent(const IndentPiece *pieces, size_t count) {
  bool line_start = true; // only blanks so far
  size_t min = 1000000, current = 0;
  for (size_t i = 0; i < count; i++) {
    if (pieces[i].expr || !pieces[i].indent) {
      // An interpolation or an escape ends the blanks at the start of the line.
      if (line_start && current < min) min = current;
      line_start = false;
      continue;
    }
    const char *s = pieces[i].text.data, *end = s + pieces[i].text.len;
    while (s < end) {
      if (!line_start) {
        s = memchr(s, '\n', (size_t)(end - s));
        if (!s) break;
        s++;
        line_start = true;
        current = 0;
      }
      while (s < end && *s == ' ') s++, current++;
      if (s == end) break;
      if (*s == '\n') {
        s++;
        current = 0; // an empty line has no indentation
      } else {
        line_start = false;
        if (current < min) min = current;
      }
    }
  }
  return min;
}

typedef struct Stripper {
  size_t indent;
  bool line_start;
  size_t dropped; // blanks dropped from the current line
} Stripper;

static Span strip_text(Arena *arena, Stripper *stripper, Span text) {
  char *out = arena_alloc(arena, text.len), *o = out;
  const char *s = text.data, *end = s + text.len;
  while (s < end) {
    if (stripper->line_start) {
      for (; s < end && *s == ' '; s++)
        if (stripper->dropped++ >= stripper->indent) *o++ = ' ';
      if (s == end) break;
      stripper->dropped = 0;
      stripper->line_start = *s == '\n';
      *o++ = *s++;
      continue;
    }
    const char *line_end = memchr(s, '\n', (size_t)(end - s));
    stripper->line_start = line_end != NULL;
    line_end = line_end ? line_end + 1 : end;
    memcpy(o, s, (size_t)(line_end - s));
    o += line_end - s;
    s = line_end;
  }
  return span_make(out, (size_t)(o - out));
}

// Without the last line if that is blanks only.
static Span strip_last_line(Span text) {
  size_t newline = span_rfind_char(text, '\n');
  if (newline == SIZE_MAX) return text;
  for (size_t i = newline + 1; i < text.len; i++)
    if (text.data[i] != ' ') return text;
  return span_sub(text, 0, newline + 1);
}

size_t indent_strip(Arena *arena, IndentPiece *pieces, size_t count) {
  size_t kept = 0;
  Stripper stripper = {common_indent(pieces, count), true, 0};
  for (size_t i = 0; i < count; i++) {
    IndentPiece piece = pieces[i];
    if (piece.expr) {
      stripper.line_start = false;
      stripper.dropped = 0;
    } else {
      piece.text = strip_text(arena, &stripper, piece.text);
      if (i + 1 == count) piece.text = strip_last_line(piece.text);
      if (!piece.text.len) continue;
    }
    pieces[kept++] = piece;
  }
  return kept;
}
