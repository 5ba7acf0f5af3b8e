// print_json.c: see print_json.h. One native frame for each set or list that is open; all of them write into the text of one PrintWriter.
#include "eval/print_json.h"

#include "eval/attrs.h"
#include "eval/list.h"
#include "eval/print.h"
#include "eval/print_writer.h"
#include "eval/str.h"
#include "formats/json_write.h"

// POS: where Nix says the value is, the attribute around it.
enum { VALUE, WRITER, POS, I, IN_ITEM, SLOT_COUNT };

static bool json_put_string(Vm *vm, Span s, Buf *out) {
  Err err = ERR_INIT;
  if (json_write_string(out, s, &err)) return true;
  eval_error(vm, EVAL_ERROR_EVAL, 0, "JSON serialization error: %s", err_message(&err));
  err_done(&err);
  return false;
}

// Values that are one token. `is_scalar` tells which they are.
static bool json_is_scalar(Value v, int64_t flags) {
  switch (value_type(v)) {
  case TYPE_INT:
  case TYPE_FLOAT:
  case TYPE_BOOL:
  case TYPE_NULL:
  case TYPE_STRING: return true;
  case TYPE_PATH: return !(flags & PRINT_JSON_COPY);
  case TYPE_ATTRS:
  case TYPE_LIST:
  case TYPE_LAMBDA:
  case TYPE_THUNK: break;
  }
  return false;
}

static bool json_put_scalar(Vm *vm, Value v, PrintWriter *writer) {
  Buf *out = &writer->text;
  if (value_is_string(v)) print_writer_add_context(vm, writer, v);
  if (value_is_string(v) || value_is_path(v)) return json_put_string(vm, str_span(v), out);
  if (value_is_float(v)) json_write_double(out, value_get_float(v));
  else if (value_is_int(v)) json_write_i64(out, value_get_int(v));
  else buf_put_cstr(out, v == VALUE_NULL ? "null" : v == VALUE_TRUE ? "true" : "false");
  return true;
}

static size_t json_count(const Native *n) {
  Value v = n->slot[VALUE];
  if (!value_is_attrs(v)) return list_count(v);
  return v == VALUE_EMPTY_ATTRS ? 0 : attrs_flat_shape(v)->count;
}

// Whether Nix has a thunk there.
static bool json_is_unevaluated(Value raw) {
  while (value_tag(raw) == TAG_THUNK && head_type(value_head(raw)) == T_IND) {
    if (head_flags(value_head(raw)) & IND_UNASKED) return true;
    raw = ((Thunk *)value_ptr(raw))->value;
  }
  return !value_is_whnf(raw);
}

static Value json_item(Native *n, size_t i) {
  Value v = n->slot[VALUE];
  if (print_writer(n, WRITER)->flags & PRINT_JSON_LAZY) {
    Value raw = value_tag(v) == TAG_ATTRS ? attrs_flat(v)->slots[i] : list_get(n->vm, v, i);
    if (value_tag(raw) != TAG_LAZY && json_is_unevaluated(raw)) return raw;
  }
  return value_ask(value_is_attrs(v) ? attrs_slot(n->vm, v, (uint32_t)i) : list_get(n->vm, v, i));
}

static Span json_key(const Native *n, size_t i) {
  return symbol_text(n->vm->symbols, attrs_flat_shape(n->slot[VALUE])->names[i]);
}

static PosId json_item_pos(const Native *n) {
  return shape_position(attrs_flat_shape(n->slot[VALUE]), (uint32_t)native_get(n, I));
}

// Writes items from I on up to one that needs a frame of its own: then *ret_item is that item. VALUE_ABSENT at the end.
static bool json_put_items(Native *n, Value *ret_item) {
  Vm *vm = n->vm;
  PrintWriter *writer = print_writer(n, WRITER);
  Buf *out = &writer->text;
  bool is_attrs = value_is_attrs(n->slot[VALUE]), ok = true;
  size_t count = json_count(n), i = (size_t)native_get(n, I);
  *ret_item = VALUE_ABSENT;
  if (i == 0) buf_put_char(out, is_attrs ? '{' : '[');
  for (; i < count && ok; i++) {
    if (i) buf_put_char(out, ',');
    if (is_attrs) {
      ok = json_put_string(vm, json_key(n, i), out);
      buf_put_char(out, ':');
    }
    Value item = json_item(n, i);
    if (!json_is_scalar(item, writer->flags)) {
      *ret_item = item;
      break;
    }
    ok = ok && json_put_scalar(vm, item, writer);
  }
  if (i == count) buf_put_char(out, is_attrs ? '}' : ']');
  native_set(n, I, (int64_t)i);
  return ok;
}

static bool json_put_value(Native *n) {
  Value v = n->slot[VALUE];
  if (json_is_scalar(v, 0)) return json_put_scalar(n->vm, v, print_writer(n, WRITER));
  PosId pos = value_is_closure(v) || value_is_obj(v, T_PAP) ? vm_function_pos(n->vm, v) : 0;
  eval_error(n->vm, EVAL_ERROR_TYPE, pos ? pos : (PosId)native_get(n, POS), "cannot convert %s to JSON",
             eval_error_type_phrase(n->vm, v));
  return false;
}

static const NativeDef json_native;

static Step json_step(Native *n) {
  NATIVE_BEGIN(n);
  native_set(n, IN_ITEM, 0);
  if (print_writer(n, WRITER)->flags & PRINT_JSON_LAZY && json_is_unevaluated(n->slot[VALUE])) {
    eval_error(n->vm, EVAL_ERROR_TYPE, (PosId)native_get(n, POS), "cannot convert a thunk to JSON");
    return STEP_ERROR;
  }
  NATIVE_FORCE(n, n->slot[VALUE]);
  n->slot[VALUE] = n->result;
  if (value_is_attrs(n->result) && !attrs_has(n->result, SYM_to_string) && attrs_has(n->result, SYM_out_path)) {
    // Written as its outPath, which may be the set itself.
    n->args[0] = attrs_get(n->vm, n->result, SYM_out_path);
    n->args[1] = n->slot[WRITER];
    n->args[2] = value_int(attrs_position(n->result, SYM_out_path));
    NATIVE_PUSH(n, &json_native);
    return STEP_RETURN;
  }
  if ((value_is_attrs(n->slot[VALUE]) && attrs_has(n->slot[VALUE], SYM_to_string)) ||
      (value_is_path(n->slot[VALUE]) && print_writer(n, WRITER)->flags & PRINT_JSON_COPY)) {
    n->args[0] = n->slot[VALUE];
    n->args[1] = value_raw(value_is_path(n->slot[VALUE]) ? COERCE_COPY : 0);
    NATIVE_PUSH(n, &native_coerce_string);
    n->slot[VALUE] = n->result;
  }
  if (!value_is_attrs(n->slot[VALUE]) && !value_is_list(n->slot[VALUE])) {
    if (!json_put_value(n)) return STEP_ERROR;
    NATIVE_RETURN(n, VALUE_NULL);
  }
  if (value_is_attrs(n->slot[VALUE])) n->slot[VALUE] = attrs_flatten(n->vm, n->slot[VALUE]);
  native_set(n, I, 0);
  for (;;) {
    if (!json_put_items(n, &n->args[0])) return STEP_ERROR;
    if (n->args[0] == VALUE_ABSENT) NATIVE_RETURN(n, VALUE_NULL);
    n->args[1] = n->slot[WRITER];
    n->args[2] = value_is_attrs(n->slot[VALUE]) ? value_int(json_item_pos(n)) : n->slot[POS];
    native_set(n, IN_ITEM, 1);
    NATIVE_PUSH(n, &json_native);
    native_set(n, IN_ITEM, 0);
    native_add(n, I, 1);
    if ((size_t)native_get(n, I) < json_count(n)) continue;
    buf_put_char(&print_writer(n, WRITER)->text, value_is_attrs(n->slot[VALUE]) ? '}' : ']');
    NATIVE_RETURN(n, VALUE_NULL);
  }
  NATIVE_END;
}

static void json_trace(Native *n) {
  if (native_get(n, IN_ITEM) != 1) return;
  size_t i = (size_t)native_get(n, I);
  if (!value_is_attrs(n->slot[VALUE])) {
    eval_error_trace(n->vm, (PosId)native_get(n, POS), "while evaluating list element at index %zu", i);
    return;
  }
  Buf name = BUF_INIT;
  print_attr_name(json_key(n, i), &name);
  eval_error_trace(n->vm, json_item_pos(n), "while evaluating attribute '%s'", buf_cstr(&name));
  buf_done(&name);
}

static void json_sparks(Native *n, SparkSink *sink) {
  if (native_get(n, IN_ITEM) != 1) return;
  for (size_t i = (size_t)native_get(n, I) + 1; i < json_count(n); i++) spark_add(sink, json_item(n, i));
}

static const NativeDef json_native = {.name = "JSON",
                                      .step = json_step,
                                      .arg_count = 3,
                                      .slot_count = SLOT_COUNT,
                                      .trace = json_trace,
                                      .sparks = json_sparks};

static Step print_json_step(Native *n) {
  NATIVE_BEGIN(n);
  print_writer_begin(n);
  n->args[0] = n->slot[PRINT_WRITER_VALUE];
  n->args[1] = n->slot[PRINT_WRITER];
  n->args[2] = value_int(0);
  NATIVE_PUSH(n, &json_native);
  return print_writer_end(n);
  NATIVE_END;
}

const NativeDef print_json_native = {.name = "toJSON",
                                     .step = print_json_step,
                                     .arg_count = 2,
                                     .slot_count = PRINT_WRITER_SLOT_COUNT,
                                     .drop = print_writer_drop};
