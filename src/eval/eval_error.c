// eval_error.c: the pending error and its text. The layout follows showErrorInfo in libutil/error.cc of Nix 2.26.
#include "eval/eval_error.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/suggestion.h"
#include "eval/print.h"
#include "eval/str.h"
#include "eval/vm.h"

#define COLOUR_ERROR "\033[31;1m"
#define COLOUR_WARNING "\033[35;1m"
#define COLOUR_AT "\033[34;1m"
#define COLOUR_OFF "\033[0m"

static EvalError *eval_error_new(EvalErrorKind kind, PosId pos) {
  EvalError *e = mem_alloc_zero(sizeof *e);
  e->kind = kind;
  e->cause = ERR_EVAL;
  e->pos = pos;
  return e;
}

static void eval_error_set(Vm *vm, EvalError *error) {
  eval_error_free(vm->error);
  vm->error = error;
}

Value eval_error(Vm *vm, EvalErrorKind kind, PosId pos, const char *fmt, ...) {
  EvalError *e = eval_error_new(kind, pos);
  va_list args;
  va_start(args, fmt);
  buf_vprintf(&e->message, fmt, args);
  va_end(args);
  eval_error_set(vm, e);
  return VALUE_ERROR;
}

Value eval_error_type(Vm *vm, PosId pos, const char *expected, Value found) {
  EvalError *e = eval_error_new(EVAL_ERROR_TYPE, pos);
  buf_printf(&e->message, "expected %s but found %s: ", expected, eval_error_type_phrase(vm, found));
  print_value(vm, found, &print_options_error, VALUE_ABSENT, &e->message);
  eval_error_set(vm, e);
  return VALUE_ERROR;
}

Value eval_error_coerce(Vm *vm, PosId pos, Value found) {
  EvalError *e = eval_error_new(EVAL_ERROR_TYPE, pos);
  buf_printf(&e->message, "cannot coerce %s to a string: ", eval_error_type_phrase(vm, found));
  print_value(vm, found, &print_options_error, VALUE_ABSENT, &e->message);
  eval_error_set(vm, e);
  return VALUE_ERROR;
}

Value eval_error_from_err(Vm *vm, EvalErrorKind kind, PosId pos, Err *err) {
  EvalError *e = eval_error_new(kind, pos);
  e->cause = err->kind;
  buf_put_cstr(&e->message, err_message(err));
  err_done(err);
  eval_error_set(vm, e);
  return VALUE_ERROR;
}

// The first half of the traces stays (the innermost frames, next to the cause), the second half is a ring of the outermost ones.
#define TRACES_HALF (EVAL_ERROR_MAX_TRACES / 2)

static EvalTrace *eval_error_next_trace(EvalError *e) {
  if (e->trace_count < EVAL_ERROR_MAX_TRACES) {
    MEM_RESERVE(e->traces, e->trace_cap, e->trace_count + 1);
    return &e->traces[e->trace_count++];
  }
  EvalTrace *t = &e->traces[TRACES_HALF + e->dropped_count++ % TRACES_HALF];
  mem_free(t->message);
  return t;
}

// The i-th trace, innermost first.
static const EvalTrace *eval_error_get_trace(const EvalError *e, size_t i) {
  if (i < TRACES_HALF || !e->dropped_count) return &e->traces[i];
  return &e->traces[TRACES_HALF + (i - TRACES_HALF + e->dropped_count) % TRACES_HALF];
}

void eval_error_trace(Vm *vm, PosId pos, const char *fmt, ...) {
  if (!vm->error) return;
  Buf text = BUF_INIT;
  va_list args;
  va_start(args, fmt);
  buf_vprintf(&text, fmt, args);
  va_end(args);
  *eval_error_next_trace(vm->error) = (EvalTrace){.pos = pos, .message = buf_take(&text)};
}

void eval_error_trace_call(Vm *vm, PosId pos, const char *fmt, ...) {
  if (!vm->error) return;
  Buf text = BUF_INIT;
  va_list args;
  va_start(args, fmt);
  buf_vprintf(&text, fmt, args);
  va_end(args);
  *eval_error_next_trace(vm->error) = (EvalTrace){.pos = pos, .message = buf_take(&text), .call = true};
}

void eval_error_trace_always(Vm *vm, PosId pos, Span text) {
  if (vm->error) *eval_error_next_trace(vm->error) = (EvalTrace){.pos = pos, .message = span_dup(text), .always = true};
}

EvalError *eval_error_pending(Vm *vm) {
  return vm->error;
}

bool eval_error_is_refusal(const Vm *vm) {
  const EvalError *e = vm->error;
  return e->kind == EVAL_ERROR_TYPE && !e->trace_count &&
         span_has_prefix(buf_span(&e->message), SPAN("cannot coerce "));
}

void eval_error_clear(Vm *vm) {
  eval_error_set(vm, NULL);
}

EvalError *eval_error_take(Vm *vm) {
  return STEAL(vm->error);
}

void eval_error_restore(Vm *vm, EvalError *error) {
  eval_error_set(vm, error);
}

void eval_error_drop_traces(Vm *vm) {
  EvalError *e = vm->error;
  if (!e) return;
  for (size_t i = 0; i < e->trace_count; i++) mem_free(e->traces[i].message);
  e->trace_count = e->dropped_count = 0;
}

static bool is_from(Vm *vm, PosId id, Span origin) {
  Pos pos;
  return pos_resolve(vm->positions, id, &pos) && span_eq_cstr(origin, pos.source->origin);
}

void eval_error_hide(Vm *vm, Span origin) {
  EvalError *e = vm->error;
  if (!e) return;
  if (is_from(vm, e->pos, origin)) e->pos = 0;
  size_t kept = 0;
  while (kept < e->trace_count && !is_from(vm, e->traces[kept].pos, origin)) kept++;
  for (size_t i = kept; i < e->trace_count; i++) mem_free(e->traces[i].message);
  e->trace_count = kept;
}

void eval_error_free(EvalError *e) {
  if (!e) return;
  buf_done(&e->message);
  buf_done(&e->suggestions);
  for (size_t i = 0; i < e->trace_count; i++) mem_free(e->traces[i].message);
  mem_free(e->traces);
  mem_free(e->cycle);
  mem_free(e);
}

const char *eval_error_type_phrase(Vm *vm, Value v) {
  Value fn = value_is_obj(v, T_PAP) ? ((Pap *)value_ptr(v))->fn : v;
  if (value_is_builtin(fn)) {
    Buf text = BUF_INIT;
    buf_printf(&text, "the %sbuilt-in function '%s'", fn == v ? "" : "partially applied ",
               vm->builtins[value_builtin_index(fn)]->name);
    // Symbols live as long as the VM, and there are few such phrases.
    Sym sym = symbol_intern(vm->symbols, buf_span(&text));
    buf_done(&text);
    return symbol_text(vm->symbols, sym).data;
  }
  switch (value_type(v)) {
  case TYPE_INT: return "an integer";
  case TYPE_FLOAT: return "a float";
  case TYPE_BOOL: return "a Boolean";
  case TYPE_STRING: return str_context(v) ? "a string with context" : "a string";
  case TYPE_PATH: return "a path";
  case TYPE_NULL: return "null";
  case TYPE_ATTRS: return "a set";
  case TYPE_LIST: return "a list";
  case TYPE_LAMBDA: return "a function";
  case TYPE_THUNK: break;
  }
  return "a thunk";
}

// ---- suggestions ----

void eval_error_suggest(Vm *vm, Span name, const Span *candidates, size_t count) {
  if (!vm->error) return;
  buf_clear(&vm->error->suggestions);
  suggestion_format(name, candidates, count, &vm->error->suggestions);
}

// ---- text ----

typedef struct ErrorText {
  Vm *vm;
  const EvalErrorFormat *format;
  Buf out;
} ErrorText;

static void put_colour(ErrorText *t, const char *colour) {
  if (t->format->colour) buf_put_cstr(&t->out, colour);
}

static void put_code_line(ErrorText *t, const PosSource *source, uint32_t line) {
  Span text = pos_line(t->vm->positions, source, line);
  if (line == 0 || !text.data) return;
  buf_printf(&t->out, "\n %5u| ", line);
  buf_put_span(&t->out, text);
}

static bool put_pos(ErrorText *t, const char *indent, PosId id) {
  Pos pos;
  if (!pos_resolve(t->vm->positions, id, &pos)) return false;
  buf_put_cstr(&t->out, indent);
  put_colour(t, COLOUR_AT);
  buf_put_cstr(&t->out, "at ");
  put_colour(t, COLOUR_WARNING);
  print_path(span_cstr(pos.source->origin), &t->out);
  buf_printf(&t->out, ":%u:%u", pos.line, pos.column);
  put_colour(t, COLOUR_OFF);
  buf_put_char(&t->out, ':');
  if (!pos.source->len) { // nothing to show
    buf_put_char(&t->out, '\n');
    return true;
  }
  put_code_line(t, pos.source, pos.line - 1);
  put_code_line(t, pos.source, pos.line);
  buf_put_cstr(&t->out, "\n      |");
  buf_put_repeat(&t->out, ' ', pos.column);
  put_colour(t, COLOUR_ERROR);
  buf_put_char(&t->out, '^');
  put_colour(t, COLOUR_OFF);
  put_code_line(t, pos.source, pos.line + 1);
  buf_put_char(&t->out, '\n');
  return true;
}

// *count: frames shown so far; one with a position counts twice.
static void put_trace(ErrorText *t, const EvalTrace *trace, size_t *count) {
  buf_printf(&t->out, "\n… %s\n", trace->message);
  if (put_pos(t, "  ", trace->pos)) ++*count;
}

// Up to this many repeated frames are shown; more become one line.
#define REPEATED_SHOWN_MAX 5

static void put_repeated(ErrorText *t, const EvalError *e, size_t *repeated, size_t n, size_t *count) {
  if (n == 0) return;
  if (n <= REPEATED_SHOWN_MAX) {
    for (size_t i = 0; i < n; i++) put_trace(t, eval_error_get_trace(e, repeated[i]), count);
    return;
  }
  buf_put_char(&t->out, '\n');
  put_colour(t, COLOUR_WARNING);
  buf_printf(&t->out, "(%zu duplicate frames omitted)", n);
  put_colour(t, COLOUR_OFF);
  buf_put_char(&t->out, '\n');
}

static void put_traces(ErrorText *t, const EvalError *e) {
  Map seen = MAP_INIT;
  Buf key = BUF_INIT;
  size_t count = 0, repeated_count = 0, repeated[REPEATED_SHOWN_MAX];
  bool truncated = false;
  for (size_t i = e->trace_count; i-- > 0;) { // outermost first
    const EvalTrace *trace = eval_error_get_trace(e, i);
    if (e->dropped_count && i == TRACES_HALF - 1 && !truncated)
      buf_printf(&t->out, "\n(%zu frames omitted)\n", e->dropped_count);
    if (!trace->message[0] || (trace->call && !t->format->show_trace)) continue;
    if (!t->format->show_trace && count > 3) truncated = true;
    if (truncated && !trace->always) continue;
    buf_clear(&key);
    buf_printf(&key, "%u %s", trace->pos, trace->message);
    if (map_has(&seen, buf_span(&key))) {
      if (repeated_count < REPEATED_SHOWN_MAX) repeated[repeated_count] = i;
      repeated_count++;
      continue;
    }
    map_set(&seen, buf_span(&key), NULL);
    put_repeated(t, e, repeated, repeated_count, &count);
    repeated_count = 0;
    count++;
    put_trace(t, trace, &count);
  }
  put_repeated(t, e, repeated, repeated_count, &count);
  if (truncated) {
    buf_put_char(&t->out, '\n');
    put_colour(t, COLOUR_WARNING);
    buf_put_cstr(&t->out, "(stack trace truncated; use '--show-trace' to show the full, detailed trace)");
    put_colour(t, COLOUR_OFF);
    buf_put_char(&t->out, '\n');
  }
  map_done(&seen);
  buf_done(&key);
}

// ---- cycles ----

// Of a longer cycle so many members at both ends are shown without show_trace.
#define CYCLE_SHOWN 4

void eval_error_add_cycle(Vm *vm, EvalCycleStep step) {
  EvalError *e = vm->error;
  if (!e || e->cycle_count == EVAL_ERROR_MAX_CYCLE) return;
  MEM_RESERVE(e->cycle, e->cycle_cap, e->cycle_count + 1);
  e->cycle[e->cycle_count++] = step;
}

static void put_place(ErrorText *t, PosId id) {
  Pos pos;
  if (!pos_resolve(t->vm->positions, id, &pos)) return;
  buf_put_cstr(&t->out, " at ");
  put_colour(t, COLOUR_WARNING);
  print_path(span_cstr(pos.source->origin), &t->out);
  buf_printf(&t->out, ":%u:%u", pos.line, pos.column);
  put_colour(t, COLOUR_OFF);
}

static void put_member(ErrorText *t, const EvalCycleStep *step) {
  if (step->name) buf_printf(&t->out, "'%.*s'", SPAN_ARG(symbol_text(t->vm->symbols, step->name)));
  else buf_put_cstr(&t->out, "a value");
}

// "'a' needs 'b' at f.nix:1:2" for each member.
static void put_cycle(ErrorText *t, const EvalError *e) {
  size_t count = e->cycle_count;
  if (!t->format->cycle || !count) return;
  buf_put_char(&t->out, '\n');
  for (size_t i = 0; i < count; i++) {
    const EvalCycleStep *step = &e->cycle[count - 1 - i], *next = &e->cycle[i + 1 < count ? count - 2 - i : count - 1];
    if (!t->format->show_trace && count > 2 * CYCLE_SHOWN + 1 && i == CYCLE_SHOWN) {
      buf_printf(&t->out, "… %zu more, shown with --show-trace\n", count - 2 * CYCLE_SHOWN);
      i = count - CYCLE_SHOWN - 1;
      continue;
    }
    buf_put_cstr(&t->out, "… ");
    put_member(t, step);
    if (!step->name || t->format->show_trace) put_place(t, step->defined);
    buf_put_cstr(&t->out, count == 1 ? " needs itself" : " needs ");
    if (count > 1) put_member(t, next);
    put_place(t, step->asks);
    buf_put_char(&t->out, '\n');
  }
}

static void put_prefix(ErrorText *t) {
  put_colour(t, COLOUR_ERROR);
  buf_put_cstr(&t->out, "error:");
  put_colour(t, COLOUR_OFF);
  buf_put_char(&t->out, ' ');
}

static void put_message(ErrorText *t, const EvalError *e, PosId pos) {
  buf_put_span(&t->out, buf_span(&e->message));
  buf_put_char(&t->out, '\n');
  put_pos(t, "", pos);
  buf_put_span(&t->out, buf_span(&e->suggestions));
}

// Frames of the program's own texts that are shown without show_trace: the innermost ones.
#define BRIEF_SHOWN 3

// Cause and place, and what the program itself had to say (addErrorContext).
static void put_brief(ErrorText *t, const EvalError *e) {
  PosId pos = e->pos;
  for (size_t i = 0; i < e->trace_count && !pos; i++) pos = eval_error_get_trace(e, i)->pos;
  put_message(t, e, pos);
  put_cycle(t, e);
  size_t shown = 0;
  bool has_package = false;
  for (size_t i = 0; i < e->trace_count; i++) {
    Span text = span_cstr(eval_error_get_trace(e, i)->message), line;
    bool package = !has_package && span_has_prefix(text, SPAN("while evaluating derivation '"));
    if (!package && (!eval_error_get_trace(e, i)->always || shown >= BRIEF_SHOWN)) continue;
    has_package |= package;
    if (package) span_split(&text, '\n', &line); // where its name stands is a detail
    else line = text;
    buf_printf(&t->out, "\n… %.*s\n", SPAN_ARG(line));
    shown++;
  }
  if (e->trace_count > shown) buf_put_cstr(&t->out, "\n(use '--show-trace' to show what led here)\n");
}

// Appends `text` without white space at its end; its lines behind the first are indented below the first.
static void put_indented(Buf *ret, size_t line_start, size_t indent, Span text) {
  while (text.len && memchr(" \n\r\t", text.data[text.len - 1], 4)) text.len--;
  Span line;
  for (bool first = true; text.len; first = false) {
    span_split(&text, '\n', &line);
    if (!first) {
      line_start = ret->len;
      buf_put_repeat(ret, ' ', indent);
    }
    buf_put_span(ret, line);
    while (ret->len > line_start && memchr(" \r\t", ret->data[ret->len - 1], 3)) ret->len--;
    if (text.len) buf_put_char(ret, '\n');
  }
}

void eval_error_indent(Span prefix, Span text, Buf *ret) {
  size_t line_start = ret->len;
  buf_put_span(ret, prefix);
  put_indented(ret, line_start, prefix.len, text);
}

void eval_error_format(Vm *vm, const EvalError *e, const EvalErrorFormat *format, Buf *ret) {
  ErrorText t = {vm, format, BUF_INIT};
  put_prefix(&t);
  size_t line_start = ret->len;
  buf_put_span(ret, buf_span(&t.out));
  buf_clear(&t.out);
  if (format->brief) {
    put_brief(&t, e);
  } else {
    put_traces(&t, e);
    if (t.out.len) { // something was shown
      buf_put_char(&t.out, '\n');
      put_prefix(&t);
    }
    put_message(&t, e, e->pos);
    put_cycle(&t, e);
  }
  put_indented(ret, line_start, strlen("error: "), buf_span(&t.out));
  buf_done(&t.out);
}
