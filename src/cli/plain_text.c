// plain_text.c: see plain_text.h.
#include "cli/plain_text.h"

// Behind a control sequence (ESC [): parameters and intermediate bytes, one final byte.
static size_t skip_control(Span text, size_t i) {
  while (i < text.len && text.data[i] >= 0x20 && text.data[i] <= 0x3f) i++;
  return i < text.len ? i + 1 : i;
}

// Behind a command (ESC ]), which BEL or ESC \ ends.
static size_t skip_command(Span text, size_t i) {
  while (i < text.len && text.data[i] != '\a' && text.data[i] != '\033') i++;
  if (i == text.len) return i;
  bool is_escape = text.data[i] == '\033' && i + 1 < text.len && text.data[i + 1] == '\\';
  return is_escape ? i + 2 : i + 1;
}

static size_t skip_escape(Span text, size_t i) {
  if (i == text.len) return i;
  char kind = text.data[i];
  if (kind == '[') return skip_control(text, i + 1);
  if (kind == ']') return skip_command(text, i + 1);
  return kind >= 0x40 && kind <= 0x5f ? i + 1 : i;
}

void plain_text_put(Span text, Buf *ret) {
  for (size_t i = 0; i < text.len;) {
    char c = text.data[i++];
    if (c == '\033') i = skip_escape(text, i);
    else if (c != '\r' && c != '\a') buf_put_char(ret, c);
  }
}
