// builtins_strings.c: builtins on strings, except regular expressions (builtins_regex.c) and contexts (builtins_context.c).
#include "base/log.h"
#include "base/mem.h"
#include "eval/builtins/builtins_util.h"
#include "eval/builtins/registry.h"
#include "formats/hash.h"

static void trace_coerce_0(Native *n) {
  builtins_util_trace_coerce(n, 0, 1);
}

static Value int_to_string(Vm *vm, int64_t i) {
  char digits[BUF_DIGITS_MAX];
  return str_plain(vm, buf_digits(i, digits));
}

static Value to_string_fast(Vm *vm, Value *args) {
  if (value_is_string(args[0])) return args[0];
  return value_is_int(args[0]) ? int_to_string(vm, value_get_int(args[0])) : VALUE_ABSENT;
}

static Step to_string_step(Native *n) {
  enum { V, FRAME };
  NATIVE_BEGIN(n);
  if (value_is_int(n->slot[V])) NATIVE_RETURN(n, int_to_string(n->vm, value_get_int(n->slot[V])));
  NATIVE_COERCE_FOR(n, n->slot[V], COERCE_MORE, V, FRAME, ARG1 "toString");
  NATIVE_RETURN(n, n->result);
  NATIVE_END;
}

static const NativeDef to_string_native = {
    .name = "toString", .step = to_string_step, .arg_count = 1, .slot_count = 2, .trace = trace_coerce_0};

static Value string_length_fast(Vm *vm, Value *args) {
  return value_is_string(args[0]) ? value_int((int64_t)str_span(args[0]).len) : VALUE_ABSENT;
}

static Step string_length_step(Native *n) {
  enum { V, FRAME };
  NATIVE_BEGIN(n);
  NATIVE_COERCE_FOR(n, n->slot[V], COERCE_COPY, V, FRAME, ARG "stringLength");
  NATIVE_RETURN(n, value_int((int64_t)str_span(n->result).len));
  NATIVE_END;
}

static const NativeDef string_length_native = {
    .name = "stringLength", .step = string_length_step, .arg_count = 1, .slot_count = 2, .trace = trace_coerce_0};

#define SUBSTRING_START "while evaluating the first argument (the start offset) passed to builtins.substring"
#define SUBSTRING_LENGTH "while evaluating the second argument (the substring length) passed to builtins.substring"
#define SUBSTRING_STRING "while evaluating the third argument (the string) passed to builtins.substring"

// `length` negative: to the end.
static Value substring_of(Vm *vm, Value string, Value start, Value length) {
  int64_t len = value_get_int(length);
  return str_sub(vm, string, (size_t)value_get_int(start), len < 0 ? SIZE_MAX : (size_t)len);
}

static Value substring_fast(Vm *vm, Value *args) {
  if (!value_is_small_int(args[0]) || value_small_int(args[0]) < 0 || !value_is_small_int(args[1])) return VALUE_ABSENT;
  return value_is_string(args[2]) ? substring_of(vm, args[2], args[0], args[1]) : VALUE_ABSENT;
}

static Step substring_step(Native *n) {
  enum { START, LENGTH, STRING, FRAME };
  NATIVE_BEGIN(n);
  if (!expect_int(n->vm, n->slot[START], SUBSTRING_START)) return STEP_ERROR;
  if (value_get_int(n->slot[START]) < 0) {
    eval_error(n->vm, EVAL_ERROR_EVAL, 0, "negative start position in 'substring'");
    return STEP_ERROR;
  }
  if (!expect_int(n->vm, n->slot[LENGTH], SUBSTRING_LENGTH)) return STEP_ERROR;
  NATIVE_COERCE_FOR(n, n->slot[STRING], COERCE_COPY, STRING, FRAME, SUBSTRING_STRING);
  NATIVE_RETURN(n, substring_of(n->vm, n->result, n->slot[START], n->slot[LENGTH]));
  NATIVE_END;
}

static void substring_trace(Native *n) {
  builtins_util_trace_coerce(n, 2, 3);
}

static const NativeDef substring_native = {
    .name = "substring", .step = substring_step, .arg_count = 3, .slot_count = 4, .trace = substring_trace};

// ---- concatStringsSep ----

static Value concat_strings(Vm *vm, Value separator, Value list) {
  size_t count = list_count(list);
  const Value *items = list_items(vm, list);
  Span sep = str_span(separator);
  size_t total = count ? sep.len * (count - 1) : 0;
  const Context *context = str_context(separator);
  for (size_t i = 0; i < count; i++) {
    total += str_span(items[i]).len;
    context = context_union(vm->contexts, context, str_context(items[i]));
  }
  char *at;
  Value result = str_alloc(vm, total, context, &at);
  for (size_t i = 0; i < count; i++) {
    Span part = str_span(items[i]);
    if (i && sep.len) at = (char *)memcpy(at, sep.data, sep.len) + sep.len;
    if (part.len) at = (char *)memcpy(at, part.data, part.len) + part.len;
  }
  return result;
}

#define CONCAT_SEPARATOR \
  "while evaluating the first argument (the separator string) passed to builtins.concatStringsSep"
#define CONCAT_LIST \
  "while evaluating the second argument (the list of strings to concat) passed to builtins.concatStringsSep"
#define CONCAT_ELEMENT \
  "while evaluating one element of the list of strings to concat passed to builtins.concatStringsSep"

static Step concat_strings_sep_step(Native *n) {
  enum { SEPARATOR, LIST, FRAME, I, STRINGS, ITEM };
  NATIVE_BEGIN(n);
  if (!expect_string(n->vm, n->slot[SEPARATOR], CONCAT_SEPARATOR)) return STEP_ERROR;
  if (!expect_list(n->vm, n->slot[LIST], CONCAT_LIST)) return STEP_ERROR;
  n->slot[STRINGS] = scratch_new(n->vm, list_count(n->slot[LIST]));
  for (native_set(n, I, 0); (size_t)native_get(n, I) < list_count(n->slot[LIST]); native_add(n, I, 1)) {
    NATIVE_COERCE_FOR(n, list_get(n->vm, n->slot[LIST], (size_t)native_get(n, I)), COERCE_COPY, ITEM, FRAME,
                      CONCAT_ELEMENT);
    list_set(n->vm, n->slot[STRINGS], (size_t)native_get(n, I), n->result);
  }
  NATIVE_RETURN(n, concat_strings(n->vm, n->slot[SEPARATOR], n->slot[STRINGS]));
  NATIVE_END;
}

static void concat_strings_sep_trace(Native *n) {
  builtins_util_trace_coerce(n, 5, 2);
}

static void concat_strings_sep_sparks(Native *n, SparkSink *sink) {
  spark_items(n, sink, n->slot[1], (size_t)native_get(n, 3) + 1);
}

static const NativeDef concat_strings_sep_native = {.name = "concatStringsSep",
                                                    .step = concat_strings_sep_step,
                                                    .arg_count = 2,
                                                    .slot_count = 6,
                                                    .trace = concat_strings_sep_trace,
                                                    .sparks = concat_strings_sep_sparks};

// ---- replaceStrings ----
//
// Where patterns match does not depend on the replacements, and a replacement is evaluated only when its pattern matches. So one pass
// finds out which are needed, in order; then they are evaluated; a second pass writes the result.

typedef struct Patterns {
  Span *texts; // owned
  uint32_t count;
  uint32_t empty;      // the first pattern that is "", which ends the list: it matches everywhere; else UINT32_MAX
  uint32_t first[256]; // by first byte: number + 1 of the first pattern, 0: none
  uint32_t *next;      // owned; the next pattern with the same first byte
} Patterns;

static void patterns_init(Patterns *p, Vm *vm, Value from) {
  size_t count = list_count(from);
  *p = (Patterns){.texts = mem_alloc_array(count + 1, sizeof *p->texts),
                  .empty = UINT32_MAX,
                  .next = mem_alloc_array(count + 1, sizeof *p->next)};
  for (size_t i = 0; i < count && p->empty == UINT32_MAX; i++) {
    p->texts[p->count] = str_span(value_follow(list_get(vm, from, i)));
    if (!p->texts[p->count].len) p->empty = p->count;
    p->count++;
  }
  for (uint32_t i = p->count; i-- > 0;) {
    if (i == p->empty) continue;
    unsigned char c = (unsigned char)p->texts[i].data[0];
    p->next[i] = p->first[c];
    p->first[c] = i + 1;
  }
}

static void patterns_done(Patterns *p) {
  mem_free(p->texts);
  mem_free(p->next);
}

// The pattern that matches at the start of `rest`, or UINT32_MAX.
static uint32_t patterns_match(const Patterns *p, Span rest) {
  if (!rest.len) return p->empty;
  for (uint32_t i = p->first[(unsigned char)rest.data[0]]; i; i = p->next[i - 1])
    if (span_has_prefix(rest, p->texts[i - 1])) return i - 1;
  return p->empty;
}

// Calls `emit` for every match and every byte that is kept (pattern UINT32_MAX).
static void patterns_walk(const Patterns *p, Span s, void (*emit)(void *ctx, uint32_t pattern, char byte), void *ctx) {
  for (size_t at = 0; at <= s.len;) {
    uint32_t i = patterns_match(p, span_from(s, at));
    if (i != UINT32_MAX) emit(ctx, i, 0);
    if (i == UINT32_MAX || i == p->empty) {
      if (at < s.len) emit(ctx, UINT32_MAX, s.data[at]);
      at++;
    } else {
      at += p->texts[i].len;
    }
  }
}

typedef struct NeededPatterns {
  bool *seen;
  ListBuilder list;
} NeededPatterns;

static void note_needed(void *ctx, uint32_t pattern, char byte) {
  NeededPatterns *needed = ctx;
  if (pattern == UINT32_MAX || needed->seen[pattern]) return;
  needed->seen[pattern] = true;
  list_builder_add(&needed->list, value_int(pattern));
}

// Numbers of the patterns that match somewhere, in the order of their first matches.
static Value needed_patterns(Vm *vm, Value from, Value s) {
  Patterns p;
  patterns_init(&p, vm, from);
  NeededPatterns needed = {mem_alloc_zero(p.count + 1), LIST_BUILDER_INIT};
  patterns_walk(&p, str_span(s), note_needed, &needed);
  mem_free(needed.seen);
  patterns_done(&p);
  return list_builder_finish(vm, &needed.list);
}

typedef struct Replacement {
  Vm *vm;
  Value to;
  Buf out;
} Replacement;

static void put_replacement(void *ctx, uint32_t pattern, char byte) {
  Replacement *r = ctx;
  if (pattern == UINT32_MAX) buf_put_char(&r->out, byte);
  else buf_put_span(&r->out, str_span(value_follow(list_get(r->vm, r->to, pattern))));
}

static Value replace_strings(Vm *vm, Value from, Value to, Value s, Value needed) {
  if (needed == VALUE_EMPTY_LIST) return s;
  const Context *context = str_context(s);
  for (size_t i = 0; i < list_count(needed); i++) {
    Value replacement = value_follow(list_get(vm, to, (size_t)value_small_int(list_get(vm, needed, i))));
    context = context_union(vm->contexts, context, str_context(replacement));
  }
  Patterns p;
  patterns_init(&p, vm, from);
  Replacement r = {vm, to, BUF_INIT};
  buf_reserve(&r.out, str_span(s).len + 1);
  patterns_walk(&p, str_span(s), put_replacement, &r);
  Value result = str_new(vm, buf_span(&r.out), context);
  buf_done(&r.out);
  patterns_done(&p);
  return result;
}

static Step replace_strings_step(Native *n) {
  enum { FROM, TO, S, FRAME, I, NEEDED };
  static const char from_frame[] = "while evaluating one of the strings to replace passed to builtins.replaceStrings";
  static const char to_frame[] = "while evaluating one of the replacement strings passed to builtins.replaceStrings";
  NATIVE_BEGIN(n);
  if (!expect_list(n->vm, n->slot[FROM], ARG1 "replaceStrings")) return STEP_ERROR;
  if (!expect_list(n->vm, n->slot[TO], ARG2 "replaceStrings")) return STEP_ERROR;
  if (list_count(n->slot[FROM]) != list_count(n->slot[TO])) {
    eval_error(n->vm, EVAL_ERROR_EVAL, 0,
               "'from' and 'to' arguments passed to builtins.replaceStrings have different lengths");
    return STEP_ERROR;
  }
  for (native_set(n, I, 0); (size_t)native_get(n, I) < list_count(n->slot[FROM]); native_add(n, I, 1)) {
    NATIVE_FORCE_FOR(n, list_get(n->vm, n->slot[FROM], (size_t)native_get(n, I)), FRAME, from_frame);
    if (!expect_string(n->vm, n->result, from_frame)) return STEP_ERROR;
  }
  NATIVE_FORCE_FOR(n, n->slot[S], FRAME, ARG3 "replaceStrings");
  n->slot[S] = n->result;
  if (!expect_string(n->vm, n->slot[S], ARG3 "replaceStrings")) return STEP_ERROR;
  n->slot[NEEDED] = needed_patterns(n->vm, n->slot[FROM], n->slot[S]);
  for (native_set(n, I, 0); (size_t)native_get(n, I) < list_count(n->slot[NEEDED]); native_add(n, I, 1)) {
    NATIVE_FORCE_FOR(n,
                     list_get(n->vm, n->slot[TO],
                              (size_t)value_small_int(list_get(n->vm, n->slot[NEEDED], (size_t)native_get(n, I)))),
                     FRAME, to_frame);
    if (!expect_string(n->vm, n->result, to_frame)) return STEP_ERROR;
  }
  NATIVE_RETURN(n, replace_strings(n->vm, n->slot[FROM], n->slot[TO], n->slot[S], n->slot[NEEDED]));
  NATIVE_END;
}

static void replace_strings_trace(Native *n) {
  trace_slot(n, 3);
}

static const NativeDef replace_strings_native = {.name = "replaceStrings",
                                                 .step = replace_strings_step,
                                                 .arg_count = 3,
                                                 .slot_count = 6,
                                                 .trace = replace_strings_trace};

// ---- hashes ----

static Value hash_string(Vm *vm, HashAlgo algo, Span text) {
  Hash hash;
  hash_of(algo, text, &hash);
  Buf digits = BUF_INIT;
  hash_format(&hash, HASH_FORMAT_BASE16, false, &digits);
  Value result = str_plain(vm, buf_span(&digits));
  buf_done(&digits);
  return result;
}

static Step hash_string_step(Native *n) {
  enum { ALGO, TEXT, FRAME };
  HashAlgo algo = HASH_SHA256;
  NATIVE_BEGIN(n);
  if (!expect_text(n->vm, n->slot[ALGO], ARG1 "hashString")) return STEP_ERROR;
  {
    Err err = ERR_INIT;
    if (!hash_algo_parse(str_span(n->slot[ALGO]), &algo, &err)) {
      eval_error_from_err(n->vm, EVAL_ERROR_EVAL, 0, &err);
      return STEP_ERROR;
    }
    native_set(n, ALGO, algo);
  }
  NATIVE_FORCE_FOR(n, n->slot[TEXT], FRAME, ARG2 "hashString");
  if (!expect_string(n->vm, n->result, ARG2 "hashString")) return STEP_ERROR;
  NATIVE_RETURN(n, hash_string(n->vm, (HashAlgo)native_get(n, ALGO), str_span(n->result)));
  NATIVE_END;
}

static void hash_string_trace(Native *n) {
  trace_slot(n, 2);
}

static const NativeDef hash_string_native = {
    .name = "hashString", .step = hash_string_step, .arg_count = 2, .slot_count = 3, .trace = hash_string_trace};

static bool convert_hash(Vm *vm, Span text, Value algo_name, Span format_name, Buf *ret, Err *err) {
  HashAlgo algo;
  HashFormat format;
  Hash hash;
  if (algo_name != VALUE_NULL && !hash_algo_parse(str_span(algo_name), &algo, err)) return false;
  if (!hash_format_parse(format_name, &format, err)) return false;
  if (span_eq_cstr(format_name, "base32")) log_warn("\"base32\" is a deprecated alias for hash format \"nix32\".");
  if (!hash_parse(text, algo_name == VALUE_NULL ? NULL : &algo, &hash, err)) return false;
  hash_format(&hash, format, format == HASH_FORMAT_SRI, ret);
  return true;
}

static bool convert_hash_lacks(Native *n, Value set, Sym name) {
  if (attrs_has(set, name)) return false;
  Span text = symbol_text(n->vm->symbols, name);
  eval_error(n->vm, EVAL_ERROR_MISSING, 0, "attribute '%.*s' missing", SPAN_ARG(text));
  eval_error_trace(n->vm, 0, "while locating the attribute '%.*s'", SPAN_ARG(text));
  return true;
}

static Sym intern(Native *n, const char *text) {
  return symbol_intern(n->vm->symbols, span_cstr(text));
}

static Step convert_hash_step(Native *n) {
  enum { SET, FRAME, HASH, ALGO, FORMAT };
  NATIVE_BEGIN(n);
  if (!expect_attrs(n->vm, n->slot[SET], ARG1 "convertHash")) return STEP_ERROR;
  if (convert_hash_lacks(n, n->slot[SET], intern(n, "hash"))) return STEP_ERROR;
  NATIVE_FORCE_FOR(n, attrs_get(n->vm, n->slot[SET], intern(n, "hash")), FRAME,
                   "while evaluating the attribute 'hash'");
  n->slot[HASH] = n->result;
  if (!expect_text(n->vm, n->slot[HASH], "while evaluating the attribute 'hash'")) return STEP_ERROR;
  n->slot[ALGO] = VALUE_NULL;
  if (attrs_has(n->slot[SET], intern(n, "hashAlgo"))) {
    NATIVE_FORCE_FOR(n, attrs_get(n->vm, n->slot[SET], intern(n, "hashAlgo")), FRAME,
                     "while evaluating the attribute 'hashAlgo'");
    n->slot[ALGO] = n->result;
    if (!expect_text(n->vm, n->slot[ALGO], "while evaluating the attribute 'hashAlgo'")) return STEP_ERROR;
  }
  if (convert_hash_lacks(n, n->slot[SET], intern(n, "toHashFormat"))) return STEP_ERROR;
  NATIVE_FORCE_FOR(n, attrs_get(n->vm, n->slot[SET], intern(n, "toHashFormat")), FRAME,
                   "while evaluating the attribute 'toHashFormat'");
  n->slot[FORMAT] = n->result;
  if (!expect_text(n->vm, n->slot[FORMAT], "while evaluating the attribute 'toHashFormat'")) return STEP_ERROR;
  {
    Buf text = BUF_INIT;
    Err err = ERR_INIT;
    bool ok = convert_hash(n->vm, str_span(n->slot[HASH]), n->slot[ALGO], str_span(n->slot[FORMAT]), &text, &err);
    n->result = ok ? str_plain(n->vm, buf_span(&text)) : eval_error_from_err(n->vm, EVAL_ERROR_EVAL, 0, &err);
    buf_done(&text);
    return ok ? STEP_RETURN : STEP_ERROR;
  }
  NATIVE_END;
}

static void convert_hash_trace(Native *n) {
  trace_slot(n, 1);
}

static const NativeDef convert_hash_native = {
    .name = "convertHash", .step = convert_hash_step, .arg_count = 1, .slot_count = 5, .trace = convert_hash_trace};

static const Builtin rows[] = {
    {"toString",
     1,
     1,
     BUILTIN_GLOBAL,
     to_string_fast,
     &to_string_native,
     "e",
     "Return *e* as a string: a string as it is, a path as its text, a number in decimal, `true` as `\"1\"`, `false` "
     "and `null` as `\"\"`, a list as "
     "its elements with blanks between, a set by its `__toString` or `outPath`.",
     NULL,
     {NULL}},
    {"stringLength",
     1,
     1,
     0,
     string_length_fast,
     &string_length_native,
     "e",
     "Return the number of bytes of the string *e*.",
     NULL,
     {NULL}},
    {"substring",
     3,
     7,
     0,
     substring_fast,
     &substring_native,
     "start len s",
     "Return the part of the string *s* that begins at byte *start*, counted from 0, and is at most *len* bytes long; "
     "a negative *len* means up to "
     "the end. What lies beyond the end of *s* is left out.\n\n```nix\nbuiltins.substring 0 3 \"nixos\"\n```\n\nis "
     "`\"nix\"`.",
     "oi.",
     {SUBSTRING_START, SUBSTRING_LENGTH, NULL}},
    {"concatStringsSep",
     2,
     3,
     0,
     NULL,
     &concat_strings_sep_native,
     "separator list",
     "Concatenate the strings in *list*, with *separator* between them.\n\n"
     "```nix\nbuiltins.concatStringsSep \"/\" [ \"usr\" \"local\" \"bin\" ]\n```\n\nis `\"usr/local/bin\"`.",
     "Sl",
     {CONCAT_SEPARATOR, CONCAT_LIST}},
    {"replaceStrings",
     3,
     3,
     0,
     NULL,
     &replace_strings_native,
     "from to s",
     "Return the string *s* with every occurrence of a string in the list *from* replaced by the string at the same "
     "place in *to*. Where several "
     "match, the first of them counts. A replacement is evaluated only when it is used.\n\n"
     "```nix\nbuiltins.replaceStrings [ \"oo\" \"a\" ] [ \"a\" \"i\" ] \"foobar\"\n```\n\nis `\"fabir\"`.",
     "ll",
     {ARG1 "replaceStrings", ARG2 "replaceStrings"}},
    {"hashString",
     2,
     1,
     0,
     NULL,
     &hash_string_native,
     "type s",
     "Return the digest of the string *s* in base 16. *type* is `\"md5\"`, `\"sha1\"`, `\"sha256\"` or `\"sha512\"`.",
     "sS",
     {ARG1 "hashString", ARG2 "hashString"}},
    {"convertHash",
     1,
     1,
     0,
     NULL,
     &convert_hash_native,
     "args",
     "Return a hash in another form. *args* is a set of `hash` in any form, `hashAlgo` (needed only where `hash` does "
     "not name its algorithm) and "
     "`toHashFormat`: `\"base16\"`, `\"nix32\"`, `\"base64\"` or `\"sri\"`.",
     "a",
     {ARG1 "convertHash"}},
};

const BuiltinTable builtins_strings_table = {rows, ARRAY_LEN(rows)};
