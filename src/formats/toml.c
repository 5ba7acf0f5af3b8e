// toml.c: recursive descent; the depth is bounded by TOML_MAX_DEPTH.
#include "formats/toml.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"

typedef struct Key {
  Span parts[TOML_MAX_DEPTH];
  uint32_t count;
} Key;

typedef struct Parser {
  const char *start, *at, *end;
  Arena *arena;
  Err *err;
  Buf scratch;      // texts under construction
  Key *key;         // the one being read; owned. Never needed while a value is read
  uint32_t section; // number of the header that is in force; 0 never occurs
} Parser;

// ---- errors and characters ----

enum { MAX_SHOWN_BYTES = 200 }; // of a line, on either side of the place

// The line that `p->at` is on, with the place marked and `hint` next to it.
static void put_snippet(Buf *out, const Parser *p, const char *hint) {
  size_t line = 1, column = 0;
  const char *from = p->start, *to = p->at;
  for (const char *c = p->start; c < p->at; c++)
    if (*c == '\n') line++, from = c + 1;
  if (p->at - from > MAX_SHOWN_BYTES) from = p->at - MAX_SHOWN_BYTES;
  while (to < p->end && *to != '\n' && to - p->at < MAX_SHOWN_BYTES) to++;
  for (const char *c = from; c < p->at; c++) column += (*c & 0xc0) != 0x80;
  char number[24];
  int width = snprintf(number, sizeof number, "%zu", line);
  buf_printf(out, " --> fromTOML\n%*s |\n %s | %.*s\n%*s | ", width + 1, "", number, (int)(to - from), from, width + 1,
             "");
  buf_put_repeat(out, ' ', column);
  buf_printf(out, "^-- %s\n", hint);
}

static bool fail_hint(Parser *p, const char *hint, const char *fmt, ...) PRINTF_LIKE(3, 4);
static bool fail_hint(Parser *p, const char *hint, const char *fmt, ...) {
  Buf text = BUF_INIT;
  va_list args;
  va_start(args, fmt);
  buf_put_cstr(&text, "[error] ");
  buf_vprintf(&text, fmt, args);
  va_end(args);
  buf_put_char(&text, '\n');
  put_snippet(&text, p, hint);
  (void)err_set(p->err, ERR_SYNTAX, "%s", buf_cstr(&text));
  buf_done(&text);
  return false;
}
#define fail(p, ...) fail_hint((p), "here", __VA_ARGS__)

// The messages are those of the library that C++ Nix uses wherever that has one for the case, so that they are recognised. A second place
// that it shows (of the earlier definition) is left out.
static bool fail_expected(Parser *p, const char *what) {
  if (p->at == p->end) return fail(p, "expected %s, but the document ends", what);
  unsigned char c = (unsigned char)*p->at;
  if (c < ' ' || c >= 0x7f) return fail(p, "expected %s, but found the byte 0x%02x", what, c);
  return fail(p, "expected %s, but found '%c'", what, c);
}

static inline char peek(const Parser *p) {
  return p->at < p->end ? *p->at : '\0';
}
static inline bool looking_at(const Parser *p, const char *text) {
  size_t len = strlen(text);
  return (size_t)(p->end - p->at) >= len && memcmp(p->at, text, len) == 0;
}
static bool take(Parser *p, const char *text) {
  bool found = looking_at(p, text);
  if (found) p->at += strlen(text);
  return found;
}

static inline bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
static inline bool is_bare_key(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
}

// The length of the UTF-8 sequence at `s`, 0 if it is none (overlong, surrogate, too large, cut off).
static size_t utf8_length(const char *text, size_t len) {
  const unsigned char *s = (const unsigned char *)text;
  if (s[0] < 0x80) return 1;
  size_t count = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
  if (s[0] < 0xc2 || s[0] > 0xf4 || count > len) return 0;
  for (size_t i = 1; i < count; i++)
    if ((s[i] & 0xc0) != 0x80) return 0;
  if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f)) return 0;
  if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)) return 0;
  return count;
}

// Steps over one character that may stand in a comment or string; control characters but the tab may not.
static bool skip_character(Parser *p) {
  unsigned char c = (unsigned char)*p->at;
  if ((c < ' ' && c != '\t') || c == 0x7f) return fail(p, "the control character 0x%02x is not allowed here", c);
  size_t len = utf8_length(p->at, (size_t)(p->end - p->at));
  if (!len) return fail(p, "this is not UTF-8");
  p->at += len;
  return true;
}

static void skip_blanks(Parser *p) {
  while (peek(p) == ' ' || peek(p) == '\t') p->at++;
}

static bool at_newline(const Parser *p) {
  return peek(p) == '\n' || looking_at(p, "\r\n");
}
static bool take_newline(Parser *p) {
  return take(p, "\n") || take(p, "\r\n");
}

static bool skip_comment(Parser *p) {
  if (peek(p) != '#') return true;
  while (p->at < p->end && !at_newline(p))
    if (!skip_character(p)) return false;
  return true;
}

// Blanks, comments and newlines, as between the values of an array.
static bool skip_space(Parser *p) {
  for (;;) {
    skip_blanks(p);
    if (!skip_comment(p)) return false;
    if (!take_newline(p)) return true;
  }
}

// ---- tables ----

enum { INDEX_MIN_ENTRIES = 12 };

static TomlValue *new_value(Parser *p, TomlKind kind, uint32_t depth) {
  TomlValue *value = ARENA_NEW(p->arena, TomlValue);
  *value = (TomlValue){.kind = (uint8_t)kind, .depth_ = depth};
  return value;
}

static uint32_t index_mask(const TomlValue *table) {
  return table->cap_ * 2 - 1;
}

static void index_put(TomlValue *table, uint32_t entry) {
  uint32_t i = (uint32_t)span_hash(table->table.entries[entry].key) & index_mask(table);
  while (table->table.index_[i]) i = (i + 1) & index_mask(table);
  table->table.index_[i] = entry + 1;
}

const TomlValue *toml_find(const TomlValue *table, Span key) {
  const TomlEntry *entries = table->table.entries;
  if (table->table.index_) {
    uint32_t i = (uint32_t)span_hash(key) & index_mask(table);
    for (; table->table.index_[i]; i = (i + 1) & index_mask(table)) {
      const TomlEntry *entry = &entries[table->table.index_[i] - 1];
      if (span_eq(entry->key, key)) return entry->value;
    }
    return NULL;
  }
  for (uint32_t i = 0; i < table->count; i++)
    if (span_eq(entries[i].key, key)) return entries[i].value;
  return NULL;
}

static TomlValue *find(TomlValue *table, Span key) {
  return (TomlValue *)toml_find(table, key);
}

static void *grow(Parser *p, void *array, TomlValue *owner, size_t element_bytes) {
  owner->cap_ = owner->cap_ ? owner->cap_ * 2 : 4; // a power of two, for the index
  void *bigger = arena_alloc(p->arena, owner->cap_ * element_bytes);
  if (owner->count) memcpy(bigger, array, owner->count * element_bytes);
  return bigger;
}

static void add_entry(Parser *p, TomlValue *table, Span key, TomlValue *value) {
  bool grown = table->count == table->cap_;
  if (grown) table->table.entries = grow(p, table->table.entries, table, sizeof(TomlEntry));
  table->table.entries[table->count++] = (TomlEntry){key, value};
  if (grown && table->cap_ > INDEX_MIN_ENTRIES) {
    table->table.index_ = ARENA_ARRAY(p->arena, uint32_t, table->cap_ * 2);
    memset(table->table.index_, 0, table->cap_ * 2 * sizeof(uint32_t));
    for (uint32_t i = 0; i < table->count; i++) index_put(table, i);
  } else if (table->table.index_) {
    index_put(table, table->count - 1);
  }
}

static void add_item(Parser *p, TomlValue *array, TomlValue *item) {
  if (array->count == array->cap_) array->items = grow(p, array->items, array, sizeof(TomlValue *));
  array->items[array->count++] = item;
}

static TomlValue *add_table(Parser *p, TomlValue *parent, Span key) {
  if (parent->depth_ >= TOML_MAX_DEPTH) {
    (void)fail(p, "tables are nested more than %d levels deep", TOML_MAX_DEPTH);
    return NULL;
  }
  TomlValue *table = new_value(p, TOML_TABLE, parent->depth_ + 1);
  add_entry(p, parent, key, table);
  return table;
}

// ---- strings ----

static void put_utf8(Buf *out, uint32_t c) {
  if (c < 0x80) {
    buf_put_char(out, (char)c);
  } else if (c < 0x800) {
    buf_put_char(out, (char)(0xc0 | c >> 6));
    buf_put_char(out, (char)(0x80 | (c & 0x3f)));
  } else {
    if (c < 0x10000) {
      buf_put_char(out, (char)(0xe0 | c >> 12));
    } else {
      buf_put_char(out, (char)(0xf0 | c >> 18));
      buf_put_char(out, (char)(0x80 | (c >> 12 & 0x3f)));
    }
    buf_put_char(out, (char)(0x80 | (c >> 6 & 0x3f)));
    buf_put_char(out, (char)(0x80 | (c & 0x3f)));
  }
}

static int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool parse_unicode_escape(Parser *p, int digits) {
  uint32_t c = 0;
  for (int i = 0; i < digits; i++, p->at++) {
    int value = hex_value(peek(p));
    if (value < 0) return fail_expected(p, "a hexadecimal digit");
    c = c << 4 | (uint32_t)value;
  }
  if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) return fail(p, "U+%04X is not a Unicode scalar value", c);
  put_utf8(&p->scratch, c);
  return true;
}

// Behind the backslash.
static bool parse_escape(Parser *p) {
  static const char letters[] = "btnfr\"\\", values[] = "\b\t\n\f\r\"\\";
  char c = peek(p);
  const char *found = c ? strchr(letters, c) : NULL;
  if (found) {
    p->at++;
    buf_put_char(&p->scratch, values[found - letters]);
    return true;
  }
  if (c != 'u' && c != 'U') return fail_expected(p, "an escape (b t n f r \" \\ u U)");
  p->at++;
  return parse_unicode_escape(p, c == 'u' ? 4 : 8);
}

// A backslash at the end of a line: it, and all blanks and newlines up to the next text, vanish. True if it was one.
static bool take_line_continuation(Parser *p) {
  const char *backslash = p->at++;
  skip_blanks(p);
  if (!at_newline(p)) {
    p->at = backslash;
    return false;
  }
  do skip_blanks(p);
  while (take_newline(p));
  return true;
}

// On one line, behind the opening quote.
static bool parse_line_string(Parser *p, char quote, Span *ret) {
  const char *start = p->at;
  bool plain = true;
  buf_clear(&p->scratch);
  for (;;) {
    if (p->at == p->end || at_newline(p))
      return quote == '"' ? fail_hint(p, "expected \"", "toml::parse_basic_string: invalid string format")
                          : fail_hint(p, "expected '", "toml::parse_literal_string: invalid string format");
    if (*p->at == quote) break;
    const char *from = p->at;
    if (quote == '"' && *p->at == '\\') {
      if (plain) buf_put(&p->scratch, start, (size_t)(p->at - start));
      plain = false;
      p->at++;
      if (!parse_escape(p)) return false;
    } else {
      if (!skip_character(p)) return false;
      if (!plain) buf_put(&p->scratch, from, (size_t)(p->at - from));
    }
  }
  *ret = plain ? span_make(start, (size_t)(p->at - start)) : arena_dup(p->arena, buf_span(&p->scratch));
  p->at++;
  return true;
}

// Behind the opening quotes. Up to two quotes may stand before the three that end it.
static bool parse_block_string(Parser *p, char quote, Span *ret) {
  const char end_quotes[] = {quote, quote, quote, '\0'};
  buf_clear(&p->scratch);
  (void)take_newline(p);
  for (;;) {
    if (p->at == p->end) return fail_expected(p, quote == '"' ? "'\"\"\"'" : "\"'''\"");
    if (take(p, end_quotes)) break;
    const char *from = p->at;
    if (quote == '"' && *p->at == '\\') {
      if (take_line_continuation(p)) continue;
      p->at++;
      if (!parse_escape(p)) return false;
      continue;
    }
    if (!take_newline(p) && !skip_character(p)) return false;
    buf_put(&p->scratch, from, (size_t)(p->at - from));
  }
  for (int i = 0; i < 2 && peek(p) == quote; i++, p->at++) buf_put_char(&p->scratch, quote);
  *ret = arena_dup(p->arena, buf_span(&p->scratch));
  return true;
}

static bool parse_string(Parser *p, uint32_t depth, TomlValue **ret) {
  char quote = *p->at;
  *ret = new_value(p, TOML_STRING, depth);
  if (take(p, quote == '"' ? "\"\"\"" : "'''")) return parse_block_string(p, quote, &(*ret)->text);
  p->at++;
  return parse_line_string(p, quote, &(*ret)->text);
}

// ---- keys ----

static bool parse_key_part(Parser *p, Span *ret) {
  char quote = peek(p);
  if (quote == '"' || quote == '\'') {
    p->at++;
    return parse_line_string(p, quote, ret);
  }
  const char *start = p->at;
  while (p->at < p->end && is_bare_key(*p->at)) p->at++;
  *ret = span_make(start, (size_t)(p->at - start));
  return ret->len > 0 || fail_hint(p, "expected alpha [a-zA-Z], digit [0-9], -, or _",
                                   "toml::parse_simple_key: invalid key: key must be \"quoted\", 'quoted-literal', or "
                                   "bare key.");
}

static bool parse_key(Parser *p, Key *ret) {
  ret->count = 0;
  do {
    skip_blanks(p);
    if (ret->count == ARRAY_LEN(ret->parts)) return fail(p, "a key has more than %d parts", TOML_MAX_DEPTH);
    if (!parse_key_part(p, &ret->parts[ret->count])) return false;
    ret->count++;
    skip_blanks(p);
  } while (take(p, "."));
  return true;
}

// ---- numbers ----

// Digits with single underscores between them, appended to the scratch without these.
static bool parse_digits(Parser *p, int base, const char *what) {
  bool underscore = true; // one must not come first
  for (;; p->at++) {
    int value = hex_value(peek(p));
    if (value >= 0 && value < base) {
      buf_put_char(&p->scratch, *p->at);
      underscore = false;
    } else if (peek(p) == '_' && !underscore) {
      underscore = true;
    } else {
      return !underscore || fail_expected(p, what);
    }
  }
}

// In the words of the library that C++ Nix uses; what cannot be represented is not rare enough to have words of our own.
static bool fail_range(Parser *p, const char *form, const char *limit) {
  return fail_hint(p, "must be < 2^63", "toml::parse_%s_integer: too large integer: current max %s = 2^63", form,
                   limit);
}

static bool parse_based(Parser *p, int base, TomlValue *value) {
  p->at += 2;
  if (!parse_digits(p, base, "a digit")) return false;
  errno = 0;
  value->integer = strtoll(buf_cstr(&p->scratch), NULL, base);
  return errno == 0 || fail_range(p, base == 16 ? "hex" : base == 8 ? "oct" : "bin", "value");
}

static bool finish_decimal(Parser *p, bool floating, TomlValue *value) {
  errno = 0;
  if (!floating) {
    value->integer = strtoll(buf_cstr(&p->scratch), NULL, 10);
    return errno == 0 || fail_range(p, "dec", "digits");
  }
  value->kind = TOML_FLOAT;
  value->floating = strtod(buf_cstr(&p->scratch), NULL); // what is too small is zero
  return isfinite(value->floating) || fail(p, "toml::parse_floating: failed to read floating point value from stream");
}

static bool parse_special_float(Parser *p, const char *start, TomlValue *value) {
  value->kind = TOML_FLOAT;
  value->floating = take(p, "inf") ? INFINITY : NAN;
  if (peek(p) == 'n') p->at += 3;
  if (*start == '-') value->floating = -value->floating;
  return true;
}

static bool parse_number(Parser *p, TomlValue *value) {
  const char *start = p->at;
  bool floating = false;
  value->kind = TOML_INTEGER;
  buf_clear(&p->scratch);
  if (looking_at(p, "0x")) return parse_based(p, 16, value);
  if (looking_at(p, "0o")) return parse_based(p, 8, value);
  if (looking_at(p, "0b")) return parse_based(p, 2, value);
  if (peek(p) == '+' || peek(p) == '-') buf_put_char(&p->scratch, *p->at++);
  if (looking_at(p, "inf") || looking_at(p, "nan")) return parse_special_float(p, start, value);
  if (peek(p) == '0') {
    buf_put_char(&p->scratch, *p->at++);
    if (is_digit(peek(p)) || peek(p) == '_')
      return fail_hint(p, "this digit is not allowed", "bad integer: invalid digit after an integer");
  } else if (!is_digit(peek(p))) {
    return fail(p, "bad format: unknown value appeared");
  } else if (!parse_digits(p, 10, "a digit")) {
    return false;
  }
  if (peek(p) == '.') {
    floating = true;
    buf_put_char(&p->scratch, *p->at++);
    if (!parse_digits(p, 10, "a digit")) return false;
  }
  if (peek(p) == 'e' || peek(p) == 'E') {
    floating = true;
    buf_put_char(&p->scratch, *p->at++);
    if (peek(p) == '+' || peek(p) == '-') buf_put_char(&p->scratch, *p->at++);
    if (!parse_digits(p, 10, "a digit")) return false;
  }
  return finish_decimal(p, floating, value);
}

// ---- dates and times ----

static bool all_digits(const Parser *p, size_t count) {
  if ((size_t)(p->end - p->at) < count) return false;
  for (size_t i = 0; i < count; i++)
    if (!is_digit(p->at[i])) return false;
  return true;
}

static bool looks_like_date(const Parser *p) {
  return all_digits(p, 4) && p->end - p->at > 4 && p->at[4] == '-';
}
static bool looks_like_time(const Parser *p) {
  return all_digits(p, 2) && p->end - p->at > 2 && p->at[2] == ':';
}

static bool parse_field(Parser *p, size_t digits, int min, int max, const char *what, int *ret) {
  if (!all_digits(p, digits)) return fail_expected(p, what);
  *ret = 0;
  for (size_t i = 0; i < digits; i++) *ret = *ret * 10 + (p->at[i] - '0');
  if (*ret < min || *ret > max) return fail(p, "%s must be %d to %d", what, min, max);
  p->at += digits;
  return true;
}

static bool parse_separator(Parser *p, const char *separator) {
  return take(p, separator) || fail_expected(p, separator);
}

static bool parse_date(Parser *p) {
  int year, month, day;
  if (!parse_field(p, 4, 0, 9999, "the year", &year) || !parse_separator(p, "-") ||
      !parse_field(p, 2, 1, 12, "the month", &month) || !parse_separator(p, "-"))
    return false;
  bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  int days = month == 2 ? (leap ? 29 : 28) : month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
  if (!parse_field(p, 2, 1, days, "the day", &day)) return false;
  buf_printf(&p->scratch, "%04d-%02d-%02d", year, month, day);
  return true;
}

// The fraction as 3, 6 or 9 digits, whichever shows all that are not zero; more than nine are cut off.
static bool parse_fraction(Parser *p) {
  char digits[9] = "000000000";
  size_t count = 0, shown = 0;
  p->at++;
  if (!is_digit(peek(p))) return fail_expected(p, "a digit");
  for (; is_digit(peek(p)); p->at++) {
    if (count == sizeof digits) continue;
    digits[count++] = *p->at;
    if (*p->at != '0') shown = (count + 2) / 3 * 3;
  }
  if (shown) buf_printf(&p->scratch, ".%.*s", (int)shown, digits);
  return true;
}

static bool parse_time(Parser *p) {
  int hour, minute, second;
  if (!parse_field(p, 2, 0, 23, "the hour", &hour) || !parse_separator(p, ":") ||
      !parse_field(p, 2, 0, 59, "the minute", &minute) || !parse_separator(p, ":") ||
      !parse_field(p, 2, 0, 59, "the second", &second))
    return false;
  buf_printf(&p->scratch, "%02d:%02d:%02d", hour, minute, second);
  return peek(p) != '.' || parse_fraction(p);
}

// *ret_found if there is one.
static bool parse_offset(Parser *p, bool *ret_found) {
  int hour, minute;
  char sign = peek(p);
  *ret_found = true;
  if (sign == 'Z' || sign == 'z') {
    p->at++;
    buf_put_char(&p->scratch, 'Z');
    return true;
  }
  *ret_found = sign == '+' || sign == '-';
  if (!*ret_found) return true;
  p->at++;
  if (!parse_field(p, 2, 0, 23, "the hour", &hour) || !parse_separator(p, ":") ||
      !parse_field(p, 2, 0, 59, "the minute", &minute))
    return false;
  if (hour == 0 && minute == 0) buf_put_char(&p->scratch, 'Z');
  else buf_printf(&p->scratch, "%c%02d:%02d", sign, hour, minute);
  return true;
}

static bool parse_date_or_time(Parser *p, TomlValue *value) {
  buf_clear(&p->scratch);
  value->kind = TOML_LOCAL_TIME;
  if (!looks_like_time(p)) {
    if (!parse_date(p)) return false;
    value->kind = TOML_LOCAL_DATE;
    const char *date_end = p->at;
    char separator = peek(p);
    if (separator == 'T' || separator == 't' || separator == ' ') p->at++;
    if (separator == ' ' && !looks_like_time(p)) {
      p->at = date_end; // a blank behind a date
    } else if (p->at > date_end) {
      bool has_offset;
      buf_put_char(&p->scratch, 'T');
      if (!parse_time(p) || !parse_offset(p, &has_offset)) return false;
      value->kind = has_offset ? TOML_OFFSET_DATE_TIME : TOML_LOCAL_DATE_TIME;
    }
  } else if (!parse_time(p)) {
    return false;
  }
  value->text = arena_dup(p->arena, buf_span(&p->scratch));
  return true;
}

// ---- values ----

static bool parse_value(Parser *p, uint32_t depth, TomlValue **ret);
static bool parse_key_value(Parser *p, TomlValue *table);

static bool check_depth(Parser *p, uint32_t depth) {
  return depth <= TOML_MAX_DEPTH || fail(p, "values are nested more than %d levels deep", TOML_MAX_DEPTH);
}

static bool parse_array(Parser *p, TomlValue *array) {
  p->at++;
  array->closed_ = true;
  for (;;) {
    TomlValue *item;
    if (!skip_space(p)) return false;
    if (take(p, "]")) return true;
    if (!parse_value(p, array->depth_ + 1, &item) || !skip_space(p)) return false;
    add_item(p, array, item);
    if (p->at == p->end)
      return fail_hint(p, "expected `]`, reached EOF", "toml::parse_array: missing closing bracket `]`");
    if (!take(p, ",") && peek(p) != ']')
      return fail(p, "toml::parse_array: expected value-separator `,` or closing `]`");
  }
}

// Tables that dotted keys made inside an inline table are closed with it.
static void close_tables(TomlValue *table) {
  table->closed_ = true;
  for (uint32_t i = 0; i < table->count; i++) {
    TomlValue *value = table->table.entries[i].value;
    if (value->kind == TOML_TABLE && !value->closed_) close_tables(value);
  }
}

static bool parse_inline_table(Parser *p, TomlValue *table) {
  p->at++;
  skip_blanks(p);
  bool empty = take(p, "}");
  while (!empty) {
    if (!parse_key_value(p, table)) return false;
    skip_blanks(p);
    if (take(p, "}")) break;
    if (!take(p, ",")) return fail(p, "toml::parse_inline_table: expected value-separator `,` or closing `}`");
    skip_blanks(p);
    if (peek(p) == '}') return fail(p, "toml::parse_inline_table: trailing comma is not allowed in TOML-v1.0.0)");
  }
  close_tables(table);
  return true;
}

static bool parse_value(Parser *p, uint32_t depth, TomlValue **ret) {
  if (!check_depth(p, depth)) return false;
  switch (peek(p)) {
  case '"':
  case '\'': return parse_string(p, depth, ret);
  case '[': *ret = new_value(p, TOML_ARRAY, depth); return parse_array(p, *ret);
  case '{': *ret = new_value(p, TOML_TABLE, depth); return parse_inline_table(p, *ret);
  case 't':
  case 'f':
    *ret = new_value(p, TOML_BOOLEAN, depth);
    (*ret)->boolean = peek(p) == 't';
    return take(p, "true") || take(p, "false") ||
           fail_hint(
               p, "expected true or false",
               "toml::parse_boolean: invalid boolean: boolean must be `true` or `false`, in lowercase. string must "
               "be surrounded by `\"`");
  default:
    *ret = new_value(p, TOML_INTEGER, depth);
    if (looks_like_date(p) || looks_like_time(p)) return parse_date_or_time(p, *ret);
    return parse_number(p, *ret);
  }
}

// ---- definitions ----

static bool fail_defined(Parser *p, const char *at, const char *what) {
  p->at = at;
  return fail_hint(p, "inserting this", "toml::insert_value: failed to insert %s", what);
}

// The table that the dotted part of a key leads to.
static bool descend_dotted(Parser *p, const char *at, const Key *key, TomlValue **table) {
  for (uint32_t i = 0; i + 1 < key->count; i++) {
    TomlValue *next = find(*table, key->parts[i]);
    if (!next) {
      next = add_table(p, *table, key->parts[i]);
      if (!next) return false;
      next->section_ = p->section;
    } else if (next->kind != TOML_TABLE || next->closed_) {
      return fail_defined(p, at, "a value, value already exists");
    } else if (next->header_ || (next->section_ && next->section_ != p->section)) {
      return fail_defined(p, at, "a value, value already exists");
    }
    // A table that only headers of tables within it imply belongs to this section from now on.
    next->section_ = p->section;
    *table = next;
  }
  return true;
}

static bool parse_key_value(Parser *p, TomlValue *table) {
  skip_blanks(p);
  const char *at = p->at;
  TomlValue *value;
  if (!parse_key(p, p->key)) return false;
  if (!take(p, "=")) return fail_hint(p, "expected =", "toml::parse_key_value_pair: invalid key value separator `=`");
  if (!descend_dotted(p, at, p->key, &table)) return false;
  Span last = p->key->parts[p->key->count - 1];
  if (find(table, last)) return fail_defined(p, at, "a value, value already exists");
  skip_blanks(p);
  if (!parse_value(p, table->depth_ + 1, &value)) return false;
  add_entry(p, table, last, value);
  return true;
}

// One name of a header on the way: tables and the last table of an array of tables can be entered.
static bool descend_header(Parser *p, const char *at, Span name, TomlValue **table) {
  TomlValue *next = find(*table, name);
  if (!next) {
    *table = add_table(p, *table, name);
    return *table != NULL;
  }
  if (next->kind == TOML_ARRAY && !next->closed_) next = next->items[next->count - 1];
  if (next->kind != TOML_TABLE || next->closed_) return fail_defined(p, at, "a table, table already defined");
  *table = next;
  return true;
}

static bool open_table(Parser *p, const char *at, Span name, TomlValue **table) {
  TomlValue *old = find(*table, name);
  if (old && (old->kind != TOML_TABLE || old->closed_ || old->header_ || old->section_))
    return fail_defined(p, at, "a table, table already defined");
  if (!old) old = add_table(p, *table, name);
  if (!old) return false;
  old->header_ = true;
  *table = old;
  return true;
}

static bool open_array_table(Parser *p, const char *at, Span name, TomlValue **table) {
  TomlValue *array = find(*table, name);
  if (array && (array->kind != TOML_ARRAY || array->closed_))
    return fail_defined(p, at, "an array of tables, value already exists");
  if (!array) {
    if ((*table)->depth_ + 2 > TOML_MAX_DEPTH) return check_depth(p, TOML_MAX_DEPTH + 1);
    array = new_value(p, TOML_ARRAY, (*table)->depth_ + 1);
    add_entry(p, *table, name, array);
  }
  *table = new_value(p, TOML_TABLE, array->depth_ + 1);
  (*table)->header_ = true;
  add_item(p, array, *table);
  return true;
}

// [key] or [[key]]: *table becomes the table that follows.
static bool parse_header(Parser *p, TomlValue *root, TomlValue **table) {
  bool is_array = looking_at(p, "[[");
  p->at += is_array ? 2 : 1;
  p->section++;
  skip_blanks(p);
  const char *at = p->at;
  if (!parse_key(p, p->key)) return false;
  if (!take(p, is_array ? "]]" : "]"))
    return fail_hint(p, is_array ? "expected ]]" : "expected ]", "toml::parse_file: invalid table key");
  *table = root;
  for (uint32_t i = 0; i + 1 < p->key->count; i++)
    if (!descend_header(p, at, p->key->parts[i], table)) return false;
  Span last = p->key->parts[p->key->count - 1];
  return is_array ? open_array_table(p, at, last, table) : open_table(p, at, last, table);
}

static bool parse_document(Parser *p, TomlValue *root) {
  TomlValue *table = root;
  (void)take(p, "\xef\xbb\xbf");
  while (p->at < p->end) {
    skip_blanks(p);
    bool is_header = peek(p) == '[';
    if (is_header) {
      if (!parse_header(p, root, &table)) return false;
    } else if (p->at < p->end && peek(p) != '#' && !at_newline(p)) {
      if (!parse_key_value(p, table)) return false;
    }
    skip_blanks(p);
    if (!skip_comment(p)) return false;
    if (p->at < p->end && !take_newline(p))
      return fail(p, is_header ? "toml::parse_file: newline (or EOF) expected"
                               : "toml::parse_table: newline (LF / CRLF) or EOF is expected");
  }
  return true;
}

const TomlValue *toml_parse(Span source, Arena *arena, Err *err) {
  const char *start = source.data ? source.data : "";
  Parser p = {.start = start, .at = start, .end = start + source.len, .arena = arena, .err = err, .section = 1};
  TomlValue *root = new_value(&p, TOML_TABLE, 0);
  p.key = mem_alloc(sizeof *p.key);
  bool ok = parse_document(&p, root);
  mem_free(p.key);
  buf_done(&p.scratch);
  return ok ? root : NULL;
}
