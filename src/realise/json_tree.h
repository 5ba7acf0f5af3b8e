// json_tree.h: a JSON document as a tree in an arena, for structured attributes: read, looked into, extended and written again as
// nlohmann::json does it (members sorted by key, the last of equal keys counts).
//
// Test: test/realise/json_tree_test.c.
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define JSON_TREE_DEPTH_MAX 1000u // of nesting; deeper documents are refused

typedef enum JsonTreeKind {
  JSON_TREE_NULL,
  JSON_TREE_BOOL,
  JSON_TREE_INT,
  JSON_TREE_UINT,
  JSON_TREE_FLOAT,
  JSON_TREE_STRING,
  JSON_TREE_ARRAY,
  JSON_TREE_OBJECT,
} JsonTreeKind;

typedef struct JsonTree {
  JsonTreeKind kind;
  union {
    bool boolean;
    int64_t integer;
    uint64_t uinteger;
    double number;
  };
  Span string;            // STRING
  Span key;               // of a member of an object
  struct JsonTree *items; // ARRAY, OBJECT (sorted by key, unique)
  size_t count;
} JsonTree;

MUST_CHECK bool json_tree_parse(Span text, Arena *arena, JsonTree *ret, Err *err);
// Compact. Fails on strings that are not UTF-8.
MUST_CHECK bool json_tree_format(const JsonTree *tree, Buf *ret, Err *err);
// NULL when `tree` is no object or has no such member.
const JsonTree *json_tree_get(const JsonTree *tree, Span key);
// Adds or replaces a member of an object; `value.key` is set.
void json_tree_set(JsonTree *tree, Arena *arena, Span key, JsonTree value);
JsonTree json_tree_string(Span text); // borrowed
