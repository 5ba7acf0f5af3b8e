// print_xml.c: see print_xml.h. One native frame for each set or list that is open, as in print_json.c; all of them write into the text of
// one PrintWriter. The format is that of libexpr/value-to-xml.cc of Nix: attributes of elements in alphabetic order, two blanks a level.
#include "eval/print_xml.h"

#include "eval/attrs.h"
#include "eval/list.h"
#include "eval/print.h"
#include "eval/print_writer.h"
#include "eval/str.h"

enum { VALUE, WRITER, DEPTH, I, DRV_PATH, OUT_PATH, SLOT_COUNT };

#define XML_MAX_DEPTH 20000 // indentation makes the text quadratic in the depth

static Buf *xml_out(const Native *n) {
  return &print_writer(n, WRITER)->text;
}

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

void print_xml_put_attr(Buf *out, Span name, Span value) {
  buf_put_char(out, ' ');
  buf_put_span(out, name);
  buf_put_span(out, SPAN("=\""));
  size_t done = 0;
  for (size_t i = 0; i < value.len; i++) {
    if ((unsigned char)value.data[i] > '>') continue; // most
    const char *entity = xml_entity(value.data[i]);
    if (!entity) continue;
    buf_put(out, value.data + done, i - done);
    buf_put_cstr(out, entity);
    done = i + 1;
  }
  buf_put(out, value.data + done, value.len - done);
  buf_put_char(out, '"');
}

static void xml_line(const Native *n, int64_t depth, Span text) {
  Buf *out = xml_out(n);
  xml_indent(out, depth);
  buf_put_span(out, text);
  buf_put_char(out, '\n');
}

// column, line and (behind `name`) path.
static void xml_position(const Native *n, PosId id, const char *name, Span name_value) {
  Buf *out = xml_out(n);
  Pos pos;
  bool known = print_writer(n, WRITER)->flags & PRINT_XML_LOCATION && pos_resolve(n->vm->positions, id, &pos);
  if (known) {
    buf_put_span(out, SPAN(" column=\""));
    buf_put_i64(out, pos.column);
    buf_put_span(out, SPAN("\" line=\""));
    buf_put_i64(out, pos.line);
    buf_put_char(out, '"');
  }
  if (name) print_xml_put_attr(out, span_cstr(name), name_value);
  if (known && pos.source->path) print_xml_put_attr(out, SPAN("path"), span_cstr(pos.source->path));
}

static void xml_put_function(Native *n) {
  Vm *vm = n->vm;
  Value v = n->slot[VALUE];
  int64_t depth = native_get(n, DEPTH);
  VmPattern pattern;
  if (!vm_function_pattern(vm, v, &pattern)) { // a builtin
    xml_line(n, depth, SPAN("<unevaluated />"));
    return;
  }
  Buf *out = xml_out(n);
  xml_indent(out, depth);
  buf_put_span(out, SPAN("<function"));
  xml_position(n, vm_function_pos(vm, v), NULL, SPAN(""));
  buf_put_span(out, SPAN(">\n"));
  xml_indent(out, depth + 1);
  if (pattern.has_formals) {
    buf_put_span(out, SPAN("<attrspat"));
    if (pattern.ellipsis) print_xml_put_attr(out, SPAN("ellipsis"), SPAN("1"));
    if (pattern.arg != SYMBOL_NONE) print_xml_put_attr(out, SPAN("name"), symbol_text(vm->symbols, pattern.arg));
    buf_put_span(out, SPAN(">\n"));
    Value formals = vm_function_args(vm, v);
    uint32_t count = formals == VALUE_EMPTY_ATTRS ? 0 : attrs_flat_shape(formals)->count;
    for (uint32_t i = 0; i < count; i++) {
      xml_indent(out, depth + 2);
      buf_put_span(out, SPAN("<attr"));
      print_xml_put_attr(out, SPAN("name"), symbol_text(vm->symbols, attrs_flat_shape(formals)->names[i]));
      buf_put_span(out, SPAN(" />\n"));
    }
    xml_indent(out, depth + 1);
    buf_put_span(out, SPAN("</attrspat>\n"));
  } else {
    buf_put_span(out, SPAN("<varpat"));
    print_xml_put_attr(out, SPAN("name"), symbol_text(vm->symbols, pattern.arg));
    buf_put_span(out, SPAN(" />\n"));
  }
  xml_indent(out, depth);
  buf_put_span(out, SPAN("</function>\n"));
}

static void xml_put_scalar(Native *n) {
  Value v = n->slot[VALUE];
  Buf *out = xml_out(n), text = BUF_INIT;
  Span value = {0};
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
    value = str_span(v);
    print_writer_add_context(n->vm, print_writer(n, WRITER), v);
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
  xml_indent(out, native_get(n, DEPTH));
  buf_put_char(out, '<');
  buf_put_cstr(out, element);
  if (v != VALUE_NULL && value_is_whnf(v))
    print_xml_put_attr(out, SPAN("value"), value_is_string(v) ? value : buf_span(&text));
  buf_put_span(out, SPAN(" />\n"));
  buf_done(&text);
}

// ---- sets and lists ----

static Value xml_attr_of(Native *n, Sym name) {
  return value_follow(attrs_get(n->vm, n->slot[VALUE], name));
}

static bool xml_is_strict(const Native *n) {
  return print_writer(n, WRITER)->flags & PRINT_XML_STRICT;
}

// The opening tag of a derivation; false when its attributes are not to be repeated.
static bool xml_open_derivation(Native *n) {
  PrintWriter *writer = print_writer(n, WRITER);
  Buf *out = &writer->text;
  xml_indent(out, native_get(n, DEPTH));
  buf_put_span(out, SPAN("<derivation"));
  bool fresh = false;
  if (value_is_string(n->slot[DRV_PATH])) {
    Span path = str_span(n->slot[DRV_PATH]);
    print_xml_put_attr(out, SPAN("drvPath"), path);
    fresh = path.len && !map_has(&writer->seen, path); // a derivation that was not written yet
    if (fresh) map_set(&writer->seen, path, NULL);
  }
  if (value_is_string(n->slot[OUT_PATH])) print_xml_put_attr(out, SPAN("outPath"), str_span(n->slot[OUT_PATH]));
  buf_put_span(out, SPAN(">\n"));
  return fresh;
}

static void xml_open_attr(Native *n, int64_t depth) {
  const Shape *shape = attrs_flat_shape(n->slot[VALUE]);
  uint32_t i = (uint32_t)native_get(n, I);
  Buf *out = xml_out(n);
  xml_indent(out, depth);
  buf_put_span(out, SPAN("<attr"));
  xml_position(n, shape_position(shape, i), "name", symbol_text(n->vm->symbols, shape->names[i]));
  buf_put_span(out, SPAN(">\n"));
}

static const NativeDef xml_native;

static void xml_item_args(Native *n, Value item, int64_t depth) {
  n->args[0] = item;
  n->args[1] = n->slot[WRITER];
  n->args[2] = value_int(depth);
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
    xml_line(n, native_get(n, DEPTH), SPAN("<list>"));
    for (native_set(n, I, 0); (size_t)native_get(n, I) < list_count(n->slot[VALUE]); native_add(n, I, 1)) {
      xml_item_args(n, list_get(n->vm, n->slot[VALUE], (size_t)native_get(n, I)), native_get(n, DEPTH) + 1);
      NATIVE_PUSH(n, &xml_native);
    }
    xml_line(n, native_get(n, DEPTH), SPAN("</list>"));
    NATIVE_RETURN(n, VALUE_NULL);
  }
  if (!value_is_attrs(n->slot[VALUE])) {
    xml_put_scalar(n);
    NATIVE_RETURN(n, VALUE_NULL);
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
      xml_line(n, native_get(n, DEPTH) + 1, SPAN("<repeated />"));
      xml_line(n, native_get(n, DEPTH), SPAN("</derivation>"));
      NATIVE_RETURN(n, VALUE_NULL);
    }
    n->slot[DRV_PATH] = VALUE_TRUE;
  } else {
    xml_line(n, native_get(n, DEPTH), SPAN("<attrs>"));
  }
  for (native_set(n, I, 0);
       n->slot[VALUE] != VALUE_EMPTY_ATTRS && native_get(n, I) < attrs_flat_shape(n->slot[VALUE])->count;
       native_add(n, I, 1)) {
    xml_open_attr(n, native_get(n, DEPTH) + 1);
    xml_item_args(n, attrs_slot(n->vm, n->slot[VALUE], (uint32_t)native_get(n, I)), native_get(n, DEPTH) + 2);
    NATIVE_PUSH(n, &xml_native);
    xml_line(n, native_get(n, DEPTH) + 1, SPAN("</attr>"));
  }
  xml_line(n, native_get(n, DEPTH), n->slot[DRV_PATH] == VALUE_TRUE ? SPAN("</derivation>") : SPAN("</attrs>"));
  NATIVE_RETURN(n, VALUE_NULL);
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
    .name = "XML", .step = xml_step, .arg_count = 3, .slot_count = SLOT_COUNT, .sparks = xml_sparks};

static Step print_xml_step(Native *n) {
  NATIVE_BEGIN(n);
  buf_put_span(&print_writer_begin(n)->text, SPAN("<?xml version='1.0' encoding='utf-8'?>\n<expr>\n"));
  n->args[0] = n->slot[PRINT_WRITER_VALUE];
  n->args[1] = n->slot[PRINT_WRITER];
  n->args[2] = value_int(1);
  NATIVE_PUSH(n, &xml_native);
  buf_put_span(&print_writer(n, PRINT_WRITER)->text, SPAN("</expr>\n"));
  return print_writer_end(n);
  NATIVE_END;
}

const NativeDef print_xml_native = {.name = "toXML",
                                    .step = print_xml_step,
                                    .arg_count = 2,
                                    .slot_count = PRINT_WRITER_SLOT_COUNT,
                                    .drop = print_writer_drop};
