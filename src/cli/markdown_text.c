// markdown_text.c: see markdown_text.h. What it looks like: lowdown's terminal output, as Nix 2.26 configures it.
#include "cli/markdown_text.h"

static size_t indent_of(Span line) {
  size_t n = 0;
  while (n < line.len && line.data[n] == ' ') n++;
  return n;
}

void markdown_text_unindent(Span source, Buf *ret) {
  size_t least = SIZE_MAX;
  Span line;
  for (Span rest = source; span_split(&rest, '\n', &line) || line.len;)
    if (indent_of(line) < line.len && indent_of(line) < least) least = indent_of(line);
  for (bool more = true; more;) {
    more = span_split(&source, '\n', &line);
    size_t indent = indent_of(line);
    buf_put_span(ret, span_from(line, indent < least ? indent : least));
    if (more) buf_put_char(ret, '\n');
  }
}

// ---- words of a paragraph

static bool is_marked(Span text, size_t i, char mark) {
  return i < text.len && text.data[i] == mark;
}

// The marks are left out; what stands in `code` is kept together with non-breaking spaces, which become spaces when lines are made.
static void put_inline(Span text, Buf *ret) {
  bool code = false;
  for (size_t i = 0; i < text.len; i++) {
    char c = text.data[i];
    size_t close;
    if (c == '`') {
      code = !code;
    } else if (code) {
      buf_put_char(ret, c);
    } else if (c == '\\' && i + 1 < text.len && !((text.data[i + 1] | 32) >= 'a' && (text.data[i + 1] | 32) <= 'z')) {
      buf_put_char(ret, text.data[++i]);
    } else if (c == '*' && (i + 1 == text.len || text.data[i + 1] != ' ')) {
      if (is_marked(text, i + 1, '*')) i++;
    } else if (c == '*' && i > 0 && text.data[i - 1] != ' ') {
      continue;
    } else if (c == '[' && (close = span_find(span_from(text, i), SPAN("]("))) != SIZE_MAX) {
      size_t end = span_find_char(span_from(text, i + close), ')');
      if (end == SIZE_MAX) {
        buf_put_char(ret, c);
        continue;
      }
      put_inline(span_sub(text, i + 1, close - 1), ret);
      i += close + end;
    } else {
      buf_put_char(ret, c);
    }
  }
}

// Characters, not bytes.
static size_t width_of(Span text) {
  size_t n = 0;
  for (size_t i = 0; i < text.len; i++) n += ((unsigned char)text.data[i] & 0xc0) != 0x80;
  return n;
}

// Fills lines. `first` stands before the first one, `others` before the others; both have the same width.
static void put_filled(Span text, const char *first, const char *others, unsigned columns, Buf *ret) {
  Buf plain CLEANUP(buf_done) = BUF_INIT;
  put_inline(text, &plain);
  size_t margin = width_of(span_cstr(first)), column = 0;
  buf_put_cstr(ret, first);
  Span rest = buf_span(&plain), word;
  for (bool more = true; more;) {
    more = span_split(&rest, ' ', &word);
    if (!word.len) continue;
    if (column > 0 && margin + column + 1 + width_of(word) >= columns) {
      buf_put_char(ret, '\n');
      buf_put_cstr(ret, others);
      column = 0;
    }
    if (column > 0) buf_put_char(ret, ' ');
    column += width_of(word) + (column > 0);
    buf_put_span(ret, word);
  }
  buf_put_char(ret, '\n');
}

// ---- blocks

typedef struct Blocks {
  unsigned columns;
  Buf *out;
  Buf paragraph; // joined lines that belong together
  bool is_item;
  bool fenced, wrote_code;
} Blocks;

static void put_gap(Blocks *b) {
  if (b->out->len && !(b->out->len >= 2 && b->out->data[b->out->len - 2] == '\n')) buf_put_char(b->out, '\n');
}

static void end_paragraph(Blocks *b) {
  if (!b->paragraph.len) return;
  put_gap(b);
  put_filled(buf_span(&b->paragraph), b->is_item ? "  · " : "", b->is_item ? "    " : "", b->columns, b->out);
  buf_clear(&b->paragraph);
  b->is_item = false;
}

static void add_line(Blocks *b, Span line) {
  if (b->paragraph.len) buf_put_char(&b->paragraph, ' ');
  buf_put_span(&b->paragraph, span_trim(line));
  size_t len = line.len; // two spaces or a backslash at the end break the line
  if (len >= 1 && line.data[len - 1] == '\\') {
    b->paragraph.len--;
    end_paragraph(b);
  }
}

static void put_code(Blocks *b, Span line) {
  if (!b->wrote_code) put_gap(b);
  b->wrote_code = true;
  buf_printf(b->out, "  │ %.*s\n", SPAN_ARG(line));
}

static bool is_item(Span line) {
  size_t i = indent_of(line);
  return i + 1 < line.len && strchr("-*+", line.data[i]) && line.data[i + 1] == ' ';
}

static void put_line(Blocks *b, Span line) {
  Span trimmed = span_trim(line);
  bool fence = span_has_prefix(trimmed, SPAN("```"));
  if (b->fenced && !fence) {
    put_code(b, line);
    return;
  }
  if (fence) {
    end_paragraph(b);
    b->fenced = !b->fenced;
    b->wrote_code = false;
    return;
  }
  bool code = !b->paragraph.len && indent_of(line) >= 4 && trimmed.len;
  if (code) {
    put_code(b, span_from(line, 4));
    return;
  }
  b->wrote_code = false;
  if (!trimmed.len) {
    end_paragraph(b);
  } else if (is_item(line)) {
    end_paragraph(b);
    b->is_item = true;
    add_line(b, span_from(line, indent_of(line) + 2));
  } else if (line.data[0] == '#') {
    end_paragraph(b);
    add_line(b, line);
    end_paragraph(b);
  } else {
    add_line(b, line);
  }
}

void markdown_text_put(Span source, unsigned columns, Buf *ret) {
  Buf out CLEANUP(buf_done) = BUF_INIT;
  Blocks blocks = {.columns = columns, .out = &out, .paragraph = BUF_INIT};
  Span line;
  for (bool more = true; more;) {
    more = span_split(&source, '\n', &line);
    put_line(&blocks, line);
  }
  end_paragraph(&blocks);
  buf_done(&blocks.paragraph);
  buf_put_span(ret, buf_span(&out));
}
