// derivation_diff.c: see derivation_diff.h.
#include "realise/derivation_diff.h"

#include <ctype.h>

#include "base/mem.h"
#include "realise/json_tree.h"

typedef struct Changes {
  DerivationChange *items; // owned until the end
  size_t count, cap;
  Arena *arena;
} Changes;

static void add(Changes *changes, const DerivationChange *change) {
  MEM_RESERVE(changes->items, changes->cap, changes->count + 1);
  changes->items[changes->count++] = *change;
}

// ---- hashes

static bool is_hash_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
}

// Length of a run of hash characters at `i`: 32 before a name are a store path, 52 after a '/' a placeholder.
static size_t hash_at(Span s, size_t i) {
  size_t len = 0;
  if (i > 0 && isalnum((unsigned char)s.data[i - 1])) return 0;
  while (i + len < s.len && is_hash_char(s.data[i + len])) len++;
  bool is_path = len == STORE_PATH_HASH_CHARS && i + len < s.len && s.data[i + len] == '-';
  return is_path || len == 52 ? len : 0;
}

bool derivation_diff_same_but_hashes(Span a, Span b) {
  size_t i = 0, j = 0;
  while (i < a.len && j < b.len) {
    size_t hash_a = hash_at(a, i), hash_b = hash_at(b, j);
    if (hash_a != hash_b) return false;
    if (hash_a) {
      i += hash_a;
      j += hash_b;
    } else if (a.data[i++] != b.data[j++]) {
      return false;
    }
  }
  return i == a.len && j == b.len;
}

// ---- what only follows from inputs

static Span name_of(Span path) {
  size_t slash = span_rfind_char(path, '/');
  Span name = span_from(path, (slash == SIZE_MAX ? 0 : slash + 1) + STORE_PATH_HASH_CHARS + 1);
  if (span_has_suffix(name, SPAN(".drv"))) name.len -= 4;
  return name;
}

// The name behind a hash at `i`: what a store path's name may consist of.
static Span name_at(Span s, size_t i) {
  size_t len = 0;
  while (i + len < s.len && (isalnum((unsigned char)s.data[i + len]) || strchr("+-._?=", s.data[i + len]))) len++;
  return span_sub(s, i, len);
}

// "zlib-1.2-dev" and "zlib-1.3-dev" where the input zlib-1.2 has become zlib-1.3.
static bool is_renamed_input(const Changes *changes, Span before, Span after) {
  for (size_t i = 0; i < changes->count; i++) {
    const DerivationChange *change = &changes->items[i];
    if (change->kind == DERIVATION_CHANGE_FIELD || !change->had || !change->has) continue;
    Span old = name_of(change->before), new = name_of(change->after);
    if (span_has_prefix(before, old) && span_has_prefix(after, new) &&
        span_eq(span_from(before, old.len), span_from(after, new.len)))
      return true;
  }
  return false;
}

// As derivation_diff_same_but_hashes, with inputs that have another name now.
static bool same_but_inputs(const Changes *changes, Span a, Span b) {
  size_t i = 0, j = 0;
  while (i < a.len && j < b.len) {
    size_t hash_a = hash_at(a, i), hash_b = hash_at(b, j);
    if (hash_a != hash_b) return false;
    if (hash_a == STORE_PATH_HASH_CHARS) {
      Span name_a = name_at(a, i + hash_a + 1), name_b = name_at(b, j + hash_b + 1);
      if (!span_eq(name_a, name_b) && !is_renamed_input(changes, name_a, name_b)) return false;
      i += hash_a + 1 + name_a.len;
      j += hash_b + 1 + name_b.len;
    } else if (hash_a) {
      i += hash_a;
      j += hash_b;
    } else if (a.data[i++] != b.data[j++]) {
      return false;
    }
  }
  return i == a.len && j == b.len;
}

static void find_derived(Changes *changes) {
  for (size_t i = 0; i < changes->count; i++) {
    DerivationChange *change = &changes->items[i];
    if (change->kind == DERIVATION_CHANGE_FIELD && change->had && change->has)
      change->derived = same_but_inputs(changes, change->before, change->after);
  }
}

// ---- fields

static void compare(Changes *changes, const char *field, bool had, Span before, bool has, Span after) {
  if (had == has && span_eq(before, after)) return;
  DerivationChange change = {.kind = DERIVATION_CHANGE_FIELD,
                             .field = arena_dup(changes->arena, span_cstr(field)),
                             .had = had,
                             .has = has,
                             .before = before,
                             .after = after};
  add(changes, &change);
}

static bool is_output(const Derivation *drv, Span name) {
  return derivation_find_output(drv, name) != NULL;
}

static void compare_attribute(Changes *changes, Span name, const Span *before, const Span *after) {
  Buf field CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&field, "attribute %.*s", SPAN_ARG(name));
  compare(changes, buf_cstr(&field), before != NULL, before ? *before : SPAN(""), after != NULL,
          after ? *after : SPAN(""));
}

static Span text_of(const JsonTree *tree, Arena *arena) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  Err ignored = ERR_INIT;
  if (tree->kind == JSON_TREE_STRING) return tree->string;
  if (!json_tree_format(tree, &text, &ignored)) err_done(&ignored);
  return arena_dup(arena, buf_span(&text));
}

// Structured attributes, member by member. False when one of the texts is no object.
static bool compare_structured(Changes *changes, Span before, Span after) {
  JsonTree a, b;
  Err ignored = ERR_INIT;
  if (!json_tree_parse(before, changes->arena, &a, &ignored) || !json_tree_parse(after, changes->arena, &b, &ignored) ||
      a.kind != JSON_TREE_OBJECT || b.kind != JSON_TREE_OBJECT)
    return err_done(&ignored), false;
  for (size_t i = 0, j = 0; i < a.count || j < b.count;) {
    int c = i == a.count ? 1 : j == b.count ? -1 : span_cmp(a.items[i].key, b.items[j].key);
    Span name = c <= 0 ? a.items[i].key : b.items[j].key, old = SPAN(""), new = SPAN("");
    if (c <= 0) old = text_of(&a.items[i++], changes->arena);
    if (c >= 0) new = text_of(&b.items[j++], changes->arena);
    compare_attribute(changes, name, c <= 0 ? &old : NULL, c >= 0 ? &new : NULL);
  }
  return true;
}

static void compare_env(Changes *changes, const Derivation *before, const Derivation *after) {
  for (size_t i = 0, j = 0; i < before->env_count || j < after->env_count;) {
    int c = i == before->env_count ? 1 : j == after->env_count ? -1 : span_cmp(before->env[i].name, after->env[j].name);
    const DerivationEnv *a = c <= 0 ? &before->env[i++] : NULL, *b = c >= 0 ? &after->env[j++] : NULL;
    Span name = a ? a->name : b->name;
    // Told under other names already: outputs by their own paths, name, system and builder.
    bool is_told = (is_output(before, name) && is_output(after, name)) || span_eq_cstr(name, "name") ||
                   span_eq_cstr(name, "system") || span_eq_cstr(name, "builder");
    if (is_told) continue;
    if (a && b && span_eq_cstr(name, "__json") && compare_structured(changes, a->value, b->value)) continue;
    compare_attribute(changes, name, a ? &a->value : NULL, b ? &b->value : NULL);
  }
}

static void compare_args(Changes *changes, const Derivation *before, const Derivation *after) {
  size_t count = before->arg_count > after->arg_count ? before->arg_count : after->arg_count;
  for (size_t i = 0; i < count; i++) {
    Buf field CLEANUP(buf_done) = BUF_INIT;
    buf_printf(&field, "argument %zu", i + 1);
    bool had = i < before->arg_count, has = i < after->arg_count;
    compare(changes, buf_cstr(&field), had, had ? before->args[i] : SPAN(""), has, has ? after->args[i] : SPAN(""));
  }
}

static Span output_text(const DerivationOutput *output, Arena *arena) {
  static const char *const kinds[] = {"by its inputs", "fixed", "by its content", "by its inputs", "impure"};
  Buf text CLEANUP(buf_done) = BUF_INIT;
  buf_put_cstr(&text, kinds[output->kind]);
  if (output->kind == DERIVATION_FIXED) {
    buf_put_char(&text, ' ');
    hash_format(&output->hash, HASH_FORMAT_SRI, true, &text);
  }
  return arena_dup(arena, buf_span(&text));
}

static void compare_outputs(Changes *changes, const Derivation *before, const Derivation *after) {
  for (size_t i = 0, j = 0; i < before->output_count || j < after->output_count;) {
    int c = i == before->output_count  ? 1
            : j == after->output_count ? -1
                                       : span_cmp(before->outputs[i].name, after->outputs[j].name);
    const DerivationOutput *a = c <= 0 ? &before->outputs[i++] : NULL, *b = c >= 0 ? &after->outputs[j++] : NULL;
    Buf field CLEANUP(buf_done) = BUF_INIT;
    buf_printf(&field, "output %.*s", SPAN_ARG(a ? a->name : b->name));
    compare(changes, buf_cstr(&field), a != NULL, a ? output_text(a, changes->arena) : SPAN(""), b != NULL,
            b ? output_text(b, changes->arena) : SPAN(""));
  }
}

// ---- inputs: those that are on one side only, paired by name

// "hello" of "hello-2.10": versions change.
static Span package_of(Span name) {
  for (size_t i = 0; i + 1 < name.len; i++)
    if (name.data[i] == '-' && !isalpha((unsigned char)name.data[i + 1])) return span_sub(name, 0, i);
  return name;
}

// `olds` and `news` are what one side has and the other has not. First equal names are paired, then equal packages.
static void pair(Changes *changes, DerivationChangeKind kind, Span *olds, size_t old_count, Span *news,
                 size_t new_count) {
  for (int by_package = 0; by_package < 2; by_package++) {
    for (size_t i = 0; i < old_count; i++) {
      for (size_t j = 0; olds[i].len && j < new_count; j++) {
        if (!news[j].len) continue;
        Span a = name_of(olds[i]), b = name_of(news[j]);
        if (!(by_package ? span_eq(package_of(a), package_of(b)) : span_eq(a, b))) continue;
        add(changes, &(DerivationChange){kind, b, true, true, olds[i], news[j], false});
        olds[i].len = news[j].len = 0;
      }
    }
  }
  for (size_t i = 0; i < old_count; i++)
    if (olds[i].len) add(changes, &(DerivationChange){kind, name_of(olds[i]), true, false, olds[i], SPAN(""), false});
  for (size_t j = 0; j < new_count; j++)
    if (news[j].len) add(changes, &(DerivationChange){kind, name_of(news[j]), false, true, SPAN(""), news[j], false});
}

static void compare_paths(Changes *changes, DerivationChangeKind kind, const Span *a, size_t a_count, const Span *b,
                          size_t b_count) {
  Span *olds = ARENA_ARRAY(changes->arena, Span, a_count), *news = ARENA_ARRAY(changes->arena, Span, b_count);
  size_t old_count = 0, new_count = 0;
  for (size_t i = 0, j = 0; i < a_count || j < b_count;) {
    int c = i == a_count ? 1 : j == b_count ? -1 : span_cmp(a[i], b[j]);
    if (c < 0) olds[old_count++] = a[i];
    if (c > 0) news[new_count++] = b[j];
    i += c <= 0;
    j += c >= 0;
  }
  pair(changes, kind, olds, old_count, news, new_count);
}

static Span *input_paths(const Derivation *drv, Arena *arena) {
  Span *paths = ARENA_ARRAY(arena, Span, drv->input_drv_count);
  for (size_t i = 0; i < drv->input_drv_count; i++) paths[i] = drv->input_drvs[i].key;
  return paths;
}

void derivation_diff_find(const Derivation *before, const Derivation *after, Arena *arena, DerivationChange **ret,
                          size_t *ret_count) {
  Changes changes = {.arena = arena};
  compare(&changes, "name", true, before->name, true, after->name);
  compare(&changes, "system", true, before->platform, true, after->platform);
  compare(&changes, "builder", true, before->builder, true, after->builder);
  compare_args(&changes, before, after);
  compare_outputs(&changes, before, after);
  compare_env(&changes, before, after);
  compare_paths(&changes, DERIVATION_CHANGE_SOURCE, before->input_srcs, before->input_src_count, after->input_srcs,
                after->input_src_count);
  compare_paths(&changes, DERIVATION_CHANGE_INPUT, input_paths(before, arena), before->input_drv_count,
                input_paths(after, arena), after->input_drv_count);
  find_derived(&changes);
  *ret = ARENA_ARRAY(arena, DerivationChange, changes.count);
  *ret_count = changes.count;
  if (changes.count) memcpy(*ret, changes.items, changes.count * sizeof(**ret));
  mem_free(changes.items);
}

// ---- text

// Pieces of a value: lines, or words where there is one line only.
typedef struct Pieces {
  Span *items; // owned
  size_t count, cap;
} Pieces;

static void cut(Span text, char separator, Pieces *ret) {
  Span piece;
  for (bool more = true; more;) {
    more = span_split(&text, separator, &piece);
    if (!piece.len && separator == ' ') continue;
    MEM_RESERVE(ret->items, ret->cap, ret->count + 1);
    ret->items[ret->count++] = piece;
  }
}

static void put_piece(char sign, Span piece, const char *indent, Buf *ret) {
  enum { WIDTH = 100 };
  bool cut_off = piece.len > WIDTH;
  buf_printf(ret, "%s%c %.*s%s\n", indent, sign, (int)(cut_off ? WIDTH : piece.len), piece.data ? piece.data : "",
             cut_off ? "…" : "");
}

static void put_side(char sign, const Pieces *pieces, size_t from, size_t to, size_t max, const char *indent,
                     Buf *ret) {
  for (size_t i = from; i < to && i - from < max; i++) put_piece(sign, pieces->items[i], indent, ret);
  if (to > from + max) buf_printf(ret, "%s%c … %zu more\n", indent, sign, to - from - max);
}

void derivation_diff_format(Span before, Span after, size_t max_lines, const char *indent, Buf *ret) {
  bool lines =
      memchr(before.data ? before.data : "", '\n', before.len) || memchr(after.data ? after.data : "", '\n', after.len);
  Pieces a = {0}, b = {0};
  cut(before, lines ? '\n' : ' ', &a);
  cut(after, lines ? '\n' : ' ', &b);
  // What both begin and end with is left out.
  size_t head = 0, tail = 0;
  while (head < a.count && head < b.count && span_eq(a.items[head], b.items[head])) head++;
  while (tail < a.count - head && tail < b.count - head &&
         span_eq(a.items[a.count - 1 - tail], b.items[b.count - 1 - tail]))
    tail++;
  put_side('-', &a, head, a.count - tail, max_lines, indent, ret);
  put_side('+', &b, head, b.count - tail, max_lines, indent, ret);
  mem_free(a.items);
  mem_free(b.items);
}
