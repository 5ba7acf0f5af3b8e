// print.c: the two textual formats of values. Layout, limits and order follow libexpr/print.cc and print-ambiguous.cc of Nix 2.26.
#include "eval/print.h"

#include "base/mem.h"
#include "eval/attrs.h"
#include "eval/list.h"
#include "eval/str.h"
#include "formats/store_path.h"

#define PRINT_MAX_OUT_PATHS 100 // sets that are the outPath of one another; a set may be its own
#define COLOUR_FAINT "\033[2m"
#define COLOUR_RED "\033[31;1m"
#define COLOUR_GREEN "\033[32;1m"
#define COLOUR_BLUE "\033[34;1m"
#define COLOUR_MAGENTA "\033[35;1m"
#define COLOUR_CYAN "\033[36;1m"
#define COLOUR_OFF "\033[0m"

#define NO_LIMITS                                                                                \
  .max_depth = PRINT_UNLIMITED, .max_attrs = PRINT_UNLIMITED, .max_list_items = PRINT_UNLIMITED, \
  .max_string_bytes = PRINT_UNLIMITED

const PrintOptions print_options_trace = {.track_repeated = true, NO_LIMITS};
const PrintOptions print_options_eval = {.derivation_paths = true, .track_repeated = true, NO_LIMITS};
const PrintOptions print_options_error = {
    .track_repeated = true, .max_depth = 10, .max_attrs = 10, .max_list_items = 10, .max_string_bytes = 1024};

// ---- parts ----

// At most `limit` bytes; the number of bytes left out is returned.
static size_t put_string_literal(Span s, size_t limit, Buf *ret) {
  buf_put_char(ret, '"');
  for (size_t i = 0; i < s.len; i++) {
    if (i >= limit) {
      buf_put_char(ret, '"');
      return s.len - i;
    }
    char c = s.data[i];
    switch (c) {
    case '\n': buf_put_cstr(ret, "\\n"); continue;
    case '\r': buf_put_cstr(ret, "\\r"); continue;
    case '\t': buf_put_cstr(ret, "\\t"); continue;
    case '"':
    case '\\': buf_put_char(ret, '\\'); break;
    case '$':
      if (i + 1 < s.len && s.data[i + 1] == '{') buf_put_char(ret, '\\');
      break;
    default: break;
    }
    buf_put_char(ret, c);
  }
  buf_put_char(ret, '"');
  return 0;
}

void print_string_literal(Span s, Buf *ret) {
  put_string_literal(s, SIZE_MAX, ret);
}

static bool is_keyword(Span s) {
  static const char *const keywords[] = {"if", "then", "else", "assert", "with", "let", "in", "rec", "inherit"};
  for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
    if (span_eq_cstr(s, keywords[i])) return true;
  return false;
}

static bool is_identifier(Span s) {
  if (!s.len || is_keyword(s)) return false;
  for (size_t i = 0; i < s.len; i++) {
    char c = s.data[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    bool other = (c >= '0' && c <= '9') || c == '-' || c == '\'';
    if (!letter && !(other && i > 0)) return false;
  }
  return true;
}

void print_attr_name(Span name, Buf *ret) {
  if (is_identifier(name)) buf_put_span(ret, name);
  else print_string_literal(name, ret);
}

void print_float(double d, Buf *ret) {
  buf_printf(ret, "%g", d);
}

void print_path(Span path, Buf *ret) {
  Span internal = SPAN(EVAL_IO_NIX_DIR "/");
  if (span_has_prefix(path, internal)) {
    buf_put_cstr(ret, "<nix/");
    buf_put_span(ret, span_from(path, internal.len));
    buf_put_char(ret, '>');
  } else {
    buf_put_span(ret, path);
  }
}

// ---- objects by identity ----

// Open addressing on value words. Valid as long as nothing collects, which printing does not.
typedef struct ValueMap {
  Value *keys; // 0: free
  size_t *numbers;
  size_t mask, count;
} ValueMap;

static void value_map_done(ValueMap *map) {
  mem_free(map->keys);
  mem_free(map->numbers);
}

static size_t value_map_slot(const ValueMap *map, Value key) {
  size_t i = (size_t)(key * UINT64_C(0x9E3779B97F4A7C15) >> 20) & map->mask;
  while (map->keys[i] && map->keys[i] != key) i = (i + 1) & map->mask;
  return i;
}

static void value_map_grow(ValueMap *map) {
  ValueMap old = *map;
  map->mask = old.mask ? old.mask * 2 + 1 : 63;
  map->keys = mem_alloc_zero((map->mask + 1) * sizeof *map->keys);
  map->numbers = mem_alloc_array(map->mask + 1, sizeof *map->numbers);
  for (size_t i = 0; old.keys && i <= old.mask; i++) {
    if (!old.keys[i]) continue;
    size_t slot = value_map_slot(map, old.keys[i]);
    map->keys[slot] = old.keys[i];
    map->numbers[slot] = old.numbers[i];
  }
  value_map_done(&old);
}

// False when the key is there already.
static bool value_map_add(ValueMap *map, Value key, size_t number) {
  if ((map->count + 1) * 2 > map->mask) value_map_grow(map);
  size_t slot = value_map_slot(map, key);
  if (map->keys[slot]) return false;
  map->keys[slot] = key;
  map->numbers[slot] = number;
  map->count++;
  return true;
}

// SIZE_MAX when absent.
static size_t value_map_find(const ValueMap *map, Value key) {
  if (!map->count) return SIZE_MAX;
  size_t slot = value_map_slot(map, key);
  return map->keys[slot] ? map->numbers[slot] : SIZE_MAX;
}

// ---- common to both formats ----

typedef struct Frame { // an open set or list
  Value container;     // flat
  size_t index, count;
  uint32_t *order; // owned: slots in the order of printing; NULL: as they are
  bool is_attrs;
  bool pretty;
  bool in_item; // an item was begun and has to be finished
} Frame;

typedef struct Printer {
  Vm *vm;
  const PrintOptions *options;
  Buf *out;
  Frame *frames;
  size_t depth, cap;
  ValueMap seen, failed;
  Value
      cell; // where the item that is printed now was found: the value itself or the thunk that became it; 0: not an item
  Value failures;
  size_t attrs_printed, items_printed;
} Printer;

static Frame *printer_push(Printer *p, Value container, bool is_attrs, size_t count) {
  MEM_RESERVE(p->frames, p->cap, p->depth + 1);
  Frame *f = &p->frames[p->depth++];
  *f = (Frame){.container = container, .count = count, .is_attrs = is_attrs};
  return f;
}

static void printer_pop(Printer *p) {
  mem_free(p->frames[--p->depth].order);
}

static void printer_done(Printer *p) {
  mem_free(p->frames);
  value_map_done(&p->seen);
  value_map_done(&p->failed);
}

static uint32_t frame_slot(const Frame *f, size_t index) {
  return f->order ? f->order[index] : (uint32_t)index;
}

static Span frame_name(const Printer *p, const Frame *f, size_t index) {
  return symbol_text(p->vm->symbols, attrs_flat_shape(f->container)->names[frame_slot(f, index)]);
}

// Code, or a literal, that nobody has asked for yet.
static bool is_unasked(Value raw) {
  if (value_tag(raw) == TAG_LAZY) return value_lazy_kind(raw) != LAZY_ENV_SLOT;
  return value_tag(raw) == TAG_THUNK && head_type(value_head(raw)) == T_IND &&
         head_flags(value_head(raw)) & IND_UNASKED;
}

// The item, its evaluated thunks followed. Code that nobody has asked for yet is VALUE_ABSENT: printing is no reason to ask, and a
// function in a literal set has to look like any other unevaluated attribute.
static Value frame_item(Printer *p, const Frame *f, size_t index) {
  if (!f->is_attrs) {
    p->cell = list_get(p->vm, f->container, index);
    return is_unasked(p->cell) ? VALUE_ABSENT : value_follow(p->cell);
  }
  uint32_t slot = frame_slot(f, index);
  const Attrs *set = attrs_flat(f->container);
  Value raw = set->slots[slot];
  if (value_tag(raw) == TAG_LAZY && value_lazy_kind(raw) == LAZY_ENV_SLOT)
    raw = set->env->slots[value_lazy_payload(raw)];
  if (is_unasked(raw)) return VALUE_ABSENT;
  p->cell = attrs_slot(p->vm, f->container, slot);
  return value_follow(p->cell);
}

static bool is_blackhole(Value v) {
  return value_tag(v) == TAG_THUNK && head_type(value_head(v)) == T_BLACKHOLE;
}

// Nix keeps a list of one or two items in the value itself: it is another list in each value that was evaluated to it, and what is printed as a
// whole is a copy that nothing refers to.
static bool is_repeated_list(Printer *p, Value list) {
  if (!p->cell && list_count(list) <= 2) return false;
  bool has_own_place = list_count(list) <= 2 && p->cell && value_follow(p->cell) == list;
  return list != VALUE_EMPTY_LIST && !value_map_add(&p->seen, has_own_place ? p->cell : list, 0);
}

// ---- nix-instantiate --eval ----

static void plain_value(Printer *p, Value v) {
  Buf *out = p->out;
  if (v == VALUE_ABSENT) {
    buf_put_cstr(out, "<CODE>");
    return;
  }
  switch (value_type(v)) {
  case TYPE_INT: buf_put_i64(out, value_get_int(v)); break;
  case TYPE_FLOAT: print_float(value_get_float(v), out); break;
  case TYPE_BOOL: buf_put_cstr(out, v == VALUE_TRUE ? "true" : "false"); break;
  case TYPE_STRING: print_string_literal(str_span(v), out); break;
  case TYPE_PATH: print_path(str_span(v), out); break;
  case TYPE_NULL: buf_put_cstr(out, "null"); break;
  case TYPE_THUNK: buf_put_cstr(out, is_blackhole(v) ? "«potential infinite recursion»" : "<CODE>"); break;
  case TYPE_LAMBDA:
    if (value_is_builtin(v)) buf_put_cstr(out, "<PRIMOP>");
    else if (value_is_obj(v, T_PAP) && value_is_builtin(((Pap *)value_ptr(v))->fn)) buf_put_cstr(out, "<PRIMOP-APP>");
    else buf_put_cstr(out, "<LAMBDA>");
    break;
  case TYPE_ATTRS:
    if (v != VALUE_EMPTY_ATTRS && !value_map_add(&p->seen, v, 0)) {
      buf_put_cstr(out, "«repeated»");
      break;
    }
    buf_put_cstr(out, "{ ");
    v = attrs_flatten(p->vm, v);
    printer_push(p, v, true, v == VALUE_EMPTY_ATTRS ? 0 : attrs_flat_shape(v)->count);
    break;
  case TYPE_LIST:
    if (is_repeated_list(p, v)) {
      buf_put_cstr(out, "«repeated»");
      break;
    }
    buf_put_cstr(out, "[ ");
    printer_push(p, v, false, list_count(v));
    break;
  }
}

void print_plain(Vm *vm, Value v, Buf *ret) {
  Printer p = {.vm = vm, .out = ret};
  plain_value(&p, value_follow(v));
  while (p.depth) {
    Frame *f = &p.frames[p.depth - 1];
    if (f->in_item) buf_put_cstr(ret, f->is_attrs ? "; " : " ");
    if (f->index == f->count) {
      buf_put_char(ret, f->is_attrs ? '}' : ']');
      printer_pop(&p);
      continue;
    }
    if (f->is_attrs) {
      print_attr_name(frame_name(&p, f, f->index), ret);
      buf_put_cstr(ret, " = ");
    }
    f->in_item = true;
    plain_value(&p, frame_item(&p, f, f->index++));
  }
  printer_done(&p);
}

// ---- nix eval, REPL, traces, errors ----

static void put_coloured(Printer *p, const char *colour, Span text) {
  if (p->options->colour) buf_put_cstr(p->out, colour);
  buf_put_span(p->out, text);
  if (p->options->colour) buf_put_cstr(p->out, COLOUR_OFF);
}

static void put_elided(Printer *p, size_t count, const char *what) {
  Buf text = BUF_INIT;
  buf_printf(&text, "«%zu %s%s elided»", count, what, count == 1 ? "" : "s");
  put_coloured(p, COLOUR_FAINT, buf_span(&text));
  buf_done(&text);
}

static void put_string(Printer *p, Span s) {
  Buf text = BUF_INIT;
  size_t left_out = put_string_literal(s, p->options->max_string_bytes, &text);
  put_coloured(p, COLOUR_MAGENTA, buf_span(&text));
  buf_done(&text);
  if (!left_out) return;
  buf_put_char(p->out, ' ');
  put_elided(p, left_out, "byte");
}

static void put_function(Printer *p, Value v) {
  Vm *vm = p->vm;
  Buf text = BUF_INIT;
  Value fn = value_is_obj(v, T_PAP) ? ((Pap *)value_ptr(v))->fn : v;
  if (value_is_builtin(fn)) {
    buf_printf(&text, "«%sprimop %s»", fn == v ? "" : "partially applied ",
               vm->builtins[value_builtin_index(fn)]->name);
  } else {
    buf_put_cstr(&text, "«lambda");
    Buf name = BUF_INIT; // "'f'" or "anonymous lambda"
    vm_function_name(vm, v, &name);
    if (name.len > 2 && name.data[0] == '\'') buf_printf(&text, " %.*s", (int)name.len - 2, name.data + 1);
    buf_done(&name);
    Pos pos;
    if (pos_resolve(vm->positions, vm_function_pos(vm, v), &pos)) {
      buf_put_cstr(&text, " @ ");
      print_path(span_cstr(pos.source->origin), &text);
      buf_printf(&text, ":%u:%u", pos.line, pos.column);
    }
    buf_put_cstr(&text, "»");
  }
  put_coloured(p, COLOUR_BLUE, buf_span(&text));
  buf_done(&text);
}

static void put_error(Printer *p, Span message) {
  Buf text = BUF_INIT;
  buf_put_cstr(&text, "«error: ");
  buf_put_span(&text, message);
  buf_put_cstr(&text, "»");
  put_coloured(p, COLOUR_RED, buf_span(&text));
  buf_done(&text);
}

static void put_thunk(Printer *p, Value v) {
  size_t failure = value_map_find(&p->failed, v);
  if (failure != SIZE_MAX) put_error(p, str_span(list_get(p->vm, p->failures, failure)));
  else if (v != VALUE_ABSENT && is_blackhole(v)) put_coloured(p, COLOUR_RED, SPAN("«potential infinite recursion»"));
  else put_coloured(p, COLOUR_MAGENTA, SPAN("«thunk»"));
}

static void put_space(Printer *p, bool pretty, size_t depth) {
  if (!pretty) {
    buf_put_char(p->out, ' ');
    return;
  }
  buf_put_char(p->out, '\n');
  buf_put_repeat(p->out, ' ', depth * p->options->pretty_indent);
}

static Value printer_attr(Printer *p, Value set, Sym name) {
  return value_follow(attrs_get(p->vm, set, name));
}

static bool printer_is_derivation(Printer *p, Value set) {
  Value type = printer_attr(p, set, SYM_type);
  return value_is_string(type) && span_eq_cstr(str_span(type), "derivation");
}

static void put_derivation(Printer *p, Value set) {
  Value path = printer_attr(p, set, SYM_drv_path);
  for (int i = 0; i < PRINT_MAX_OUT_PATHS && value_is_attrs(path) && attrs_has(path, SYM_out_path); i++)
    path = printer_attr(p, path, SYM_out_path);
  if (path == VALUE_ABSENT) {
    put_coloured(p, COLOUR_GREEN, SPAN("«derivation»"));
  } else if (!value_is_string(path)) {
    put_thunk(p, path);
  } else {
    Buf text = BUF_INIT;
    StorePath ignored;
    if (store_path_parse(str_span(path), span_cstr(p->vm->settings.store_dir), &ignored, NULL)) {
      buf_printf(&text, "«derivation %.*s»", SPAN_ARG(str_span(path)));
      put_coloured(p, COLOUR_GREEN, buf_span(&text));
    } else {
      buf_printf(&text, "path '%.*s' is not in the Nix store", SPAN_ARG(str_span(path)));
      put_error(p, buf_span(&text));
    }
    buf_done(&text);
  }
}

// Where the number of attributes is limited, the telling ones come first.
static uint32_t *important_first(Printer *p, const Shape *shape) {
  uint32_t *order = mem_alloc_array(shape->count, sizeof *order);
  uint32_t n = 0;
  for (int pass = 0; pass < 2; pass++) {
    for (uint32_t i = 0; i < shape->count; i++) {
      Span name = symbol_text(p->vm->symbols, shape->names[i]);
      bool important = span_eq_cstr(name, "type") || span_eq_cstr(name, "_type");
      if (important == (pass == 0)) order[n++] = i;
    }
  }
  return order;
}

// Several items, or one that is itself structured or unknown, are worth lines of their own.
static bool frame_is_pretty(Printer *p, const Frame *f) {
  if (!p->options->pretty_indent || !f->count) return false;
  if (f->count > 1) return true;
  Value item = frame_item(p, f, 0);
  return item == VALUE_ABSENT || value_is_attrs(item) || value_is_list(item) || !value_is_whnf(item);
}

static void put_attrs(Printer *p, Value v) {
  const PrintOptions *o = p->options;
  if (o->track_repeated && !value_map_add(&p->seen, v, 0)) {
    put_coloured(p, COLOUR_MAGENTA, SPAN("«repeated»"));
  } else if (value_map_find(&p->failed, v) != SIZE_MAX) {
    put_thunk(p, v); // it could not be told whether it is a derivation
  } else if (o->derivation_paths && printer_is_derivation(p, v)) {
    put_derivation(p, v);
  } else if (p->depth >= o->max_depth) {
    buf_put_cstr(p->out, "{ ... }");
  } else {
    buf_put_char(p->out, '{');
    v = attrs_flatten(p->vm, v);
    const Shape *shape = v == VALUE_EMPTY_ATTRS ? NULL : attrs_flat_shape(v);
    Frame *f = printer_push(p, v, true, shape ? shape->count : 0);
    if (shape && o->max_attrs != PRINT_UNLIMITED) f->order = important_first(p, shape);
    f->pretty = frame_is_pretty(p, f);
  }
}

static void put_list(Printer *p, Value v) {
  const PrintOptions *o = p->options;
  if (o->track_repeated && is_repeated_list(p, v)) {
    put_coloured(p, COLOUR_MAGENTA, SPAN("«repeated»"));
  } else if (p->depth >= o->max_depth) {
    buf_put_cstr(p->out, "[ ... ]");
  } else {
    buf_put_char(p->out, '[');
    Frame *f = printer_push(p, v, false, list_count(v));
    f->pretty = frame_is_pretty(p, f);
  }
}

static void put_number(Printer *p, Value v) {
  Buf text = BUF_INIT;
  if (value_is_float(v)) print_float(value_get_float(v), &text);
  else buf_put_i64(&text, value_get_int(v));
  put_coloured(p, COLOUR_CYAN, buf_span(&text));
  buf_done(&text);
}

static void put_path(Printer *p, Value v) {
  Buf text = BUF_INIT;
  print_path(str_span(v), &text);
  put_coloured(p, COLOUR_GREEN, buf_span(&text));
  buf_done(&text);
}

static void put_value(Printer *p, Value v) {
  if (v == VALUE_ABSENT) {
    put_thunk(p, v);
    return;
  }
  switch (value_type(v)) {
  case TYPE_INT:
  case TYPE_FLOAT: put_number(p, v); break;
  case TYPE_BOOL: put_coloured(p, COLOUR_CYAN, v == VALUE_TRUE ? SPAN("true") : SPAN("false")); break;
  case TYPE_NULL: put_coloured(p, COLOUR_CYAN, SPAN("null")); break;
  case TYPE_STRING: put_string(p, str_span(v)); break;
  case TYPE_PATH: put_path(p, v); break;
  case TYPE_THUNK: put_thunk(p, v); break;
  case TYPE_LAMBDA: put_function(p, v); break;
  case TYPE_ATTRS: put_attrs(p, v); break;
  case TYPE_LIST: put_list(p, v); break;
  }
}

static void finish_item(Printer *p, Frame *f) {
  f->in_item = false;
  f->index++;
  if (f->is_attrs) {
    buf_put_char(p->out, ';');
    p->attrs_printed++;
  } else {
    p->items_printed++;
  }
}

static void close_frame(Printer *p, Frame *f) {
  put_space(p, f->pretty, p->depth - 1);
  buf_put_char(p->out, f->is_attrs ? '}' : ']');
  printer_pop(p);
}

static void print_open_frames(Printer *p) {
  while (p->depth) {
    Frame *f = &p->frames[p->depth - 1];
    if (f->in_item) finish_item(p, f);
    if (f->index == f->count) {
      close_frame(p, f);
      continue;
    }
    put_space(p, f->pretty, p->depth);
    bool enough =
        f->is_attrs ? p->attrs_printed >= p->options->max_attrs : p->items_printed >= p->options->max_list_items;
    if (enough) {
      put_elided(p, f->count - f->index, f->is_attrs ? "attribute" : "item");
      close_frame(p, f);
      continue;
    }
    if (f->is_attrs) {
      print_attr_name(frame_name(p, f, f->index), p->out);
      buf_put_cstr(p->out, " = ");
    }
    f->in_item = true;
    put_value(p, frame_item(p, f, f->index));
  }
}

void print_value(Vm *vm, Value v, const PrintOptions *options, Value failures, Buf *ret) {
  Printer p = {.vm = vm, .options = options, .out = ret, .failures = failures};
  size_t failure_items = value_is_list(failures) ? list_count(failures) : 0;
  for (size_t i = 0; i < failure_items; i += 2) value_map_add(&p.failed, list_get(vm, failures, i), i + 1);
  put_value(&p, value_follow(v));
  print_open_frames(&p);
  printer_done(&p);
}
