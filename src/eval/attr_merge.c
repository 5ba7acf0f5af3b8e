#include "eval/attr_merge.h"

#include "base/mem.h"
#include "eval/ast_print.h"

enum { INDEX_MIN_ATTRS = 16 };

void attr_merge_init(AttrBuilder *builder, Arena *arena, const NameTable *names,
                     ParserError *error) {
  *builder = (AttrBuilder){.arena = arena, .names = names, .error = error};
}

void attr_merge_done(AttrBuilder *builder) {
  arena_done(&builder->scratch);
  mem_free(builder->stack);
  *builder = (AttrBuilder){0};
}

// ---- sets
// -----------------------------------------------------------------------------------------------------------

static AttrSet *new_set(AttrBuilder *builder, uint32_t pos) {
  AttrSet *set = ARENA_NEW(builder->arena, AttrSet);
  *set = (AttrSet){.expr.head = {.kind = EXPR_ATTRS, .pos = pos}};
  return set;
}

AttrSet *attr_merge_open(AttrBuilder *builder, uint32_t pos) {
  AttrSet *set = new_set(builder, pos);
  set->open = true;
  set->open_base = (uint32_t)builder->stack_len;
  return set;
}

static AstAttr *attrs_of(const AttrBuilder *builder, const AttrSet *set) {
  return set->open ? builder->stack + set->open_base : set->expr.attrs;
}

ExprAttrs *attr_merge_close(AttrBuilder *builder, AttrSet *set) {
  uint32_t count = set->expr.attr_count;
  if (count) {
    set->expr.attrs = ARENA_ARRAY(builder->arena, AstAttr, count);
    memcpy(set->expr.attrs, builder->stack + set->open_base, count * sizeof(AstAttr));
  }
  builder->stack_len = set->open_base;
  set->attr_cap = count;
  set->open = false;
  return &set->expr;
}

// Room for one more element in an arena array of a tree node.
static void *grow_array(Arena *arena, void *array, uint32_t count, uint32_t *cap,
                        size_t element_bytes) {
  if (count < *cap) return array;
  *cap = *cap ? *cap * 2 : 2;
  void *bigger = arena_alloc(arena, *cap * element_bytes);
  if (count) memcpy(bigger, array, count * element_bytes);
  return bigger;
}

static uint32_t name_bits(AstName name) {
  return name * 0x9E3779B1u;
}

static void index_put(AttrSet *set, AstName name, uint32_t attr) {
  uint32_t i = name_bits(name) >> 7 & set->index_mask;
  while (set->index[i]) i = (i + 1) & set->index_mask;
  set->index[i] = attr + 1;
}

// Brings the index up to date; makes it larger when it is half full.
static void update_index(AttrBuilder *builder, AttrSet *set, const AstAttr *attrs) {
  uint32_t count = set->expr.attr_count;
  if (!set->index || count > set->index_mask / 2) {
    uint32_t size = 64;
    while (size / 4 < count) size *= 2;
    set->index = ARENA_ARRAY(&builder->scratch, uint32_t, size);
    memset(set->index, 0, size * sizeof(uint32_t));
    set->index_mask = size - 1;
    set->indexed_count = 0;
  }
  while (set->indexed_count < count) {
    index_put(set, attrs[set->indexed_count].name, set->indexed_count);
    set->indexed_count++;
  }
}

static AstAttr *find_indexed(AttrBuilder *builder, AttrSet *set, AstAttr *attrs, AstName name) {
  update_index(builder, set, attrs);
  for (uint32_t i = name_bits(name) >> 7 & set->index_mask; set->index[i];
       i = (i + 1) & set->index_mask)
    if (attrs[set->index[i] - 1].name == name) return &attrs[set->index[i] - 1];
  return NULL;
}

static AstAttr *find(AttrBuilder *builder, AttrSet *set, AstName name) {
  if (LIKELY(!(set->filter >> (name_bits(name) >> 26) & 1))) return NULL;
  AstAttr *attrs = attrs_of(builder, set);
  if (set->expr.attr_count > INDEX_MIN_ATTRS) return find_indexed(builder, set, attrs, name);
  for (uint32_t i = 0; i < set->expr.attr_count; i++)
    if (attrs[i].name == name) return &attrs[i];
  return NULL;
}

static void push(AttrBuilder *builder, AttrSet *set, AstAttr attr) {
  set->filter |= 1ull << (name_bits(attr.name) >> 26);
  if (set->open) {
    if (UNLIKELY(builder->stack_len == builder->stack_cap))
      MEM_RESERVE(builder->stack, builder->stack_cap, builder->stack_len + 64);
    builder->stack[builder->stack_len++] = attr;
    set->expr.attr_count++;
    return;
  }
  set->expr.attrs = grow_array(builder->arena, set->expr.attrs, set->expr.attr_count,
                               &set->attr_cap, sizeof(AstAttr));
  set->expr.attrs[set->expr.attr_count++] = attr;
}

static void push_dyn(AttrBuilder *builder, AttrSet *set, AstDynAttr dyn) {
  set->expr.dyns = grow_array(builder->arena, set->expr.dyns, set->expr.dyn_count, &set->dyn_cap,
                              sizeof(AstDynAttr));
  set->expr.dyns[set->expr.dyn_count++] = dyn;
}

uint32_t attr_merge_add_from(AttrBuilder *builder, AttrSet *set, Expr *from) {
  set->expr.inherit_from = grow_array(builder->arena, set->expr.inherit_from,
                                      set->expr.inherit_from_count, &set->from_cap, sizeof(Expr *));
  set->expr.inherit_from[set->expr.inherit_from_count] = from;
  return set->expr.inherit_from_count++;
}

// ---- definitions
// ----------------------------------------------------------------------------------------------------

static AttrSet *as_set(Expr *value) {
  return value && value->kind == EXPR_ATTRS ? (AttrSet *)value : NULL;
}

// A lambda knows the name that it is bound to, and so do the lambdas that it consists of.
static void name_lambda(Expr *value, AstName name) {
  for (; value && value->kind == EXPR_LAMBDA; value = ((ExprLambda *)value)->body)
    ((ExprLambda *)value)->self_name = name;
}

static bool fail_defined(AttrBuilder *builder, Buf *path, uint32_t pos, uint32_t other_pos) {
  Buf message = BUF_INIT;
  buf_put_cstr(&message, "attribute '");
  buf_put_span(&message, buf_span(path));
  buf_put_cstr(&message, "' already defined at ");
  buf_done(path);
  *builder->error = (ParserError){pos, other_pos, buf_take(&message)};
  return false;
}

static void put_path(AttrBuilder *builder, Buf *buf, const AstAttrName *path, uint32_t count) {
  ast_print_attr_path(builder->names->entries, path, count, buf);
}

// One level of merging `src` into `dst`: the next definition of `src` to move is number `next`.
typedef struct Merge {
  AttrSet *dst, *src;
  uint32_t next, from_base;
} Merge;

static bool fail_merge(AttrBuilder *builder, const AstAttrName *path, uint32_t path_count,
                       Merge *levels, size_t depth, uint32_t other_pos) {
  Buf buf = BUF_INIT;
  put_path(builder, &buf, path, path_count);
  uint32_t pos = AST_NO_POS;
  for (size_t i = 0; i < depth; i++) {
    const AstAttr *attr = &levels[i].src->expr.attrs[levels[i].next];
    AstAttrName step = {attr->name, attr->pos, NULL};
    buf_put_char(&buf, '.');
    put_path(builder, &buf, &step, 1);
    pos = attr->pos;
  }
  mem_free(levels);
  return fail_defined(builder, &buf, pos, other_pos);
}

static void move_rest(AttrBuilder *builder, const Merge *level) {
  ExprAttrs *src = &level->src->expr;
  for (uint32_t i = 0; i < src->dyn_count; i++) push_dyn(builder, level->dst, src->dyns[i]);
  for (uint32_t i = 0; i < src->inherit_from_count; i++)
    (void)attr_merge_add_from(builder, level->dst, src->inherit_from[i]);
  src->attr_count = src->dyn_count = src->inherit_from_count = 0;
}

// Moves everything in `src` into `dst`, sets within sets included. As in C++ Nix, a `rec` of `src`
// is lost and one of `dst` holds for what comes in (https://github.com/NixOS/nix/issues/9020).
// Depth first on a heap stack: literals can be nested deeply.
static bool merge_sets(AttrBuilder *builder, AttrSet *dst, AttrSet *src, const AstAttrName *path,
                       uint32_t path_count) {
  size_t depth = 0, cap = 0;
  Merge *levels = NULL;
  MEM_RESERVE(levels, cap, 8);
  levels[depth++] = (Merge){dst, src, 0, dst->expr.inherit_from_count};
  while (depth) {
    Merge *level = &levels[depth - 1];
    if (level->next == level->src->expr.attr_count) {
      move_rest(builder, level);
      if (--depth) levels[depth - 1].next++;
      continue;
    }
    AstAttr attr = level->src->expr.attrs[level->next];
    if (attr.kind == AST_ATTR_INHERIT_FROM) attr.from += level->from_base;
    AstAttr *old = find(builder, level->dst, attr.name);
    if (!old) {
      push(builder, level->dst, attr);
      level->next++;
      continue;
    }
    AttrSet *old_set = as_set(old->value), *new_set_ = as_set(attr.value);
    if (!old_set || !new_set_)
      return fail_merge(builder, path, path_count, levels, depth, old->pos);
    MEM_RESERVE(levels, cap, depth + 1);
    levels[depth++] = (Merge){old_set, new_set_, 0, old_set->expr.inherit_from_count};
  }
  mem_free(levels);
  return true;
}

// The set that the names before the last one lead to, made where it does not exist yet; NULL on
// error.
static AttrSet *descend(AttrBuilder *builder, AttrSet *set, const AstAttrName *path,
                        uint32_t path_count, uint32_t pos) {
  for (uint32_t i = 0; i + 1 < path_count; i++) {
    AttrSet *nested;
    AstAttr *old = path[i].expr ? NULL : find(builder, set, path[i].name);
    if (old) {
      nested = as_set(old->value);
      if (!nested) {
        Buf buf = BUF_INIT;
        put_path(builder, &buf, path, i + 1);
        (void)fail_defined(builder, &buf, pos, old->pos);
        return NULL;
      }
    } else {
      nested = new_set(builder, AST_NO_POS);
      if (path[i].expr)
        push_dyn(builder, set, (AstDynAttr){path[i].expr, &nested->expr.head, pos});
      else
        push(builder, set, (AstAttr){path[i].name, AST_ATTR_PLAIN, pos, 0, &nested->expr.head});
    }
    set = nested;
  }
  return set;
}

bool attr_merge_define(AttrBuilder *builder, AttrSet *set, const AstAttrName *path,
                       uint32_t path_count, uint32_t pos, Expr *value) {
  if (path_count > 1 && !(set = descend(builder, set, path, path_count, pos))) return false;
  const AstAttrName *last = &path[path_count - 1];
  if (last->expr) {
    push_dyn(builder, set, (AstDynAttr){last->expr, value, pos});
    return true;
  }
  AstAttr *old = find(builder, set, last->name);
  if (LIKELY(!old)) {
    push(builder, set, (AstAttr){last->name, AST_ATTR_PLAIN, pos, 0, value});
    name_lambda(value, last->name);
    return true;
  }
  AttrSet *old_set = as_set(old->value), *value_set = as_set(value);
  if (old_set && value_set) return merge_sets(builder, old_set, value_set, path, path_count);
  Buf buf = BUF_INIT;
  put_path(builder, &buf, path, path_count);
  return fail_defined(builder, &buf, pos, old->pos);
}

bool attr_merge_inherit(AttrBuilder *builder, AttrSet *set, AstAttr def) {
  AstAttr *old = find(builder, set, def.name);
  if (LIKELY(!old)) {
    push(builder, set, def);
    return true;
  }
  Buf buf = BUF_INIT;
  AstAttrName step = {def.name, def.pos, NULL};
  put_path(builder, &buf, &step, 1);
  return fail_defined(builder, &buf, def.pos, old->pos);
}
