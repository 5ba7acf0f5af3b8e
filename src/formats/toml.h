// toml.h: TOML 1.0 documents -> a tree in an arena.
//
//   document   = { expression newline }
//   expression = key "=" value | "[" key "]" | "[[" key "]]"            each optional, then an optional comment
//   key        = part { "." part }        part: A-Z a-z 0-9 _ -, "basic" or 'literal'
//   value      = string | integer | float | boolean | date, time or both | "[" values "]" | "{" key "=" value, ... "}"
//
// What may be defined where (specification, "Table" to "Array of Tables"): a table has one [header]; dotted keys make tables that no
// header and no other section may open again; inline tables and arrays are closed once written; [[x]] appends to an array
// that [[x]] began. https://toml.io/en/v1.0.0
#pragma once

#include "base/arena.h"
#include "base/err.h"

// Of tables and arrays within each other, so that a tree can be walked by recursion.
#define TOML_MAX_DEPTH 1000

typedef enum TomlKind {
  TOML_TABLE,
  TOML_ARRAY,
  TOML_STRING,
  TOML_INTEGER,
  TOML_FLOAT,
  TOML_BOOLEAN,
  // `text` is the normal form: T between date and time, Z for +00:00, no fraction or one of 3, 6 or 9 digits.
  TOML_OFFSET_DATE_TIME,
  TOML_LOCAL_DATE_TIME,
  TOML_LOCAL_DATE,
  TOML_LOCAL_TIME,
} TomlKind;

typedef struct TomlEntry {
  Span key;
  struct TomlValue *value;
} TomlEntry;

typedef struct TomlValue {
  uint8_t kind; // TomlKind
  // The parser's own: closed (inline), defined by a header, where dotted keys made it, how deep it lies.
  bool closed_, header_;
  uint32_t section_, depth_;
  uint32_t count; // of entries or items
  uint32_t cap_;
  union {
    Span text; // may hold NUL bytes (\u0000); otherwise valid UTF-8
    int64_t integer;
    double floating;
    bool boolean;
    struct TomlValue **items;
    struct {
      TomlEntry *entries; // order of definition, unique keys
      uint32_t *index_;   // of large tables: number of the entry + 1 by hash
    } table;
  };
} TomlValue;

// The root table, in the arena (texts may point into `source`, which must live as long). NULL and ERR_SYNTAX otherwise; the message
// is laid out as builtins.fromTOML of C++ Nix (toml11) does it, over several lines, with a newline at the end:
//
//   [error] what is wrong
//    --> fromTOML
//      |
//    7 | the line = 1_
//      |              ^-- here
//
// Law: agrees with Python's tomllib on what is valid and what it means (toml_differential.py), except that integers have 64
// bits, and floats must not overflow.
const TomlValue *toml_parse(Span source, Arena *arena, Err *err);
// Borrowed, or NULL.
const TomlValue *toml_find(const TomlValue *table, Span key);
