// builtins_convert.c: JSON, TOML and XML.
#include "base/mem.h"
#include "eval/builtins/builtins_util.h"
#include "eval/builtins/registry.h"
#include "eval/print_json.h"
#include "eval/print_xml.h"
#include "formats/json_read.h"
#include "formats/toml.h"

static Step to_json_step(Native *n) {
  NATIVE_BEGIN(n);
  n->args[0] = n->slot[0];
  n->args[1] = value_raw(PRINT_JSON_COPY);
  NATIVE_PUSH(n, &print_json_native);
  NATIVE_RETURN(n, n->result);
  NATIVE_END;
}

static const NativeDef to_json_native = {.name = "toJSON", .step = to_json_step, .arg_count = 1, .slot_count = 1};

static Step to_xml_step(Native *n) {
  NATIVE_BEGIN(n);
  n->args[0] = n->slot[0];
  n->args[1] = value_raw(PRINT_XML_STRICT);
  NATIVE_PUSH(n, &print_xml_native);
  NATIVE_RETURN(n, n->result);
  NATIVE_END;
}

static const NativeDef to_xml_native = {.name = "toXML", .step = to_xml_step, .arg_count = 1, .slot_count = 1};

// ---- values from events ----
//
// Open objects and arrays are an array of builders. Everything happens between two safepoints, so the builders may hold values.

// Objects at one level mostly have the same keys in the same order. What the last one had is expected of the next: while that holds, a key is one
// comparison, and the set is filled in without sorting.
typedef struct ExpectedKeys {
  Sym *keys;       // owned; in the order of the text
  uint32_t *slots; // owned; where their values are in the shape
  uint32_t count, cap;
  Shape *shape; // NULL: nothing is expected
} ExpectedKeys;

typedef struct OpenValue {
  bool is_object, is_expected; // so far the keys were the expected ones
  Sym key;                     // of the value being read
  AttrsBuilder attrs;
  ListBuilder list;
  ExpectedKeys expected;
} OpenValue;

typedef struct ValueStack {
  Vm *vm;
  OpenValue *open; // owned; builders above `depth` are empty and keep their memory
  size_t depth, ready, cap;
  Value result;
} ValueStack;

static void stack_put(ValueStack *s, Value v) {
  if (!s->depth) {
    s->result = v;
    return;
  }
  OpenValue *top = &s->open[s->depth - 1];
  if (top->is_object) attrs_builder_add(&top->attrs, top->key, v, 0);
  else list_builder_add(&top->list, v);
}

static void stack_open(ValueStack *s, bool is_object) {
  MEM_RESERVE(s->open, s->cap, s->depth + 1);
  if (s->depth == s->ready) s->open[s->ready++] = (OpenValue){.attrs = ATTRS_BUILDER_INIT, .list = LIST_BUILDER_INIT};
  OpenValue *top = &s->open[s->depth++];
  top->is_object = is_object;
  top->is_expected = top->expected.shape != NULL;
}

static void stack_key(ValueStack *s, Span text) {
  OpenValue *top = &s->open[s->depth - 1];
  const ExpectedKeys *expected = &top->expected;
  uint32_t number = top->attrs.count;
  if (top->is_expected && number < expected->count &&
      span_eq(symbol_text(s->vm->symbols, expected->keys[number]), text)) {
    top->key = expected->keys[number];
    return;
  }
  top->is_expected = false;
  top->key = symbol_intern(s->vm->symbols, text);
}

// The set of the keys that were expected.
static Value object_as_expected(Vm *vm, OpenValue *object) {
  const ExpectedKeys *expected = &object->expected;
  Attrs *set = attrs_new(vm, expected->shape);
  for (uint32_t i = 0; i < expected->count; i++) set->slots[expected->slots[i]] = object->attrs.items[i].value;
  object->attrs.count = 0;
  return attrs_value(set);
}

static Value object_finish(Vm *vm, OpenValue *object) {
  ExpectedKeys *expected = &object->expected;
  uint32_t count = object->attrs.count;
  if (object->is_expected && count == expected->count) return object_as_expected(vm, object);
  if (count > expected->cap) {
    expected->cap = count;
    expected->keys = mem_realloc_array(expected->keys, count, sizeof *expected->keys);
    expected->slots = mem_realloc_array(expected->slots, count, sizeof *expected->slots);
  }
  for (uint32_t i = 0; i < count; i++) expected->keys[i] = object->attrs.items[i].name;
  Value set = attrs_builder_finish(vm, &object->attrs, false);
  bool has_repetitions = count != attrs_count(set);
  expected->shape = count && !has_repetitions ? attrs_flat_shape(set) : NULL;
  expected->count = count;
  for (uint32_t i = 0; expected->shape && i < count; i++)
    expected->slots[i] = shape_find(expected->shape, expected->keys[i]);
  return set;
}

static void stack_close(ValueStack *s) {
  OpenValue *top = &s->open[--s->depth];
  Value v = top->is_object ? object_finish(s->vm, top) : list_from(s->vm, top->list.items, top->list.count);
  top->list.count = 0;
  stack_put(s, v);
}

static void stack_done(ValueStack *s) {
  for (size_t i = 0; i < s->ready; i++) {
    attrs_builder_done(&s->open[i].attrs);
    list_builder_done(&s->open[i].list);
    mem_free(s->open[i].expected.keys);
    mem_free(s->open[i].expected.slots);
  }
  mem_free(s->open);
}

// Nix strings have no zero bytes.
static bool check_no_nul(Vm *vm, Span s) {
  if (!s.len || !memchr(s.data, 0, s.len)) return true;
  Buf shown = BUF_INIT;
  for (size_t i = 0; i < s.len; i++) {
    if (s.data[i]) buf_put_char(&shown, s.data[i]);
    else buf_put_cstr(&shown, "␀");
  }
  eval_error(vm, EVAL_ERROR_EVAL, 0,
             "input string '%s' cannot be represented as Nix string because it contains null bytes", buf_cstr(&shown));
  buf_done(&shown);
  return false;
}

static bool put_json_event(ValueStack *s, const JsonRead *json, JsonEvent event) {
  switch (event) {
  case JSON_NULL: stack_put(s, VALUE_NULL); break;
  case JSON_BOOL: stack_put(s, value_bool(json->boolean)); break;
  case JSON_INT: stack_put(s, vm_int(s->vm, json->integer)); break;
  case JSON_UINT:
    if (json->uinteger > INT64_MAX) {
      eval_error(s->vm, EVAL_ERROR_EVAL, 0, "unsigned json number %llu outside of Nix integer range",
                 (unsigned long long)json->uinteger);
      return false;
    }
    stack_put(s, vm_int(s->vm, (int64_t)json->uinteger));
    break;
  case JSON_FLOAT: stack_put(s, vm_float(s->vm, json->number)); break;
  case JSON_STRING:
    if (json->has_escapes && !check_no_nul(s->vm, json->string)) return false;
    stack_put(s, str_plain(s->vm, json->string));
    break;
  case JSON_KEY:
    if (json->has_escapes && !check_no_nul(s->vm, json->string)) return false;
    stack_key(s, json->string);
    break;
  case JSON_OBJECT_BEGIN: stack_open(s, true); break;
  case JSON_ARRAY_BEGIN: stack_open(s, false); break;
  case JSON_OBJECT_END:
  case JSON_ARRAY_END: stack_close(s); break;
  case JSON_END:
  case JSON_ERROR: break;
  }
  return true;
}

static Value from_json_fn(Vm *vm, Value *args) {
  if (!expect_text(vm, args[0], ARG1 "fromJSON")) return VALUE_ERROR;
  ValueStack stack = {.vm = vm, .result = VALUE_ERROR};
  JsonRead json;
  json_read_init(&json, str_span(args[0]));
  Err err = ERR_INIT;
  JsonEvent event;
  do {
    event = json_read_next(&json, &err);
    if (event == JSON_ERROR) {
      stack.result = eval_error_from_err(vm, EVAL_ERROR_EVAL, 0, &err);
      eval_error_trace(vm, 0, "while decoding a JSON string");
    } else if (!put_json_event(&stack, &json, event)) {
      stack.result = VALUE_ERROR;
      event = JSON_ERROR;
    }
  } while (event != JSON_END && event != JSON_ERROR);
  json_read_done(&json);
  stack_done(&stack);
  return stack.result;
}

// ---- TOML ----

static Value toml_value(Vm *vm, const TomlValue *toml);

static Value toml_table(Vm *vm, const TomlValue *toml) {
  AttrsBuilder attrs = ATTRS_BUILDER_INIT;
  bool ok = true;
  for (uint32_t i = 0; i < toml->count && ok; i++) {
    const TomlEntry *entry = &toml->table.entries[i];
    Value v = check_no_nul(vm, entry->key) ? toml_value(vm, entry->value) : VALUE_ERROR;
    ok = v != VALUE_ERROR;
    attrs_builder_add(&attrs, symbol_intern(vm->symbols, entry->key), v, 0);
  }
  Value set = ok ? attrs_builder_finish(vm, &attrs, false) : VALUE_ERROR;
  attrs_builder_done(&attrs);
  return set;
}

static Value toml_array(Vm *vm, const TomlValue *toml) {
  if (!toml->count) return VALUE_EMPTY_LIST;
  List *list = list_new(vm, toml->count);
  for (uint32_t i = 0; i < toml->count; i++) {
    list->items[i] = toml_value(vm, toml->items[i]);
    if (list->items[i] == VALUE_ERROR) return VALUE_ERROR;
  }
  return list_value(list);
}

// { _type = "timestamp"; value = "..."; }, with the experimental feature.
static Value toml_timestamp(Vm *vm, const TomlValue *toml) {
  if (!vm->settings.parse_toml_timestamps)
    return eval_error(vm, EVAL_ERROR_EVAL, 0, "Dates and times are not supported");
  AttrsBuilder attrs = ATTRS_BUILDER_INIT;
  attrs_builder_add(&attrs, symbol_intern(vm->symbols, SPAN("_type")), str_plain(vm, SPAN("timestamp")), 0);
  attrs_builder_add(&attrs, SYM_value, str_plain(vm, toml->text), 0);
  Value set = attrs_builder_finish(vm, &attrs, false);
  attrs_builder_done(&attrs);
  return set;
}

// Recursion is bounded by TOML_MAX_DEPTH.
static Value toml_value(Vm *vm, const TomlValue *toml) {
  switch ((TomlKind)toml->kind) {
  case TOML_TABLE: return toml_table(vm, toml);
  case TOML_ARRAY: return toml_array(vm, toml);
  case TOML_STRING: return check_no_nul(vm, toml->text) ? str_plain(vm, toml->text) : VALUE_ERROR;
  case TOML_INTEGER: return vm_int(vm, toml->integer);
  case TOML_FLOAT: return vm_float(vm, toml->floating);
  case TOML_BOOLEAN: return value_bool(toml->boolean);
  case TOML_OFFSET_DATE_TIME:
  case TOML_LOCAL_DATE_TIME:
  case TOML_LOCAL_DATE:
  case TOML_LOCAL_TIME: break;
  }
  return toml_timestamp(vm, toml);
}

// Whatever goes wrong is put behind "while parsing TOML: ", as Nix does with the messages of its library and, marked, with its own.
static Value toml_failed(Vm *vm) {
  EvalError *error = eval_error_take(vm);
  bool of_nix = span_has_prefix(buf_span(&error->message), SPAN("input string "));
  eval_error(vm, EVAL_ERROR_EVAL, 0, "while parsing TOML: %s%s", of_nix ? "error: " : "", buf_cstr(&error->message));
  eval_error_free(error);
  return VALUE_ERROR;
}

static Value from_toml_fn(Vm *vm, Value *args) {
  if (!expect_text(vm, args[0], ARG "fromTOML")) return VALUE_ERROR;
  Arena arena = ARENA_INIT;
  Err err = ERR_INIT;
  const TomlValue *root = toml_parse(str_span(args[0]), &arena, &err);
  Value v = root ? toml_value(vm, root) : eval_error_from_err(vm, EVAL_ERROR_EVAL, 0, &err);
  arena_done(&arena);
  return v == VALUE_ERROR ? toml_failed(vm) : v;
}

static const Builtin rows[] = {
    {"toJSON",
     1,
     0,
     0,
     NULL,
     &to_json_native,
     "e",
     "Return *e* as JSON text. Sets with `outPath` (derivations) and with `__toString` become strings, paths are "
     "copied to the store and become "
     "the store path; functions cannot be converted.",
     NULL,
     {NULL}},
    {"fromJSON",
     1,
     1,
     0,
     from_json_fn,
     NULL,
     "e",
     "Return the value of the JSON text *e*.\n\n"
     "```nix\nbuiltins.fromJSON ''{ \"x\": [ 1, 2 ], \"y\": null }''\n```\n\nis `{ x = [ 1 2 ]; y = null; }`.",
     "s",
     {ARG1 "fromJSON"}},
    {"fromTOML",
     1,
     1,
     BUILTIN_GLOBAL,
     from_toml_fn,
     NULL,
     "e",
     "Return the value of the TOML text *e*.\n\n"
     "```nix\nbuiltins.fromTOML ''\n  x = 1\n  [table]\n  y = 2\n''\n```\n\nis `{ table = { y = 2; }; x = 1; }`.",
     "s",
     {ARG "fromTOML"}},
    {"toXML",
     1,
     0,
     0,
     NULL,
     &to_xml_native,
     "e",
     "Return *e* as XML text, for programs that transform it. Derivations are elements of their own, and functions are "
     "written as their "
     "patterns.\n\n```nix\nbuiltins.toXML [ 1 { a = \"b\"; } ]\n```",
     NULL,
     {NULL}},
};

const BuiltinTable builtins_convert_table = {rows, ARRAY_LEN(rows)};
