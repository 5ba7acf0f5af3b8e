// print_xml.c: see print_xml.h. One native frame for each set or list that is open, as in print_json.c. The format is that of
// libexpr/value-to-xml.cc of Nix: attributes of elements in alphabetic order, two blanks a level.
#include "eval/print_xml.h"

#include "eval/attrs.h"
#include "eval/list.h"
#include "eval/print.h"
#include "eval/str.h"

// SEEN: a list of one item, the table of symbols of derivations that were written already.
enum { VALUE, FLAGS, OUT, DEPTH, SEEN, I, DRV_PATH, OUT_PATH, SLOT_COUNT };

#define SEEN_MIN 64
#define XML_MAX_DEPTH 20000 // indentation makes the text quadratic in the depth

static void xml_indent(Buf *out, int64_t depth) {
  buf_put_repeat(out, ' ', (size_t)depth * 2);
}

static const char *xml_entity(char c) {
  switch (c) {
  case '"': return "&quot;";
  case '<': return "&lt;";
  case '>': return "&gt;";
  case '&': return "&amp;";
  case '\n': return "&#xA;"; // else a reader may turn it into a blank
  default: return NULL;
  }
}

static void xml_attr(Buf *out, const char *name, Span value) {
  buf_put_char(out, ' ');
  buf_put_cstr(out, name);
  buf_put_cstr(out, "=\"");
  size_t done = 0;
  for (size_t i = 0; i < value.len; i++) {
    const char *entity = xml_entity(value.data[i]);
    if (!entity) continue;
    buf_put(out, value.data + done, i - done);
    buf_put_cstr(out, entity);
    done = i + 1;
  }
  buf_put(out, value.data + done, value.len - done);
  buf_put_char(out, '"');
}

static void xml_append(Native *n, Buf *text, const Context *context) {
  context = context_union(n->vm->contexts, str_context(n->slot[OUT]), context);
  n->slot[OUT] = str_concat(n->vm, n->slot[OUT], str_plain(n->vm, buf_span(text)), context);
  buf_done(text);
}

static void xml_append_line(Native *n, int64_t depth, const char *text) {
  Buf out = BUF_INIT;
  xml_indent(&out, depth);
  buf_put_cstr(&out, text);
  buf_put_char(&out, '\n');
  xml_append(n, &out, NULL);
}

// column, line and (behind `name`) path.
static void xml_position(Native *n, Buf *out, PosId id, const char *name, Span name_value) {
  Pos pos;
  bool known = native_get(n, FLAGS) & PRINT_XML_LOCATION && pos_resolve(n->vm->positions, id, &pos);
  if (known) {
    buf_put_cstr(out, " column=\"");
    buf_put_i64(out, pos.column);
    buf_put_cstr(out, "\" line=\"");
    buf_put_i64(out, pos.line);
    buf_put_char(out, '"');
  }
  if (name) xml_attr(out, name, name_value);
  if (known && pos.source->path) xml_attr(out, "path", span_cstr(pos.source->path));
}

static void xml_put_function(Native *n) {
  Vm *vm = n->vm;
  Value v = n->slot[VALUE];
  int64_t depth = native_get(n, DEPTH);
  VmPattern pattern;
  if (!vm_function_pattern(vm, v, &pattern)) { // a builtin
    xml_append_line(n, depth, "<unevaluated />");
    return;
  }
  Buf out = BUF_INIT;
  xml_indent(&out, depth);
  buf_put_cstr(&out, "<function");
  xml_position(n, &out, vm_function_pos(vm, v), NULL, SPAN(""));
  buf_put_cstr(&out, ">\n");
  xml_indent(&out, depth + 1);
  if (pattern.has_formals) {
    buf_put_cstr(&out, "<attrspat");
    if (pattern.ellipsis) xml_attr(&out, "ellipsis", SPAN("1"));
    if (pattern.arg != SYMBOL_NONE) xml_attr(&out, "name", symbol_text(vm->symbols, pattern.arg));
    buf_put_cstr(&out, ">\n");
    Value formals = vm_function_args(vm, v);
    uint32_t count = formals == VALUE_EMPTY_ATTRS ? 0 : attrs_flat_shape(formals)->count;
    for (uint32_t i = 0; i < count; i++) {
      xml_indent(&out, depth + 2);
      buf_put_cstr(&out, "<attr");
      xml_attr(&out, "name", symbol_text(vm->symbols, attrs_flat_shape(formals)->names[i]));
      buf_put_cstr(&out, " />\n");
    }
    xml_indent(&out, depth + 1);
    buf_put_cstr(&out, "</attrspat>\n");
  } else {
    buf_put_cstr(&out, "<varpat");
    xml_attr(&out, "name", symbol_text(vm->symbols, pattern.arg));
    buf_put_cstr(&out, " />\n");
  }
  xml_indent(&out, depth);
  buf_put_cstr(&out, "</function>\n");
  xml_append(n, &out, NULL);
}

static void xml_put_scalar(Native *n) {
  Value v = n->slot[VALUE];
  Buf out = BUF_INIT, text = BUF_INIT;
  const char *element = NULL;
  switch (value_type(v)) {
  case TYPE_INT:
    element = "int";
    buf_put_i64(&text, value_get_int(v));
    break;
  case TYPE_FLOAT:
    element = "float";
    print_float(value_get_float(v), &text);
    break;
  case TYPE_BOOL:
    element = "bool";
    buf_put_cstr(&text, v == VALUE_TRUE ? "true" : "false");
    break;
  case TYPE_STRING:
    element = "string";
    buf_put_span(&text, str_span(v));
    break;
  case TYPE_PATH:
    element = "path";
    print_path(str_span(v), &text);
    break;
  case TYPE_NULL: element = "null"; break;
  case TYPE_LAMBDA: xml_put_function(n); return;
  case TYPE_ATTRS:
  case TYPE_LIST:
  case TYPE_THUNK: element = "unevaluated"; break;
  }
  xml_indent(&out, native_get(n, DEPTH));
  buf_put_char(&out, '<');
  buf_put_cstr(&out, element);
  if (v != VALUE_NULL && value_is_whnf(v)) xml_attr(&out, "value", buf_span(&text));
  buf_put_cstr(&out, " />\n");
  buf_done(&text);
  xml_append(n, &out, value_is_string(v) ? str_context(v) : NULL);
}

// ---- derivations that were written already ----

static size_t seen_slot(const Value *table, size_t mask, Sym sym) {
  size_t i = (sym * UINT64_C(0x9E3779B97F4A7C15) >> 32) & mask;
  while (table[i] != VALUE_NULL && value_small_int(table[i]) != (int64_t)sym) i = (i + 1) & mask;
  return i;
}

static Value seen_new(Vm *vm, size_t count) {
  List *table = list_new(vm, count + 1); // the last item counts the entries
  for (size_t i = 0; i < count; i++) table->items[i] = VALUE_NULL;
  table->items[count] = value_int(0);
  return list_value(table);
}

static bool seen_add(Native *n, Sym sym) {
  Value table = list_get(n->vm, n->slot[SEEN], 0);
  size_t count = list_count(table) - 1;
  Value *items = list_items(n->vm, table);
  if (value_small_int(items[count]) * 2 >= (int64_t)count) {
    Value wider = seen_new(n->vm, count * 2);
    Value *wider_items = list_items(n->vm, wider);
    for (size_t i = 0; i < count; i++)
      if (items[i] != VALUE_NULL)
        wider_items[seen_slot(wider_items, count * 2 - 1, (Sym)value_small_int(items[i]))] = items[i];
    wider_items[count * 2] = items[count];
    list_set(n->vm, n->slot[SEEN], 0, wider);
    items = wider_items;
    count *= 2;
  }
  size_t i = seen_slot(items, count - 1, sym);
  if (items[i] != VALUE_NULL) return false;
  items[i] = value_int(sym); // numbers need no write barrier
  items[count] = value_int(value_small_int(items[count]) + 1);
  return true;
}

// ---- sets and lists ----

static Value xml_attr_of(Native *n, Sym name) {
  return value_follow(attrs_get(n->vm, n->slot[VALUE], name));
}

static bool xml_is_strict(const Native *n) {
  return native_get(n, FLAGS) & PRINT_XML_STRICT;
}

// The opening tag of a derivation; false when its attributes are not to be repeated.
static bool xml_open_derivation(Native *n) {
  Buf out = BUF_INIT;
  xml_indent(&out, native_get(n, DEPTH));
  buf_put_cstr(&out, "<derivation");
  bool fresh = false;
  if (value_is_string(n->slot[DRV_PATH])) {
    Span path = str_span(n->slot[DRV_PATH]);
    xml_attr(&out, "drvPath", path);
    fresh = path.len && seen_add(n, str_intern(n->vm, n->slot[DRV_PATH]));
  }
  if (value_is_string(n->slot[OUT_PATH])) xml_attr(&out, "outPath", str_span(n->slot[OUT_PATH]));
  buf_put_cstr(&out, ">\n");
  xml_append(n, &out, NULL);
  return fresh;
}

static void xml_open_attr(Native *n, int64_t depth) {
  const Shape *shape = attrs_flat_shape(n->slot[VALUE]);
  uint32_t i = (uint32_t)native_get(n, I);
  Buf out = BUF_INIT;
  xml_indent(&out, depth);
  buf_put_cstr(&out, "<attr");
  xml_position(n, &out, shape_position(shape, i), "name", symbol_text(n->vm->symbols, shape->names[i]));
  buf_put_cstr(&out, ">\n");
  xml_append(n, &out, NULL);
}

static const NativeDef xml_native;

static void xml_item_args(Native *n, Value item, int64_t depth) {
  n->args[0] = item;
  n->args[1] = n->slot[FLAGS];
  n->args[2] = n->slot[OUT];
  n->args[3] = value_int(depth);
  n->args[4] = n->slot[SEEN];
}

static Step xml_step(Native *n) {
  NATIVE_BEGIN(n);
  native_set(n, I, -1);
  if (native_get(n, DEPTH) > XML_MAX_DEPTH) {
    eval_error(n->vm, EVAL_ERROR_STACK, 0, "stack overflow; XML is nested more than %d deep", XML_MAX_DEPTH);
    return STEP_ERROR;
  }
  if (xml_is_strict(n)) NATIVE_FORCE(n, n->slot[VALUE]);
  n->slot[VALUE] = value_ask(n->slot[VALUE]);
  if (value_is_list(n->slot[VALUE])) {
    xml_append_line(n, native_get(n, DEPTH), "<list>");
    for (native_set(n, I, 0); (size_t)native_get(n, I) < list_count(n->slot[VALUE]); native_add(n, I, 1)) {
      xml_item_args(n, list_get(n->vm, n->slot[VALUE], (size_t)native_get(n, I)), native_get(n, DEPTH) + 1);
      NATIVE_PUSH(n, &xml_native);
      n->slot[OUT] = n->result;
    }
    xml_append_line(n, native_get(n, DEPTH), "</list>");
    NATIVE_RETURN(n, n->slot[OUT]);
  }
  if (!value_is_attrs(n->slot[VALUE])) {
    xml_put_scalar(n);
    NATIVE_RETURN(n, n->slot[OUT]);
  }

  n->slot[VALUE] = attrs_flatten(n->vm, n->slot[VALUE]);
  n->result = VALUE_NULL;
  if (attrs_has(n->slot[VALUE], SYM_type)) NATIVE_FORCE(n, xml_attr_of(n, SYM_type));
  n->slot[DRV_PATH] = VALUE_ABSENT;
  if (value_is_string(n->result) && span_eq_cstr(str_span(n->result), "derivation")) {
    n->slot[DRV_PATH] = xml_attr_of(n, SYM_drv_path);
    if (xml_is_strict(n) && n->slot[DRV_PATH] != VALUE_ABSENT) {
      NATIVE_FORCE(n, n->slot[DRV_PATH]);
      n->slot[DRV_PATH] = n->result;
    }
    n->slot[OUT_PATH] = xml_attr_of(n, SYM_out_path);
    if (xml_is_strict(n) && n->slot[OUT_PATH] != VALUE_ABSENT) {
      NATIVE_FORCE(n, n->slot[OUT_PATH]);
      n->slot[OUT_PATH] = n->result;
    }
    if (!xml_open_derivation(n)) {
      xml_append_line(n, native_get(n, DEPTH) + 1, "<repeated />");
      xml_append_line(n, native_get(n, DEPTH), "</derivation>");
      NATIVE_RETURN(n, n->slot[OUT]);
    }
    n->slot[DRV_PATH] = VALUE_TRUE;
  } else {
    xml_append_line(n, native_get(n, DEPTH), "<attrs>");
  }
  for (native_set(n, I, 0);
       n->slot[VALUE] != VALUE_EMPTY_ATTRS && native_get(n, I) < attrs_flat_shape(n->slot[VALUE])->count;
       native_add(n, I, 1)) {
    xml_open_attr(n, native_get(n, DEPTH) + 1);
    xml_item_args(n, attrs_slot(n->vm, n->slot[VALUE], (uint32_t)native_get(n, I)), native_get(n, DEPTH) + 2);
    NATIVE_PUSH(n, &xml_native);
    n->slot[OUT] = n->result;
    xml_append_line(n, native_get(n, DEPTH) + 1, "</attr>");
  }
  xml_append_line(n, native_get(n, DEPTH), n->slot[DRV_PATH] == VALUE_TRUE ? "</derivation>" : "</attrs>");
  NATIVE_RETURN(n, n->slot[OUT]);
  NATIVE_END;
}

static void xml_sparks(Native *n, SparkSink *sink) {
  if (!xml_is_strict(n) || native_get(n, I) < 0) return;
  size_t next = (size_t)native_get(n, I) + 1;
  if (value_is_list(n->slot[VALUE])) {
    for (size_t i = next; i < list_count(n->slot[VALUE]); i++) spark_add(sink, list_get(n->vm, n->slot[VALUE], i));
  } else if (value_is_attrs(n->slot[VALUE]) && n->slot[VALUE] != VALUE_EMPTY_ATTRS) {
    for (size_t i = next; i < attrs_flat_shape(n->slot[VALUE])->count; i++)
      spark_add(sink, attrs_slot(n->vm, n->slot[VALUE], (uint32_t)i));
  }
}

static const NativeDef xml_native = {
    .name = "XML", .step = xml_step, .arg_count = 5, .slot_count = SLOT_COUNT, .sparks = xml_sparks};

static Step print_xml_step(Native *n) {
  NATIVE_BEGIN(n);
  n->args[0] = n->slot[VALUE];
  n->args[1] = n->slot[FLAGS];
  n->args[2] = str_plain(n->vm, SPAN("<?xml version='1.0' encoding='utf-8'?>\n<expr>\n"));
  n->args[3] = value_int(1);
  {
    Value table = seen_new(n->vm, SEEN_MIN);
    n->args[4] = list_from(n->vm, &table, 1);
  }
  NATIVE_PUSH(n, &xml_native);
  NATIVE_RETURN(n, str_concat(n->vm, n->result, str_plain(n->vm, SPAN("</expr>\n")), str_context(n->result)));
  NATIVE_END;
}

const NativeDef print_xml_native = {.name = "toXML", .step = print_xml_step, .arg_count = 2, .slot_count = 2};
