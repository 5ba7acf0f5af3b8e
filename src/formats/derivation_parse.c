// derivation_parse.c: the ATerm reader: recursive descent over one Span, with a sticky position for errors.
#include "formats/derivation_parse.h"

#include <stdlib.h>

#include "formats/byte_scan.h"

typedef struct Parser {
  Span text;
  size_t pos;
  Span store_dir;
  Arena *arena;
  bool versioned; // inputs may be dynamic
  Err *err;
} Parser;

static bool fail(Parser *p, const char *what) {
  return err_set(p->err, ERR_SYNTAX, "%s at byte %zu", what, p->pos);
}

static bool expect(Parser *p, Span token) {
  if (LIKELY(p->text.len - p->pos >= token.len && memcmp(p->text.data + p->pos, token.data, token.len) == 0)) {
    p->pos += token.len;
    return true;
  }
  return err_set(p->err, ERR_SYNTAX, "expected string '%.*s' at byte %zu", SPAN_ARG(token), p->pos);
}

static int peek(const Parser *p) {
  return p->pos < p->text.len ? (uint8_t)p->text.data[p->pos] : -1;
}

// Strings.

// From `start`, the index of the first '"' or '\\', or the end.
static size_t find_string_special(Span text, size_t start) {
  size_t i = start;
  for (; text.len - i >= 8; i += 8) {
    uint64_t word = byte_scan_load(text.data + i);
    uint64_t special = byte_scan_equal(word, '"') | byte_scan_equal(word, '\\');
    if (special) return i + byte_scan_first(special);
  }
  while (i < text.len && text.data[i] != '"' && text.data[i] != '\\') i++;
  return i;
}

// Where the string beginning at `start` ends, at its closing quote; p->text.len when it does not. `*ret_len` is its length
// without the backslashes.
static size_t measure_string(const Parser *p, size_t start, size_t *ret_len) {
  size_t i = start, escapes = 0;
  while (true) {
    i = find_string_special(p->text, i);
    if (i >= p->text.len || p->text.data[i] == '"') break;
    escapes++;
    i += 2;
    if (i > p->text.len) i = p->text.len;
  }
  *ret_len = i - start - escapes;
  return i;
}

static char unescape(char c) {
  return c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c;
}

// Copies [pos, end) to the arena without its escapes; `len` is the length that results.
static Span copy_unescaped(Parser *p, size_t pos, size_t end, size_t len) {
  char *copy = arena_alloc(p->arena, len + 1), *out = copy;
  Span raw = span_sub(p->text, 0, end);
  while (pos < end) {
    size_t run_end = find_string_special(raw, pos);
    memcpy(out, raw.data + pos, run_end - pos);
    out += run_end - pos;
    pos = run_end;
    if (pos < end) {
      *out++ = unescape(raw.data[pos + 1]);
      pos += 2;
    }
  }
  copy[len] = 0;
  return span_make(copy, len);
}

static bool parse_string(Parser *p, Span *ret) {
  if (!expect(p, SPAN("\""))) return false;
  size_t start = p->pos, len;
  size_t end = measure_string(p, start, &len);
  if (end >= p->text.len) {
    p->pos = start;
    return fail(p, "unterminated string in derivation");
  }
  p->pos = end + 1;
  if (len == end - start) *ret = span_sub(p->text, start, len);
  else *ret = copy_unescaped(p, start, end, len);
  return true;
}

// A string that writers do not escape (paths, names, hashes, the platform): had it escapes, it would not be written back the same.
static bool parse_plain(Parser *p, Span *ret) {
  size_t start = p->pos;
  if (!parse_string(p, ret)) return false;
  if (LIKELY(p->pos - start == ret->len + 2)) return true;
  p->pos = start;
  return fail(p, "a path, name, hash or platform with escapes");
}

static bool check_absolute(Parser *p, Span path) {
  if (path.len && path.data[0] == '/') return true;
  return err_set(p->err, ERR_SYNTAX, "bad path '%.*s' in derivation before byte %zu", SPAN_ARG(path), p->pos);
}

static bool check_store_path(Parser *p, Span path) {
  StorePath parsed;
  if (!check_absolute(p, path)) return false;
  if (!store_path_is_below(path, p->store_dir) ||
      span_find_char(span_from(path, p->store_dir.len + 1), '/') != SIZE_MAX)
    return err_set(p->err, ERR_SYNTAX, "path '%.*s' is not in the Nix store", SPAN_ARG(path));
  return store_path_parse(path, p->store_dir, &parsed, p->err);
}

// Lists. After "[" and between elements: true in *ret_end when the list has ended.

static bool next_element(Parser *p, bool is_first, bool *ret_end) {
  *ret_end = peek(p) == ']';
  if (*ret_end) {
    p->pos++;
    return true;
  }
  return is_first || expect(p, SPAN(","));
}

// Grows on the heap and ends in the arena, so that the arena holds no half-grown copies.
typedef struct SpanList {
  Span *items;
  size_t count, cap;
} SpanList;

static void span_list_done(SpanList *list) {
  mem_free(list->items);
}

static Span *keep_spans(Parser *p, const SpanList *list) {
  if (list->count == 0) return NULL;
  Span *kept = ARENA_ARRAY(p->arena, Span, list->count);
  memcpy(kept, list->items, list->count * sizeof(Span));
  return kept;
}

static bool parse_strings(Parser *p, bool plain, Span **ret, size_t *ret_count) {
  SpanList list CLEANUP(span_list_done) = {NULL, 0, 0};
  if (!expect(p, SPAN("["))) return false;
  for (bool end; next_element(p, list.count == 0, &end);) {
    if (end) {
      *ret = keep_spans(p, &list);
      *ret_count = list.count;
      return true;
    }
    MEM_RESERVE(list.items, list.cap, list.count + 1);
    if (!(plain ? parse_plain : parse_string)(p, &list.items[list.count])) return false;
    list.count++;
  }
  return false;
}

static bool is_sorted(const Span *items, size_t count) {
  for (size_t i = 1; i < count; i++)
    if (span_cmp(items[i - 1], items[i]) >= 0) return false;
  return true;
}

// A list that stands for a set: sorted here when it was not, repetitions refused.
static bool parse_string_set(Parser *p, const char *what, Span **ret, size_t *ret_count) {
  size_t start = p->pos;
  if (!parse_strings(p, true, ret, ret_count)) return false;
  if (LIKELY(is_sorted(*ret, *ret_count))) return true;
  size_t count = *ret_count;
  derivation_sort_spans(*ret, ret_count);
  if (count == *ret_count) return true;
  return err_set(p->err, ERR_SYNTAX, "a repeated %s in the list at byte %zu of the derivation", what, start);
}

// Sorts by the Span at the start of each element and refuses repetitions. Order of the text is kept when it was sorted.
static int compare_keys(const void *a, const void *b) {
  return span_cmp(*(const Span *)a, *(const Span *)b);
}

static bool sort_by_key(Parser *p, void *items, size_t count, size_t size, const char *what) {
  const char *bytes = items;
  bool sorted = true;
  for (size_t i = 1; i < count && sorted; i++) sorted = compare_keys(bytes + (i - 1) * size, bytes + i * size) < 0;
  if (LIKELY(sorted)) return true;
  qsort(items, count, size, compare_keys);
  for (size_t i = 1; i < count; i++)
    if (compare_keys(bytes + (i - 1) * size, bytes + i * size) == 0)
      return err_set(p->err, ERR_SYNTAX, "%s '%.*s' is repeated in the derivation", what,
                     SPAN_ARG(*(const Span *)(bytes + i * size)));
  return true;
}

// Outputs.

static bool content_output(Parser *p, Span drv_name, Span method_algo, Span hash, DerivationOutput *output) {
  if (!content_address_parse_method_algo(method_algo, &output->method, &output->hash.algo, p->err)) return false;
  if (span_eq(hash, SPAN("impure"))) {
    output->kind = DERIVATION_IMPURE;
    return output->path.len == 0 || fail(p, "impure derivation output should not specify output path");
  }
  if (hash.len == 0) {
    output->kind = DERIVATION_FLOATING;
    return output->path.len == 0 || fail(p, "content-addressed derivation output should not specify output path");
  }
  output->kind = DERIVATION_FIXED;
  if (!check_absolute(p, output->path) || !hash_parse_bare(hash, output->hash.algo, &output->hash, p->err))
    return false;
  // Nix recomputes the path and forgets what the text says: a text that says otherwise would come out different.
  StorePath path;
  Buf name CLEANUP(buf_done) = BUF_INIT, expected CLEANUP(buf_done) = BUF_INIT;
  store_path_put_output_name(drv_name, output->name, &name);
  ContentAddress ca = {output->method, output->hash};
  if (!store_path_make_fixed(buf_span(&name), &ca, NULL, p->store_dir, &path, p->err)) return false;
  store_path_format(&path, p->store_dir, &expected);
  if (span_eq(buf_span(&expected), output->path)) return true;
  return err_set(p->err, ERR_SYNTAX, "derivation '%.*s' has incorrect output '%.*s', should be '%.*s'",
                 SPAN_ARG(drv_name), SPAN_ARG(output->path), SPAN_ARG(buf_span(&expected)));
}

static bool parse_output(Parser *p, Span drv_name, DerivationOutput *output) {
  Span method_algo, hash;
  memset(output, 0, sizeof(*output));
  if (!expect(p, SPAN("(")) || !parse_plain(p, &output->name) || !expect(p, SPAN(",")) ||
      !parse_plain(p, &output->path) || !expect(p, SPAN(",")) || !parse_plain(p, &method_algo) ||
      !expect(p, SPAN(",")) || !parse_plain(p, &hash) || !expect(p, SPAN(")")))
    return false;
  if (method_algo.len) return content_output(p, drv_name, method_algo, hash, output);
  if (hash.len) return fail(p, "derivation output has a hash but no hash algorithm");
  output->kind = output->path.len ? DERIVATION_INPUT_ADDRESSED : DERIVATION_DEFERRED;
  return output->path.len == 0 || check_store_path(p, output->path);
}

static bool parse_outputs(Parser *p, Derivation *drv) {
  DerivationOutput *list CLEANUP(mem_free_ptr) = NULL;
  size_t count = 0, cap = 0;
  if (!expect(p, SPAN("["))) return false;
  for (bool end; next_element(p, count == 0, &end);) {
    if (end) {
      drv->outputs = ARENA_ARRAY(p->arena, DerivationOutput, count);
      drv->output_count = count;
      if (count) memcpy(drv->outputs, list, count * sizeof(*list));
      return sort_by_key(p, drv->outputs, count, sizeof(*list), "output");
    }
    MEM_RESERVE(list, cap, count + 1);
    if (!parse_output(p, drv->name, &list[count])) return false;
    count++;
  }
  return false;
}

// Inputs.

static bool parse_inputs(Parser *p, unsigned depth, DerivationInput **ret, size_t *ret_count);

static bool parse_input_node(Parser *p, unsigned depth, DerivationInput *input) {
  Span *outputs;
  if (peek(p) != '(' || !p->versioned) {
    if (!parse_string_set(p, "output", &outputs, &input->output_count)) return false;
    input->outputs = outputs;
    return true;
  }
  DerivationInput *dynamic;
  p->pos++;
  if (!parse_string_set(p, "output", &outputs, &input->output_count) || !expect(p, SPAN(",")) ||
      !parse_inputs(p, depth + 1, &dynamic, &input->dynamic_count) || !expect(p, SPAN(")")))
    return false;
  input->outputs = outputs;
  input->dynamic = dynamic;
  return true;
}

// Depth 0: derivation paths; below: output names.
static bool parse_inputs(Parser *p, unsigned depth, DerivationInput **ret, size_t *ret_count) {
  DerivationInput *list CLEANUP(mem_free_ptr) = NULL;
  size_t count = 0, cap = 0;
  if (depth > DERIVATION_PARSE_DYNAMIC_DEPTH_MAX)
    return err_set(p->err, ERR_LIMIT, "dynamic inputs are nested deeper than %d at byte %zu of the derivation",
                   DERIVATION_PARSE_DYNAMIC_DEPTH_MAX, p->pos);
  if (!expect(p, SPAN("["))) return false;
  for (bool end; next_element(p, count == 0, &end);) {
    if (end) {
      *ret = ARENA_ARRAY(p->arena, DerivationInput, count);
      *ret_count = count;
      if (count) memcpy(*ret, list, count * sizeof(*list));
      return sort_by_key(p, *ret, count, sizeof(*list), "input");
    }
    MEM_RESERVE(list, cap, count + 1);
    DerivationInput *input = &list[count];
    memset(input, 0, sizeof(*input));
    if (!expect(p, SPAN("(")) || !parse_plain(p, &input->key)) return false;
    if (depth == 0 && !check_store_path(p, input->key)) return false;
    if (!expect(p, SPAN(",")) || !parse_input_node(p, depth, input) || !expect(p, SPAN(")"))) return false;
    count++;
  }
  return false;
}

// The rest.

static bool parse_env(Parser *p, Derivation *drv) {
  DerivationEnv *list CLEANUP(mem_free_ptr) = NULL;
  size_t count = 0, cap = 0;
  if (!expect(p, SPAN("["))) return false;
  for (bool end; next_element(p, count == 0, &end);) {
    if (end) {
      drv->env = ARENA_ARRAY(p->arena, DerivationEnv, count);
      drv->env_count = count;
      if (count) memcpy(drv->env, list, count * sizeof(*list));
      return sort_by_key(p, drv->env, count, sizeof(*list), "environment variable");
    }
    MEM_RESERVE(list, cap, count + 1);
    if (!expect(p, SPAN("(")) || !parse_string(p, &list[count].name) || !expect(p, SPAN(",")) ||
        !parse_string(p, &list[count].value) || !expect(p, SPAN(")")))
      return false;
    count++;
  }
  return false;
}

static bool parse_head(Parser *p) {
  if (!expect(p, SPAN("D"))) return false;
  if (peek(p) == 'e') return expect(p, SPAN("erive("));
  if (peek(p) != 'r') return fail(p, "derivation does not start with 'Derive' or 'DrvWithVersion'");
  Span version;
  if (!expect(p, SPAN("rvWithVersion(")) || !parse_string(p, &version)) return false;
  if (!span_eq(version, SPAN("xp-dyn-drv")))
    return err_set(p->err, ERR_SYNTAX, "Unknown derivation ATerm format version '%.*s'", SPAN_ARG(version));
  p->versioned = true;
  return expect(p, SPAN(","));
}

static bool parse_input_srcs(Parser *p, Derivation *drv) {
  if (!parse_string_set(p, "input source", &drv->input_srcs, &drv->input_src_count)) return false;
  for (size_t i = 0; i < drv->input_src_count; i++)
    if (!check_store_path(p, drv->input_srcs[i])) return false;
  return true;
}

bool derivation_parse(Span text, Span name, Span store_dir, Arena *arena, Derivation *ret, Err *err) {
  Parser p = {text, 0, store_dir, arena, false, err};
  memset(ret, 0, sizeof(*ret));
  ret->name = name;
  if (text.len > DERIVATION_PARSE_SIZE_MAX)
    return err_set(err, ERR_LIMIT, "derivation text of %zu bytes is longer than %zu", text.len,
                   DERIVATION_PARSE_SIZE_MAX);
  if (!parse_head(&p) || !parse_outputs(&p, ret) || !expect(&p, SPAN(",")) ||
      !parse_inputs(&p, 0, &ret->input_drvs, &ret->input_drv_count) || !expect(&p, SPAN(",")) ||
      !parse_input_srcs(&p, ret) || !expect(&p, SPAN(",")) || !parse_plain(&p, &ret->platform) ||
      !expect(&p, SPAN(",")) || !parse_string(&p, &ret->builder) || !expect(&p, SPAN(",")) ||
      !parse_strings(&p, false, &ret->args, &ret->arg_count) || !expect(&p, SPAN(",")) || !parse_env(&p, ret) ||
      !expect(&p, SPAN(")")))
    return false;
  if (p.pos != text.len) return fail(&p, "text after the end of the derivation");
  return true;
}

// References.

// Store paths as they come; on the heap until their number is known.
typedef struct PathList {
  StorePath *items;
  size_t count, cap;
} PathList;

static void path_list_done(PathList *list) {
  mem_free(list->items);
}

static bool parse_reference(Parser *p, PathList *list) {
  Span path;
  if (!parse_plain(p, &path) || !check_absolute(p, path)) return false;
  MEM_RESERVE(list->items, list->cap, list->count + 1);
  return store_path_parse(path, p->store_dir, &list->items[list->count++], p->err);
}

// Outputs, or the outputs of an input: from its '[' or '(' to behind the bracket that closes it.
static bool skip_nested(Parser *p) {
  size_t depth = 0;
  do {
    int c = peek(p);
    size_t len;
    switch (c) {
    case '[':
    case '(': depth++; break;
    case ']':
    case ')':
      if (depth == 0) return fail(p, "expected a list");
      depth--;
      break;
    case ',': break;
    case '"':
      p->pos = measure_string(p, p->pos + 1, &len);
      if (p->pos >= p->text.len) return fail(p, "unterminated string in derivation");
      break;
    default: return fail(p, "expected a list");
    }
    p->pos++;
  } while (depth);
  return true;
}

static bool parse_reference_list(Parser *p, bool are_inputs, PathList *list) {
  if (!expect(p, SPAN("["))) return false;
  for (bool end; next_element(p, list->count == 0, &end);) {
    if (end) return true;
    if (are_inputs ? !expect(p, SPAN("(")) || !parse_reference(p, list) || !expect(p, SPAN(",")) || !skip_nested(p) ||
                         !expect(p, SPAN(")"))
                   : !parse_reference(p, list))
      return false;
  }
  return false;
}

bool derivation_parse_references(Span text, Span store_dir, Arena *arena, StorePath **ret, size_t *ret_count,
                                 Err *err) {
  Parser p = {text, 0, store_dir, arena, false, err};
  PathList drvs CLEANUP(path_list_done) = {NULL, 0, 0}, srcs CLEANUP(path_list_done) = {NULL, 0, 0};
  if (!parse_head(&p) || !skip_nested(&p) || !expect(&p, SPAN(",")) || !parse_reference_list(&p, true, &drvs) ||
      !expect(&p, SPAN(",")) || !parse_reference_list(&p, false, &srcs))
    return false;
  drvs.count = store_path_sort(drvs.items, drvs.count);
  srcs.count = store_path_sort(srcs.items, srcs.count);
  StorePath *merged = ARENA_ARRAY(arena, StorePath, drvs.count + srcs.count);
  size_t count = 0, drv = 0, src = 0;
  while (drv < drvs.count || src < srcs.count) {
    bool take_src = drv == drvs.count || (src < srcs.count && store_path_cmp(&srcs.items[src], &drvs.items[drv]) <= 0);
    const StorePath *next = take_src ? &srcs.items[src++] : &drvs.items[drv++];
    if (count == 0 || !store_path_eq(&merged[count - 1], next)) merged[count++] = *next;
  }
  *ret = merged;
  *ret_count = count;
  return true;
}
