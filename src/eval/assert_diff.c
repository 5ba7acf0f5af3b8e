// assert_diff.c: see assert_diff.h. Follows native_equal step by step: it runs after that has found a difference.
#include "eval/assert_diff.h"

#include "eval/attrs.h"
#include "eval/list.h"
#include "eval/print.h"
#include "eval/str.h"

// What is being compared when an error passes through.
typedef enum DiffPart { PART_NONE, PART_ITEM, PART_ATTR, PART_OUT_PATH } DiffPart;

enum { A, B, I, PART, SLOT_COUNT };

// `format` takes the text of both values. Always an error.
static Step differ(Native *n, const char *before, const char *between, const char *behind) {
  Buf text = BUF_INIT;
  buf_put_cstr(&text, before);
  print_value(n->vm, n->slot[A], &print_options_error, VALUE_ABSENT, &text);
  buf_put_cstr(&text, between);
  print_value(n->vm, n->slot[B], &print_options_error, VALUE_ABSENT, &text);
  buf_put_cstr(&text, behind);
  eval_error(n->vm, EVAL_ERROR_ASSERT, 0, "%s", buf_cstr(&text));
  buf_done(&text);
  return STEP_ERROR;
}

static Step differ_in_type(Native *n, const char *of) {
  Buf before = BUF_INIT, between = BUF_INIT;
  buf_printf(&before, "%s %s value '", eval_error_type_phrase(n->vm, n->slot[A]), of);
  buf_printf(&between, "' is not equal to %s %s value '", eval_error_type_phrase(n->vm, n->slot[B]), of);
  Step step = differ(n, buf_cstr(&before), buf_cstr(&between), "'");
  buf_done(&before);
  buf_done(&between);
  return step;
}

static Step differ_in_size(Native *n) {
  Buf before = BUF_INIT;
  buf_printf(&before, "list of size '%zu' is not equal to list of size '%zu', left hand side is '",
             list_count(n->slot[A]), list_count(n->slot[B]));
  Step step = differ(n, buf_cstr(&before), "', right hand side is '", "'");
  buf_done(&before);
  return step;
}

static Sym name_at(Vm *vm, Value set, size_t i) {
  return attrs_flat_shape(set)->names[attrs_nth(vm, set, i)];
}

static Step differ_in_names(Native *n, size_t i) {
  bool left = attrs_has(n->slot[B], name_at(n->vm, n->slot[A], i)); // then B has a name that A lacks
  Buf before = BUF_INIT, name = BUF_INIT;
  print_attr_name(symbol_text(n->vm->symbols, name_at(n->vm, n->slot[left ? B : A], i)), &name);
  buf_printf(&before, left ? "attribute name '%s' is missing in '" : "attribute name '%s' is contained in '",
             buf_cstr(&name));
  Step step = differ(n, buf_cstr(&before), left ? "', but is contained in '" : "', but not in '", "'");
  buf_done(&before);
  buf_done(&name);
  return step;
}

static size_t attr_count(Value set) {
  return set == VALUE_EMPTY_ATTRS ? 0 : attrs_flat_shape(set)->count;
}

static bool has_type_and_path(Value set) {
  return attrs_has(set, SYM_type) && attrs_has(set, SYM_out_path);
}

static bool says_derivation(Value type) {
  return value_is_string(type) && span_eq_cstr(str_span(type), "derivation");
}

// Two values without parts. STEP_RETURN when they are equal.
static Step compare_simple(Native *n) {
  Value a = n->slot[A], b = n->slot[B];
  n->result = VALUE_TRUE;
  switch (value_type(a)) {
  case TYPE_BOOL: return a == b ? STEP_RETURN : differ(n, "boolean '", "' is not equal to boolean '", "'");
  case TYPE_STRING:
    return span_eq(str_span(a), str_span(b)) ? STEP_RETURN : differ(n, "string '", "' is not equal to string '", "'");
  case TYPE_PATH:
    return span_eq(str_span(a), str_span(b)) ? STEP_RETURN : differ(n, "path '", "' is not equal to path '", "'");
  case TYPE_LAMBDA:
    eval_error(n->vm, EVAL_ERROR_ASSERT, 0,
               "distinct functions and immediate comparisons of identical functions compare as unequal");
    return STEP_ERROR;
  case TYPE_INT:
  case TYPE_FLOAT:
  case TYPE_NULL:
  case TYPE_ATTRS:
  case TYPE_LIST:
  case TYPE_THUNK: break;
  }
  return STEP_RETURN;
}

static bool numbers_equal(Value a, Value b) {
  if (value_is_int(a) && value_is_int(b)) return value_get_int(a) == value_get_int(b);
  double x = value_is_int(a) ? (double)value_get_int(a) : value_get_float(a);
  double y = value_is_int(b) ? (double)value_get_int(b) : value_get_float(b);
  return x == y;
}

static bool is_number(Value v) {
  return value_is_int(v) || value_is_float(v);
}

static const NativeDef diff_native;

static Step diff_step(Native *n) {
  NATIVE_BEGIN(n);
  native_set(n, PART, PART_NONE);
  NATIVE_FORCE(n, n->slot[A]);
  n->slot[A] = n->result;
  NATIVE_FORCE(n, n->slot[B]);
  n->slot[B] = n->result;
  if (is_number(n->slot[A]) && is_number(n->slot[B])) {
    if (!numbers_equal(n->slot[A], n->slot[B])) return differ_in_type(n, "with");
    NATIVE_RETURN(n, VALUE_TRUE);
  }
  if (value_type(n->slot[A]) != value_type(n->slot[B])) return differ_in_type(n, "of");
  if (value_is_list(n->slot[A])) {
    if (list_count(n->slot[A]) != list_count(n->slot[B])) return differ_in_size(n);
    native_set(n, PART, PART_ITEM);
    for (native_set(n, I, 0); (size_t)native_get(n, I) < list_count(n->slot[A]); native_add(n, I, 1)) {
      n->args[0] = value_ask(list_get(n->vm, n->slot[A], (size_t)native_get(n, I)));
      n->args[1] = value_ask(list_get(n->vm, n->slot[B], (size_t)native_get(n, I)));
      if (n->args[0] == n->args[1] && value_is_whnf(n->args[0])) continue;
      NATIVE_PUSH(n, &diff_native);
    }
    NATIVE_RETURN(n, VALUE_TRUE);
  }
  if (!value_is_attrs(n->slot[A])) return compare_simple(n);

  if (has_type_and_path(n->slot[A]) && has_type_and_path(n->slot[B])) {
    NATIVE_FORCE(n, attrs_get(n->vm, n->slot[A], SYM_type));
    if (says_derivation(n->result)) {
      NATIVE_FORCE(n, attrs_get(n->vm, n->slot[B], SYM_type));
      if (says_derivation(n->result)) {
        native_set(n, PART, PART_OUT_PATH);
        n->args[0] = attrs_get(n->vm, n->slot[A], SYM_out_path);
        n->args[1] = attrs_get(n->vm, n->slot[B], SYM_out_path);
        NATIVE_PUSH(n, &diff_native);
        NATIVE_RETURN(n, VALUE_TRUE);
      }
    }
  }
  n->slot[A] = attrs_flatten(n->vm, n->slot[A]);
  n->slot[B] = attrs_flatten(n->vm, n->slot[B]);
  if (attr_count(n->slot[A]) != attr_count(n->slot[B]))
    return differ(n, "attribute names of attribute set '", "' differs from attribute set '", "'");
  for (native_set(n, I, 0); (size_t)native_get(n, I) < attr_count(n->slot[A]); native_add(n, I, 1)) {
    if (name_at(n->vm, n->slot[A], (size_t)native_get(n, I)) != name_at(n->vm, n->slot[B], (size_t)native_get(n, I)))
      return differ_in_names(n, (size_t)native_get(n, I));
    n->args[0] = value_ask(attrs_slot(n->vm, n->slot[A], attrs_nth(n->vm, n->slot[A], (size_t)native_get(n, I))));
    n->args[1] = value_ask(attrs_slot(n->vm, n->slot[B], attrs_nth(n->vm, n->slot[B], (size_t)native_get(n, I))));
    if (n->args[0] == n->args[1] && value_is_whnf(n->args[0])) continue;
    native_set(n, PART, PART_ATTR);
    NATIVE_PUSH(n, &diff_native);
    native_set(n, PART, PART_NONE);
  }
  NATIVE_RETURN(n, VALUE_TRUE);
  NATIVE_END;
}

static void trace_attr(Native *n) {
  const Shape *a = attrs_flat_shape(n->slot[A]), *b = attrs_flat_shape(n->slot[B]);
  size_t item = (size_t)native_get(n, I);
  uint32_t i = attrs_nth(n->vm, n->slot[A], item), j = attrs_nth(n->vm, n->slot[B], item);
  if (shape_position(b, j)) eval_error_trace(n->vm, shape_position(b, j), "where right hand side is");
  if (shape_position(a, i)) eval_error_trace(n->vm, shape_position(a, i), "where left hand side is");
  Buf name = BUF_INIT;
  print_attr_name(symbol_text(n->vm->symbols, a->names[i]), &name);
  eval_error_trace(n->vm, 0, "while comparing attribute '%s'", buf_cstr(&name));
  buf_done(&name);
}

static void diff_trace(Native *n) {
  switch ((DiffPart)native_get(n, PART)) {
  case PART_ITEM: eval_error_trace(n->vm, 0, "while comparing list element %lld", (long long)native_get(n, I)); break;
  case PART_ATTR: trace_attr(n); break;
  case PART_OUT_PATH: eval_error_trace(n->vm, 0, "while comparing a derivation by its 'outPath' attribute"); break;
  case PART_NONE: break;
  }
}

static const NativeDef diff_native = {
    .name = "==", .step = diff_step, .arg_count = 2, .slot_count = SLOT_COUNT, .trace = diff_trace};

// ---- the assertion ----

enum { ASSERT_A, ASSERT_B, ASSERT_TEXT, ASSERT_POS };

static Step assert_diff_step(Native *n) {
  NATIVE_BEGIN(n);
  n->args[0] = n->slot[ASSERT_A];
  n->args[1] = n->slot[ASSERT_B];
  NATIVE_PUSH(n, &diff_native);
  eval_error(n->vm, EVAL_ERROR_ASSERT, (PosId)native_get(n, ASSERT_POS), "assertion '%.*s' failed",
             SPAN_ARG(str_span(n->slot[ASSERT_TEXT])));
  native_set(n, ASSERT_POS, -1);
  return STEP_ERROR;
  NATIVE_END;
}

static void assert_diff_trace(Native *n) {
  EvalErrorKind kind = eval_error_pending(n->vm)->kind;
  if (native_get(n, ASSERT_POS) < 0 || (kind != EVAL_ERROR_ASSERT && kind != EVAL_ERROR_THROW)) return;
  eval_error_trace(n->vm, (PosId)native_get(n, ASSERT_POS), "while evaluating the condition of the assertion '%.*s'",
                   SPAN_ARG(str_span(n->slot[ASSERT_TEXT])));
}

const NativeDef assert_diff_native = {
    .name = "assert", .step = assert_diff_step, .arg_count = 4, .slot_count = 4, .trace = assert_diff_trace};
