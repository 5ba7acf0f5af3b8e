// json_tree.c: see json_tree.h.
#include "realise/json_tree.h"

#include <stdlib.h>

#include "formats/json_read.h"
#include "formats/json_write.h"

// Children are collected in one stack for the whole document and copied to the arena when their parent ends.
typedef struct Parser {
  JsonRead json;
  Arena *arena;
  JsonTree *stack;
  size_t count, cap;
} Parser;

static bool parse_value(Parser *parser, JsonEvent event, unsigned depth, JsonTree *ret, Err *err);

static int cmp_member(const void *a, const void *b) {
  return span_cmp(((const JsonTree *)a)->key, ((const JsonTree *)b)->key);
}

// Members arrive in document order; a stable sort is needed so that the last of equal keys can be told. qsort promises none, so
// only documents that are not sorted already pay for insertion by search.
static void add_member(Parser *parser, size_t first, JsonTree member) {
  size_t low = first, high = parser->count;
  if (high == first || span_cmp(parser->stack[high - 1].key, member.key) < 0) low = high;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (span_cmp(parser->stack[middle].key, member.key) < 0) low = middle + 1;
    else high = middle;
  }
  if (low < parser->count && span_eq(parser->stack[low].key, member.key)) {
    parser->stack[low] = member;
    return;
  }
  MEM_RESERVE(parser->stack, parser->cap, parser->count + 1);
  memmove(parser->stack + low + 1, parser->stack + low, (parser->count - low) * sizeof *parser->stack);
  parser->stack[low] = member;
  parser->count++;
}

static void take_children(Parser *parser, size_t first, JsonTree *ret) {
  ret->count = parser->count - first;
  ret->items = ARENA_ARRAY(parser->arena, JsonTree, ret->count);
  if (ret->count) memcpy(ret->items, parser->stack + first, ret->count * sizeof *ret->items);
  parser->count = first;
}

static bool parse_array(Parser *parser, unsigned depth, JsonTree *ret, Err *err) {
  size_t first = parser->count;
  ret->kind = JSON_TREE_ARRAY;
  for (;;) {
    JsonEvent event = json_read_next(&parser->json, err);
    if (event == JSON_ARRAY_END) break;
    JsonTree item;
    if (!parse_value(parser, event, depth + 1, &item, err)) return false;
    MEM_RESERVE(parser->stack, parser->cap, parser->count + 1);
    parser->stack[parser->count++] = item;
  }
  take_children(parser, first, ret);
  return true;
}

static bool parse_object(Parser *parser, unsigned depth, JsonTree *ret, Err *err) {
  size_t first = parser->count;
  ret->kind = JSON_TREE_OBJECT;
  for (;;) {
    JsonEvent event = json_read_next(&parser->json, err);
    if (event == JSON_OBJECT_END) break;
    if (event != JSON_KEY) return false;
    Span key = arena_dup(parser->arena, parser->json.string);
    JsonTree member;
    if (!parse_value(parser, json_read_next(&parser->json, err), depth + 1, &member, err)) return false;
    member.key = key;
    add_member(parser, first, member);
  }
  take_children(parser, first, ret);
  return true;
}

static bool parse_value(Parser *parser, JsonEvent event, unsigned depth, JsonTree *ret, Err *err) {
  *ret = (JsonTree){.kind = JSON_TREE_NULL};
  if (depth > JSON_TREE_DEPTH_MAX)
    return err_set(err, ERR_LIMIT, "JSON nested more than %u levels deep", JSON_TREE_DEPTH_MAX);
  switch (event) {
  case JSON_NULL: return true;
  case JSON_BOOL:
    ret->kind = JSON_TREE_BOOL;
    ret->boolean = parser->json.boolean;
    return true;
  case JSON_INT:
    ret->kind = JSON_TREE_INT;
    ret->integer = parser->json.integer;
    return true;
  case JSON_UINT:
    ret->kind = JSON_TREE_UINT;
    ret->uinteger = parser->json.uinteger;
    return true;
  case JSON_FLOAT:
    ret->kind = JSON_TREE_FLOAT;
    ret->number = parser->json.number;
    return true;
  case JSON_STRING:
    ret->kind = JSON_TREE_STRING;
    ret->string = arena_dup(parser->arena, parser->json.string);
    return true;
  case JSON_ARRAY_BEGIN: return parse_array(parser, depth, ret, err);
  case JSON_OBJECT_BEGIN: return parse_object(parser, depth, ret, err);
  case JSON_ERROR:
  case JSON_END:
  case JSON_KEY:
  case JSON_OBJECT_END:
  case JSON_ARRAY_END: break;
  }
  return false; // JSON_ERROR; the reader lets no other event through here
}

bool json_tree_parse(Span text, Arena *arena, JsonTree *ret, Err *err) {
  Parser parser = {.arena = arena};
  json_read_init(&parser.json, text);
  bool ok = parse_value(&parser, json_read_next(&parser.json, err), 0, ret, err) &&
            json_read_next(&parser.json, err) == JSON_END;
  json_read_done(&parser.json);
  mem_free(parser.stack);
  return ok;
}

static bool format_value(const JsonTree *tree, JsonWrite *json, Err *err) {
  bool ok = true;
  switch (tree->kind) {
  case JSON_TREE_NULL: json_write_null(json); break;
  case JSON_TREE_BOOL: json_write_bool(json, tree->boolean); break;
  case JSON_TREE_INT: json_write_int(json, tree->integer); break;
  case JSON_TREE_UINT: json_write_uint(json, tree->uinteger); break;
  case JSON_TREE_FLOAT: json_write_float(json, tree->number); break;
  case JSON_TREE_STRING: return json_write_str(json, tree->string, err);
  case JSON_TREE_ARRAY:
    json_write_array_begin(json);
    for (size_t i = 0; ok && i < tree->count; i++) ok = format_value(&tree->items[i], json, err);
    json_write_array_end(json);
    break;
  case JSON_TREE_OBJECT:
    json_write_object_begin(json);
    for (size_t i = 0; ok && i < tree->count; i++)
      ok = json_write_key(json, tree->items[i].key, err) && format_value(&tree->items[i], json, err);
    json_write_object_end(json);
    break;
  }
  return ok;
}

bool json_tree_format(const JsonTree *tree, Buf *ret, Err *err) {
  JsonWrite json;
  json_write_init(&json, ret, 0);
  return format_value(tree, &json, err);
}

const JsonTree *json_tree_get(const JsonTree *tree, Span key) {
  if (!tree || tree->kind != JSON_TREE_OBJECT || !tree->count) return NULL;
  JsonTree wanted = {.key = key};
  return bsearch(&wanted, tree->items, tree->count, sizeof *tree->items, cmp_member);
}

void json_tree_set(JsonTree *tree, Arena *arena, Span key, JsonTree value) {
  value.key = key;
  size_t at = 0;
  while (at < tree->count && span_cmp(tree->items[at].key, key) < 0) at++;
  if (at < tree->count && span_eq(tree->items[at].key, key)) {
    tree->items[at] = value;
    return;
  }
  JsonTree *items = ARENA_ARRAY(arena, JsonTree, tree->count + 1);
  if (at) memcpy(items, tree->items, at * sizeof *items);
  if (tree->count > at) memcpy(items + at + 1, tree->items + at, (tree->count - at) * sizeof *items);
  items[at] = value;
  tree->items = items;
  tree->count++;
}

JsonTree json_tree_string(Span text) {
  return (JsonTree){.kind = JSON_TREE_STRING, .string = text};
}
